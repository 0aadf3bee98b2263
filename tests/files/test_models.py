"""Saved models: what torch.save wrote comes back bit for bit, and anything else is refused by what is odd."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hostile import (
    ORDERED,
    child,
    dumped,
    inner,
    put,
    rebuilt,
    regressor,
    saved,
    tampered,
    torch_archive,
)
from reproven.errors import RevivalError, Unreadable
from reproven.files import models
from reproven.files.front import Model
from reproven.files.models import read_tensors, read_torch
from reproven.networks import Regressor

PATH = Path("model.pth")
BEFORE = "model.pth is refused: "
AFTER = (
    ". Only files that torch.save wrote are read, with this package's networks and torch's tensors in them, "
    "and nothing in the file has run. Do not load it in another way unless you trust who made it."
)
LONG = "n" * 101
double = torch.ones(1, dtype=torch.float64)


def refusal(content: bytes) -> str:
    """What is odd about a file."""
    PATH.write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        read_torch(PATH)
    said = str(caught.value)
    assert (said[: len(BEFORE)], said[-len(AFTER) :]) == (BEFORE, AFTER)
    return said[len(BEFORE) : -len(AFTER)]


def read(content: bytes) -> Model | dict[str, torch.Tensor]:
    PATH.write_bytes(content)
    return read_torch(PATH)


@pytest.mark.parametrize("variant", ["module", "sequential"])
@pytest.mark.parametrize("hidden", [(1,), (3,), (5, 2, 4)])
def test_a_model_is_written_in_both_forms_and_read_back(variant: str, hidden: tuple[int, ...]) -> None:
    original = regressor(variant, hidden).train()
    models.write_model(Path("both"), original)
    whole, weights = read_torch(Path("both/model.pth")), read_torch(Path("both/state_dict.pth"))
    assert isinstance(whole, Regressor)
    assert isinstance(weights, dict)
    assert not whole.training
    assert (whole.features, whole.target) == (("x",), "y")
    assert str(whole.eval()) == str(original.eval())
    for found, wanted in (
        (whole.state_dict(), original.state_dict()),
        (weights, original.network.state_dict()),
    ):
        assert list(found) == list(wanted)
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())


def test_tensors_of_every_shape_are_read() -> None:
    tensors = {
        "a number": torch.tensor(1.5),
        "floats": torch.arange(24.0).reshape(2, 3, 4),
        "doubles": torch.arange(6, dtype=torch.float64).reshape(3, 2),
        "eight dimensions": torch.ones((1,) * 7 + (2,)),
    }
    for found in (read(saved(tensors)), read(saved(OrderedDict(tensors))), read_tensors(saved(tensors))):
        assert isinstance(found, dict)
        assert list(found) == list(tensors)
        for name, tensor in found.items():
            assert tensor.dtype == tensors[name].dtype
            assert torch.equal(tensor, tensors[name])


def test_what_is_empty_in_a_module_may_be_missing_or_a_plain_dict_as_in_another_torch() -> None:
    for change in (lambda model: model.__dict__.pop("_backward_hooks"), put("_backward_hooks", {})):
        assert isinstance(read(tampered(change)()), Regressor)


def test_a_parameter_is_read_as_a_tensor() -> None:
    found = read(rebuilt(parameter=ORDERED))
    assert isinstance(found, dict)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"w": [0.0, 0.0]}


def test_what_is_no_readable_file_is_told_apart() -> None:
    with pytest.raises(Unreadable) as caught:
        read_torch(PATH)
    assert str(caught.value) == "model.pth is not a file. Give a run id, a models:/ URI or a file."
    with pytest.raises(Unreadable) as caught:
        read_torch(Path("/proc/self/mem"))
    assert str(caught.value) == "/proc/self/mem cannot be read: [Errno 5] Input/output error."


def test_tensors_in_bytes_are_told_from_anything_else() -> None:
    none = "These are no tensors that torch.save wrote: "
    for content, words in (
        (b"", f"{none}its ZIP archive is broken: File is not a zip file."),
        (torch_archive(b"2."), f"{none}its pickle has the instruction DUP, which torch.save does not write."),
        (saved({"a": 1}), f"{none}its 'a' is a int, but must be a tensor."),
        (saved(regressor()), "These are no tensors, but a whole model."),
    ):
        with pytest.raises(RevivalError) as caught:
            read_tensors(content)
        assert str(caught.value) == words


MANY = [f"m.a{number:02}" for number in range(21)]
CALLS = b"\x80\x02" + b"".join(f"c{name.replace('.', chr(10))}\n".encode() for name in MANY) + b"."
WHOLE = b"creproven.networks\nRegressor\n"
NO_MODEL: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "it is empty"),
    "a text": (b"a text", "it is no archive of torch.save"),
    "a bare pickle": (CALLS, f"it is no archive of torch.save, and it names {', '.join(MANY[:20])}"),
    "a bare pickle of what is allowed": (b"\x80\x02" + ORDERED + b".", "it is no archive of torch.save"),
    "foreign names": (torch_archive(CALLS), f"it names {', '.join(MANY[:20])}"),
    "an odd archive": (b"PK\x03\x04", "its ZIP archive is broken: File is not a zip file"),
    "an odd pickle": (torch_archive(b"N"), "its pickle is broken: pickle exhausted before seeing STOP"),
    "an empty dict": (torch_archive(b"}."), "it holds an empty dict, but must hold a state_dict of tensors"),
    "an empty OrderedDict": (
        torch_archive(ORDERED + b"."),
        "it holds an empty dict, but must hold a state_dict of tensors",
    ),
    "an OrderedDict of pairs": (
        torch_archive(ORDERED[:-2] + b"]\x85R" + dumped("w") + b"Ns."),
        "it holds a OrderedDict, but must hold a Regressor or a Classifier: a network together with its "
        "standardisation; or a state_dict of tensors",
    ),
    "a number": (
        torch_archive(b"K\x01."),
        "it holds a int, but must hold a Regressor or a Classifier: a network together with its "
        "standardisation; or a state_dict of tensors",
    ),
    "a class": (
        torch_archive(WHOLE + b"."),
        "it holds a Regressor, but must hold a Regressor or a Classifier: a network together with its "
        "standardisation; or a state_dict of tensors",
    ),
    "a layer": (
        saved(nn.Linear(1, 1)),
        "it holds a Linear, but must hold a Regressor or a Classifier: a network together with its "
        "standardisation; or a state_dict of tensors",
    ),
    "a module made with an argument": (
        torch_archive(WHOLE + b"K\x01\x85\x81}b."),
        "what should be 'the regressor' is a Regressor that torch.save does not write",
    ),
    "a module with an item": (
        torch_archive(WHOLE + b")\x81" + dumped("w") + b"Ns}b."),
        "what should be 'the regressor' is a Regressor that torch.save does not write",
    ),
    "a module without a state": (
        torch_archive(WHOLE + b")\x81."),
        "what should be 'the regressor' is a Regressor that torch.save does not write",
    ),
}


@pytest.mark.parametrize(("content", "words"), NO_MODEL.values(), ids=NO_MODEL)
def test_a_file_that_holds_no_model_is_refused_by_what_it_holds(content: bytes, words: str) -> None:
    assert refusal(content) == words


def stored(*values: Any, tag: bytes = dumped("storage"), kind: bytes = b"ctorch\nFloatStorage\n") -> bytes:
    """Instructions of a storage: key, device, number of numbers."""
    return b"(" + tag + kind + b"".join(dumped(value) for value in values) + b"tQ"


PARAMETER = b"ctorch._utils\n_rebuild_parameter\n"
NUMBERS = "but its storage holds 2 numbers"
TENSORS: dict[str, tuple[bytes, str]] = {
    "a number": (saved({"w": 1}), "its 'w' is a int, but must be a tensor"),
    "a long name": (saved({LONG: 1}), f"its '{LONG[:100]}' is a int, but must be a tensor"),
    "another call": (
        torch_archive(b"}" + dumped("w") + ORDERED + b"s."),
        "its 'w' is a OrderedDict, but must be a tensor",
    ),
    "an argument more": (rebuilt(end=b"NtR"), "its 'w' is a _rebuild_tensor_v2, but must be a tensor"),
    "an item": (
        rebuilt(end=b"tR" + dumped("a") + b"Ns"),
        "its 'w' is a _rebuild_tensor_v2, but must be a tensor",
    ),
    "a state": (rebuilt(end=b"tR}b"), "its 'w' is a _rebuild_tensor_v2, but must be a tensor"),
    "a parameter's argument more": (
        rebuilt(parameter=ORDERED + b"N"),
        "its 'w' is a _rebuild_parameter, but must be a tensor",
    ),
    "a parameter of a number": (
        torch_archive(b"}" + dumped("w") + PARAMETER + b"(K\x01\x88" + ORDERED + b"tRs."),
        "its 'w' is a int, but must be a tensor",
    ),
    "hooks": (rebuilt(hooks=b"N"), "its tensor 'w' has hooks"),
    "a parameter's hooks": (rebuilt(parameter=b"N"), "its tensor 'w' has hooks"),
    "no storage": (rebuilt(storage=b"N"), "its tensor 'w' has no storage"),
    "a call as storage": (
        rebuilt(storage=b"ccollections\nOrderedDict\n" + stored("0", "cpu", 2)[:-1] + b"R"),
        "its tensor 'w' has no storage",
    ),
    "a storage's argument more": (rebuilt(storage=stored("0", "cpu", 2, 2)), "its tensor 'w' has no storage"),
    "another persistent id": (
        rebuilt(storage=stored("0", "cpu", 2, tag=b"N")),
        "its tensor 'w' has no storage",
    ),
    "a storage of a text": (
        rebuilt(storage=stored("0", "cpu", 2, kind=dumped("torch FloatStorage"))),
        "its tensor 'w' has no storage",
    ),
    "a storage of a call": (
        rebuilt(storage=stored("0", "cpu", 2, kind=PARAMETER)),
        "its tensor 'w' has the storage 'torch._utils _rebuild_parameter'",
    ),
    "another's storage": (
        rebuilt(key=LONG),
        f"its tensor 'w' has the storage '{LONG[:99]}, which is not there or another tensor's",
    ),
    "a number for a key": (
        rebuilt(key=0),
        "its tensor 'w' has the storage 0, which is not there or another tensor's",
    ),
    "a list for a key": (
        rebuilt(key=[]),
        "its tensor 'w' has the storage a list, which is not there or another tensor's",
    ),
    "a size that lies": (rebuilt(count=3), "its tensor 'w' has a storage of 3 numbers in 8 bytes"),
    "a size of a fraction": (
        rebuilt(count=2.0),
        "its tensor 'w' has a storage of a float numbers in 8 bytes",
    ),
    "an offset": (rebuilt(offset=1), f"its tensor 'w' has the shape (2,), {NUMBERS}"),
    "another shape": (rebuilt(shape=(0, 9)), f"its tensor 'w' has the shape (0, 9), {NUMBERS}"),
    "eight dimensions": (rebuilt(shape=(1,) * 8), f"its tensor 'w' has the shape {(1,) * 8}, {NUMBERS}"),
    "nine dimensions": (rebuilt(shape=(1,) * 9), f"its tensor 'w' has the shape a tuple, {NUMBERS}"),
    "the largest": (
        rebuilt(shape=(2**63 - 1,)),
        f"its tensor 'w' has the shape (9223372036854775807,), {NUMBERS}",
    ),
    "larger": (rebuilt(shape=(2**63,)), f"its tensor 'w' has the shape a tuple, {NUMBERS}"),
    "less than nothing": (rebuilt(shape=(-1, -2)), f"its tensor 'w' has the shape a tuple, {NUMBERS}"),
    "a list for a shape": (rebuilt(shape=[2]), f"its tensor 'w' has the shape a list, {NUMBERS}"),
    "a list for strides": (rebuilt(stride=[1]), f"its tensor 'w' has the shape (2,), {NUMBERS}"),
    "truth for a shape": (rebuilt(shape=(True, 2)), f"its tensor 'w' has the shape a tuple, {NUMBERS}"),
    "strides": (rebuilt(stride=(0,)), "its tensor 'w' has the strides (0,), not those of the shape (2,)"),
    "a storage over": (rebuilt(more=b"x"), "its record data/1 belongs to no tensor"),
}


@pytest.mark.parametrize(("content", "words"), TENSORS.values(), ids=TENSORS)
def test_an_odd_tensor_is_refused_by_what_is_odd(content: bytes, words: str) -> None:
    assert refusal(content) == words


STEERING = b"cmod\nname\x1b[2J\n"
STEERED = "name\\x1b[2J"


def test_names_in_a_file_do_not_steer_a_terminal() -> None:
    model = torch_archive(STEERING + b".")
    assert refusal(model) == f"it names mod.{STEERED}"
    with pytest.raises(RevivalError, match=re.escape(f"wrote: it holds a {STEERED}, but must")):
        read_tensors(model)
    odd = tampered(lambda model: model._buffers.update({"größe\x1b\n\u202e": double}))
    assert refusal(odd()).endswith(r"are mean, scale, größe\x1b\n\u202e, not mean, scale")


FOREIGN = f"cmy own mod\n{LONG}\n".encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            rebuilt(storage=stored("0", "cpu", 2, kind=FOREIGN)),
            f"its tensor 'w' has the storage '{'my own mod ' + LONG[:89]}'",
        ),
        (rebuilt(hooks=FOREIGN), "its tensor 'w' has hooks"),
        (
            torch_archive(b"}" + dumped("w") + FOREIGN + b"s."),
            f"its 'w' is a {LONG[:100]}, but must be a tensor",
        ),
    ],
)
def test_a_foreign_name_among_tensors_is_told_in_short(content: bytes, words: str) -> None:
    with pytest.raises(RevivalError) as caught:
        read_tensors(content)
    assert str(caught.value) == f"These are no tensors that torch.save wrote: {words}."


LINEAR = nn.Linear(1, 1)
MEAN = "its mean is not one float64 number for each of its {} features"
SHAPES = "its layers have weights of the shapes {}, which make no perceptron"
MODELS: dict[str, tuple[Callable[[Regressor], Any], str]] = {
    "features, a list": (put("features", ["x"]), "its features are no tuple of names"),
    "no features": (put("features", ()), "its features are no tuple of names"),
    "features, numbers": (put("features", ("x", 1)), "its features are no tuple of names"),
    "no target": (put("target", None), "its target is no name"),
    "two features": (put("features", ("x", "z")), MEAN.format(2)),
    "a mean of float32": (lambda model: model._buffers.update(mean=torch.ones(1)), MEAN.format(1)),
    "two means": (lambda model: model._buffers.update(mean=torch.ones(2).double()), MEAN.format(1)),
    "no mean": (lambda model: model._buffers.pop("mean"), MEAN.format(1)),
    "no scale": (
        lambda model: model._buffers.pop("scale"),
        "its scale is not one float64 number for each of its 1 features",
    ),
    "float64 weights": (
        lambda model: model.network.double(),
        "its tensor 'network.hidden1.weight' is torch.float64, but must be torch.float32",
    ),
    "a long name": (
        lambda model: model.network._buffers.update({LONG: double.clone()}),
        f"its tensor 'network.{LONG[:92]}' is torch.float64, but must be torch.float32",
    ),
    "buffers, a list": (put("_buffers", []), "the _buffers of a module is a list, but must be a dict"),
    "parameters, a list": (
        put("_parameters", []),
        "the _parameters of a module is a list, but must be a dict",
    ),
    "modules, a list": (put("_modules", []), "the _modules of a module is a list, but must be a dict"),
    "no network": (
        lambda model: model._modules.clear(),
        "its network is a NoneType, but must be one of this package's",
    ),
    "a layer for a network": (
        child("", "network", LINEAR),
        "its network is a Linear, but must be one of this package's",
    ),
    "a module that is none": (
        lambda model: model.__dict__["_modules"].update({LONG: 1}),
        f"what should be '{LONG[:100]}' is a int that torch.save does not write",
    ),
    "twice the same": (
        lambda model: model._modules.update({LONG: model.network}),
        f"its module '{LONG[:100]}' lies too deep, or is there twice",
    ),
    "too deep": (
        child("network.active1", "a", nn.Sequential(nn.ReLU())),
        "its module 'network.active1.a.0.' lies too deep, or is there twice",
    ),
    "another width": (
        child("network", "hidden2", nn.Linear(7, 3)),
        SHAPES.format("[(2, 1), (3, 7), (1, 3)]"),
    ),
    "two outputs": (
        child("network", "regression", nn.Linear(3, 2)),
        SHAPES.format("[(2, 1), (3, 2), (2, 3)]"),
    ),
    "one layer": (inner("network", "_modules", {"regression": LINEAR}), SHAPES.format("[(1, 1)]")),
    "a weight of one dimension": (
        lambda model: model.network._buffers.update({"a.weight": torch.ones(1)}),
        SHAPES.format("[(1,), (2, 1), (3, 2), (1, 3)]"),
    ),
    "many layers": (
        lambda model: model.network._buffers.update({f"{n}.weight": torch.ones(2, 2) for n in range(30)}),
        SHAPES.format(str([(2, 2)] * 30)[:200]),
    ),
    "another width of a bias": (
        lambda model: model.get_submodule("network.hidden2")._parameters.update(
            bias=nn.Parameter(torch.ones(7))
        ),
        "its tensor 'network.hidden2.bias' has the shape (7,), but must have (3,)",
    ),
    "an attribute more": (put(LONG, 1), f"the regressor has or lacks the attribute '{LONG[:100]}'"),
    "an attribute less": (
        lambda model: model.network.get_submodule("active1").__dict__.pop("inplace"),
        "active1 has or lacks the attribute 'inplace'",
    ),
    "a buffer more": (
        lambda model: model.register_buffer(LONG + LONG, double.clone()),
        f"the _buffers of the regressor are mean, scale, {LONG}{LONG[:86]}, not mean, scale",
    ),
    "a parameter more": (
        lambda model: model.network.register_parameter("w", nn.Parameter(torch.ones(2))),
        "the _parameters of network are w, not ",
    ),
    "submodules more": (
        lambda model: model._modules.update({LONG: nn.ReLU(), LONG[1:]: nn.ReLU()}),
        f"the submodules of the regressor are network, {LONG}, {LONG[:88]}, not network",
    ),
    "another order": (
        lambda model: model.network._modules.update(active1=model.network._modules.pop("active1")),
        "the submodules of network are hidden1, hidden2, active2, regression, active1, "
        "not hidden1, active1, hidden2, active2, regression",
    ),
    "another module": (
        child("network", "active1", nn.Sequential()),
        "what should be 'active1' is a Sequential, but must be a ReLU",
    ),
    "training, a text": (put("training", "yes"), "whether the regressor is training is a str"),
    "in place": (
        inner("network.active1", "inplace", True),
        "the attribute inplace of active1 is True, but must be False",
    ),
    "in place, by number": (
        inner("network.active1", "inplace", 0),
        "the attribute inplace of active1 is 0, but must be False",
    ),
    "a width that lies": (
        inner("network.hidden1", "in_features", 5),
        "the attribute in_features of hidden1 is 5, but must be 1",
    ),
    "a long text": (
        put("_is_full_backward_hook", LONG),
        f"the attribute _is_full_backward_hook of the regressor is '{LONG[:99]}, but must be None",
    ),
    "hooks": (
        put("_forward_hooks", {"a": 1}),
        "the attribute _forward_hooks of the regressor is a dict, but must be OrderedDict()",
    ),
    "ordered hooks": (
        put("_forward_hooks", OrderedDict(a=1)),
        "the attribute _forward_hooks of the regressor is a OrderedDict, but must be OrderedDict()",
    ),
    "buffers that are not kept": (
        put("_non_persistent_buffers_set", {"mean"}),
        "the attribute _non_persistent_buffers_set of the regressor is a set, but must be set()",
    ),
}


@pytest.mark.parametrize(("change", "words"), MODELS.values(), ids=MODELS)
def test_an_odd_model_is_refused_by_what_is_odd(change: Callable[[Regressor], Any], words: str) -> None:
    assert refusal(tampered(change)()) == words
