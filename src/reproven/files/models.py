"""Saved models: written with torch.save, and read back without unpickling.

The archive is checked to the bit (`archive`), its pickle is read as a description (`pickles`), and what it
describes must be a network of this package, or a dict of tensors: then a new one is built from its numbers.
So no class, function, attribute or hook of the file comes to life; only names, shapes and numbers do.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from reproven.errors import RevivalError, Unreadable
from reproven.files import archive, pickles
from reproven.files.archive import OddArchive
from reproven.files.disk import first_line, is_file, write_bytes
from reproven.files.names import MODEL, OF_FEATURES, OF_TARGET, STATE_DICT
from reproven.files.pickles import PERSISTENT, Made, Named, OddPickle
from reproven.networks import CLASSES, VARIANTS, Regressor, unset

_TENSOR, _PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
_ORDERED, _SET = "collections OrderedDict", "__builtin__ set"
_STORAGES = {"torch FloatStorage": "<f4", "torch DoubleStorage": "<f8"}
_DEPTH = 3  # of modules: regressor, network, hidden, layer
_MANY = 20  # names in one error


class _Odd(ValueError):
    """What a file describes is no model; says what was found."""


def write_torch(path: Path, value: Any) -> None:
    """Writes a model or a state_dict with torch.save."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def write_model(folder: Path, regressor: Regressor) -> None:
    """Writes both forms of a model: whole, and the state_dict of the network alone."""
    write_torch(folder / MODEL, regressor)
    write_torch(folder / STATE_DICT, regressor.network.state_dict())


def read_torch(path: Path) -> Regressor | dict[str, Tensor]:
    """Reads a whole model or a state_dict; nothing in the file runs.

    Args:
        path: A file that torch.save wrote.

    Returns:
        A regressor on the CPU and in evaluation mode, or a state_dict of float32 and float64 tensors.

    Raises:
        Unreadable: The file is missing, broken, holds something else, or names a class or function
            that is not allowed.
    """
    if not is_file(path):
        raise Unreadable(path, "is not a file. Give a run id, a models:/ URI or a file.")
    try:
        content = archive.read(path)
        if not archive.is_archive(content):
            raise _Odd(_not_an_archive(content))
        records = archive.records(content)
        if foreign := [name for name in pickles.names(records[archive.PICKLE]) if name not in _allowed()]:
            raise _Odd(f"it names {', '.join(foreign[:_MANY])}")
        return _Reader(records).model(pickles.read(records[archive.PICKLE]))
    except (_Odd, OddArchive, OddPickle) as error:
        raise Unreadable(
            path,
            f"is refused: {_printable(error)}. Only files that torch.save wrote are read, with this "
            "package's networks and torch's tensors in them, and nothing in the file has run. Do not load it "
            "in another way unless you trust who made it.",
        ) from error
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {first_line(error)}.") from error


def read_tensors(content: bytes) -> dict[str, Tensor]:
    """Reads float32 and float64 tensors by their names; nothing in the bytes runs.

    Raises:
        RevivalError: They are not what torch.save wrote of such tensors.
    """
    try:
        records = archive.records(content)
        found = _Reader(records).model(pickles.read(records[archive.PICKLE]))
    except (_Odd, OddArchive, OddPickle) as error:
        raise RevivalError(f"These are no tensors that torch.save wrote: {_printable(error)}.") from error
    if not isinstance(found, dict):
        raise RevivalError("These are no tensors, but a whole model.")
    return found


def _printable(error: Exception) -> str:
    """What an error says; what a file calls something steers no terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(error))


def _allowed() -> set[str]:
    named = {f"{kind.__module__} {kind.__qualname__}" for kind in CLASSES}
    return {name.replace(" ", ".") for name in named | {_TENSOR, _PARAMETER, _ORDERED, _SET, *_STORAGES}}


def _not_an_archive(content: bytes) -> str:
    names = [name for name in pickles.names(content) if name not in _allowed()]
    what = "it is no archive of torch.save" if content else "it is empty"
    return f"{what}, and it names {', '.join(names[:_MANY])}" if names else what


class _Reader:
    """Turns what a pickle describes into tensors and networks, or says what is odd about it."""

    def __init__(self, records: Mapping[str, bytes]) -> None:
        self._modules: set[int] = set()
        self._storages = {name[5:]: record for name, record in records.items() if name.startswith("data/")}

    def model(self, made: Any) -> Regressor | dict[str, Tensor]:
        if isinstance(made, Made) and made.name == _ORDERED and not made.args:
            made = made.items
        if isinstance(made, dict):
            found: Regressor | dict[str, Tensor] = self._state_dict(made)
        elif isinstance(made, Made) and made.name == _name_of(Regressor):
            found = self._regressor(made)
        else:
            raise _Odd(
                f"it holds a {_kind(made)}, but must hold a Regressor: a network together with its "
                "standardisation; or a state_dict of tensors"
            )
        if self._storages:
            raise _Odd(f"its record data/{min(self._storages)} belongs to no tensor")
        return found

    def _state_dict(self, held: Mapping[str, Any]) -> dict[str, Tensor]:
        if not held:
            raise _Odd("it holds an empty dict, but must hold a state_dict of tensors")
        return {name: self._tensor(name, value) for name, value in held.items()}

    def _regressor(self, made: Made) -> Regressor:
        """A new regressor with the numbers of the one that is described, if that is one all through."""
        state = _state(made, "the regressor")
        features, target = state.get("features"), state.get("target")
        if not isinstance(features, tuple) or not features or not all(isinstance(n, str) for n in features):
            raise _Odd("its features are no tuple of names")
        if not isinstance(target, str):
            raise _Odd("its target is no name")
        tensors = dict(self._tensors_of(made, ""))
        for name in OF_FEATURES:
            tensor = tensors.get(name)
            if tensor is None or tensor.dtype != torch.float64 or tensor.shape != (len(features),):
                raise _Odd(f"its {name} is not one float64 number for each of its {len(features)} features")
        unit = [tensors[name] for name in OF_TARGET if name in tensors]
        if len(unit) == 1 or any(one.dtype != torch.float64 or one.shape != () for one in unit):
            raise _Odd("its target_mean and target_scale are not one float64 number each")
        for name, tensor in tensors.items():
            if name.startswith("network.") and tensor.dtype != torch.float32:
                raise _Odd(f"its tensor {name[:100]!r} is {tensor.dtype}, but must be torch.float32")
        network = _fresh(_part(state, "_modules").get("network"), tensors, inputs=len(features))
        regressor = Regressor(network, tensors["mean"], tensors["scale"], features, target, *unit)
        _refuse_other(made, regressor, "the regressor")
        for name, own in regressor.state_dict().items():
            shape, wanted = tuple(tensors[name].shape), tuple(own.shape)
            if shape != wanted:
                raise _Odd(f"its tensor {name!r} has the shape {shape}, but must have {wanted}")
        regressor.load_state_dict(tensors)
        return regressor.eval()

    def _tensors_of(self, made: Any, above: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
        """The tensors of a module and its submodules, by the names that its state_dict gives them."""
        if depth > _DEPTH or id(made) in self._modules:
            raise _Odd(f"its module {above[:100]!r} lies too deep, or is there twice")
        self._modules.add(id(made))
        state = _state(made, above)
        for name, value in {**_part(state, "_parameters"), **_part(state, "_buffers")}.items():
            yield f"{above}{name}", self._tensor(f"{above}{name}", value)
        for name, value in _part(state, "_modules").items():
            yield from self._tensors_of(value, f"{above}{name}.", depth + 1)

    def _tensor(self, name: str, made: Any) -> Tensor:
        """A tensor that is the whole of a storage of its own, in the order of its memory."""
        name = repr(name[:100])
        if _is_call(made, _PARAMETER, 3):
            made, _, hooks = made.args
            _refuse_items(hooks, name)
        if not _is_call(made, _TENSOR, 6):
            raise _Odd(f"its {name} is a {_kind(made)}, but must be a tensor")
        storage, offset, shape, stride, _, hooks = made.args
        _refuse_items(hooks, name)
        kind, record = self._storage(name, storage)
        count = len(record) // np.dtype(kind).itemsize
        if not all(_is_sizes(sizes) for sizes in (shape, stride)) or offset != 0 or math.prod(shape) != count:
            raise _Odd(
                f"its tensor {name} has the shape {_short(shape)}, but its storage holds {count} numbers"
            )
        if stride != tuple(math.prod(shape[place + 1 :]) for place in range(len(shape))):
            raise _Odd(
                f"its tensor {name} has the strides {_short(stride)}, not those of the shape {_short(shape)}"
            )
        return torch.from_numpy(np.frombuffer(record, kind).reshape(shape).copy())

    def _storage(self, name: str, made: Any) -> tuple[str, bytes]:
        if not _is_call(made, PERSISTENT, 5):
            raise _Odd(f"its tensor {name} has no storage")
        what, named, key, _, size = made.args
        if what != "storage" or not isinstance(named, Named):
            raise _Odd(f"its tensor {name} has no storage")
        kind = _STORAGES.get(named.name)
        if kind is None:
            raise _Odd(f"its tensor {name} has the storage {named.name[:100]!r}")
        record = self._storages.pop(key, None) if isinstance(key, str) else None
        if record is None:
            raise _Odd(
                f"its tensor {name} has the storage {_short(key)}, which is not there or another tensor's"
            )
        if type(size) is not int or size * np.dtype(kind).itemsize != len(record):
            raise _Odd(f"its tensor {name} has a storage of {_short(size)} numbers in {len(record)} bytes")
        return kind, record


def _name_of(kind: type) -> str:
    return f"{kind.__module__} {kind.__qualname__}"


def _is_call(made: Any, name: str, count: int) -> TypeGuard[Made]:
    """Whether a value is what a call with so many arguments makes, and nothing is done to it after."""
    is_made = isinstance(made, Made) and made.name == name and len(made.args) == count
    return is_made and not made.items and made.state is None


def _kind(made: Any) -> str:
    """What a value is, in a word."""
    if isinstance(made, Made | Named):
        return made.name.rpartition(" ")[2][:100]
    return type(made).__name__


def _short(value: Any) -> str:
    return repr(value)[:100] if isinstance(value, int | str) or _is_sizes(value) else f"a {_kind(value)}"


def _is_sizes(value: Any) -> bool:
    return (
        isinstance(value, tuple) and len(value) <= 8 and all(type(n) is int and 0 <= n < 2**63 for n in value)
    )


def _state(made: Any, what: str) -> dict[str, Any]:
    if not isinstance(made, Made) or made.args or made.items or not isinstance(made.state, dict):
        raise _Odd(f"what should be {what[:100]!r} is a {_kind(made)} that torch.save does not write")
    return made.state


def _part(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The parameters, buffers or submodules in a module's state."""
    held = state.get(name)
    if not isinstance(held, dict):
        raise _Odd(f"the {name} of a module is a {_kind(held)}, but must be a dict")
    return held


def _refuse_items(hooks: Any, name: str) -> None:
    if not _is_call(hooks, _ORDERED, 0):
        raise _Odd(f"its tensor {name} has hooks")


def _fresh(made: Any, tensors: Mapping[str, Tensor], *, inputs: int) -> nn.Module:
    """A network of the described one's class and widths; it holds no more numbers than the file does."""
    kinds = {_name_of(kind): kind for kind in VARIANTS.values()}
    kind = kinds.get(made.name) if isinstance(made, Made) else None
    if kind is None:
        raise _Odd(f"its network is a {_kind(made)}, but must be one of this package's")
    shapes = [tuple(tensor.shape) for name, tensor in tensors.items() if name.endswith(".weight")]
    widths = [shape[0] for shape in shapes if len(shape) == 2]
    wanted = [(width_out, width_in) for width_in, width_out in pairwise((inputs, *widths))]
    if shapes != wanted or len(widths) < 2 or widths[-1] != 1:
        raise _Odd(f"its layers have weights of the shapes {str(shapes)[:200]}, which make no perceptron")
    return unset(kind, inputs, tuple(widths[:-1]))


def _refuse_other(made: Made, fresh: nn.Module, what: str) -> None:
    """Refuses a described module that is not, attribute by attribute, the fresh one but for its numbers.

    Its tensors have been read: so it and all in it are modules, and their parts are dicts.
    """
    state, own = made.state, vars(fresh)
    if made.name != _name_of(type(fresh)):
        raise _Odd(f"what should be {what!r} is a {_kind(made)}, but must be a {type(fresh).__name__}")
    missing = [name for name, value in own.items() if name not in state and value not in (None, {}, set())]
    if odd := [*(name for name in state if name not in own), *missing]:
        raise _Odd(f"{what} has or lacks the attribute {odd[0][:100]!r}")
    for name, value in own.items():
        given: Any = state.get(name)
        if name in ("_parameters", "_buffers"):
            tensors = {key: held for key, held in value.items() if held is not None}
            if given.keys() != tensors.keys():
                raise _Odd(f"the {name} of {what} are {', '.join(given)[:200]}, not {', '.join(tensors)}")
        elif name == "_modules":
            if list(given) != list(value):
                raise _Odd(f"the submodules of {what} are {', '.join(given)[:200]}, not {', '.join(value)}")
            for key, module in value.items():
                _refuse_other(given[key], module, key)
        elif name == "training":
            if not isinstance(given, bool):
                raise _Odd(f"whether {what} is training is a {_kind(given)}")
        elif not _is_like(given, value):
            raise _Odd(f"the attribute {name} of {what} is {_short(given)}, but must be {value}")


def _is_like(given: Any, value: Any) -> bool:
    """Whether a described value is plain, of the same type, and equal; a new module's dicts are empty."""
    if isinstance(value, dict | set):
        if isinstance(given, Made):
            is_empty = given.args in ((), ([],)) and given.name in (_ORDERED, _SET)
            return is_empty and not given.items and given.state is None
        return given is None or given == {}
    return type(given) is type(value) and bool(given == value)
