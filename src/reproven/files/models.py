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
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reproven.errors import RevivalError, Unreadable
from reproven.files import archive, pickles
from reproven.files.archive import OddArchive
from reproven.files.described import (
    ORDERED,
    SET,
    Odd,
    is_call,
    is_sizes,
    name_of,
    not_kept,
    part_of,
    printable,
    refuse_items,
    refuse_other,
    shown,
    state_of,
    word_for,
)
from reproven.files.digests import tensor_digests, text_sha256
from reproven.files.disk import first_line, is_file, write_bytes
from reproven.files.front import Front, Model, OwnModel, texts_of
from reproven.files.names import MADE_OF, MODEL, OF_ENCODING, OF_FEATURES, OF_TARGET, SCHEMA, STATE_DICT
from reproven.files.pickles import PERSISTENT, Made, Named, OddPickle
from reproven.networks import CLASSES, VARIANTS, Classifier, Regressor, unset

_TENSOR, _PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
_STORAGES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ByteStorage": "|u1",
    "torch BoolStorage": "|b1",
}
_DEPTH, _OWN_DEPTH = 3, 50  # of modules: regressor, network, hidden, layer
_MANY = 20  # names in one error
_BUFFERS = (*OF_FEATURES, *OF_TARGET, *OF_ENCODING)


def write_torch(path: Path, value: Any) -> None:
    """Writes a model or a state_dict with torch.save."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def write_model(folder: Path, model: Model) -> None:
    """Writes both forms of a model: whole, and the state_dict of the network alone."""
    write_torch(folder / MODEL, model)
    write_torch(folder / STATE_DICT, apart(model.network.state_dict()))


def apart(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Tensors, each the whole of a storage of its own: of those that share one, or lie otherwise, copies."""
    seen: set[int] = set()
    copies: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        is_whole = tensor.is_contiguous() and storage.nbytes() == tensor.numel() * tensor.element_size()
        if not is_whole or (storage.data_ptr() in seen and tensor.numel()):
            copies[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
        seen.add(storage.data_ptr())
    return {**tensors, **copies} if copies else tensors


def read_torch(path: Path) -> Model | dict[str, Tensor]:
    """Reads a whole model or a state_dict; nothing in the file runs.

    Args:
        path: A file that torch.save wrote.

    Returns:
        A model on the CPU and in evaluation mode, or the tensors of a state_dict.

    Raises:
        Unreadable: As for `read_described`.
        Untrusted, OwnCodeError: The model's network is the user's own, and cannot be had.
    """
    found = read_described(path)
    return found.model() if isinstance(found, OwnModel) else found


def read_described(path: Path) -> Model | OwnModel | dict[str, Tensor]:
    """Reads a whole model or a state_dict, and imports no network of the user's own.

    Raises:
        Unreadable: The file is missing, broken, holds something else, or names a class or function
            that is not allowed.
    """
    if not is_file(path):
        raise Unreadable(path, "is not a file. Give a run id, a models:/ URI or a file.")
    try:
        content = archive.read(path)
        if not archive.is_archive(content):
            raise Odd(_not_an_archive(content))
        records = archive.records(content)
        pickled = records[archive.PICKLE]
        foreign = [name for name in pickles.names(pickled) if name not in _allowed()]
        if foreign and not _holds_own(pickled):
            raise Odd(f"it names {', '.join(foreign[:_MANY])}")
        return _Reader(records).model(pickles.read(pickled))
    except (Odd, OddArchive, OddPickle) as error:
        raise Unreadable(
            path,
            f"is refused: {printable(error)}. Only files that torch.save wrote are read, with this "
            "package's networks and torch's tensors in them, and nothing in the file has run. Do not load it "
            "in another way unless you trust who made it.",
        ) from error
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {first_line(error)}.") from error


def digests_of(found: Model | OwnModel | dict[str, Tensor]) -> dict[str, str]:
    """The digests of what a file holds beside names: its tensors, and the texts of a whole model."""
    if isinstance(found, dict):
        return tensor_digests(found)
    if isinstance(found, OwnModel):
        tensors, texts = found.tensors, found.front.texts
    else:
        tensors, texts = found.state_dict(), texts_of(found)
    return tensor_digests(tensors) | {name: text_sha256(text) for name, text in texts.items()}


def read_tensors(content: bytes) -> dict[str, Tensor]:
    """Reads float32 and float64 tensors by their names; nothing in the bytes runs.

    Raises:
        RevivalError: They are not what torch.save wrote of such tensors.
    """
    try:
        records = archive.records(content)
        found = _Reader(records).model(pickles.read(records[archive.PICKLE]))
    except (Odd, OddArchive, OddPickle) as error:
        raise RevivalError(f"These are no tensors that torch.save wrote: {printable(error)}.") from error
    if not isinstance(found, dict):
        raise RevivalError("These are no tensors, but a whole model.")
    return found


def _allowed() -> set[str]:
    named = {f"{kind.__module__} {kind.__qualname__}" for kind in CLASSES}
    return {name.replace(" ", ".") for name in named | {_TENSOR, _PARAMETER, ORDERED, SET, *_STORAGES}}


def _not_an_archive(content: bytes) -> str:
    names = [name for name in pickles.names(content) if name not in _allowed()]
    what = "it is no archive of torch.save" if content else "it is empty"
    return f"{what}, and it names {', '.join(names[:_MANY])}" if names else what


class _Reader:
    """Turns what a pickle describes into tensors and networks, or says what is odd about it."""

    def __init__(self, records: Mapping[str, bytes]) -> None:
        self._modules: set[int] = set()
        self._is_own = False
        self._tensors: dict[int, Tensor] = {}
        self._storages = {name[5:]: record for name, record in records.items() if name.startswith("data/")}

    def model(self, made: Any) -> Model | OwnModel | dict[str, Tensor]:
        if isinstance(made, Made) and made.name == ORDERED and not made.args:
            made = made.items
        if isinstance(made, dict):
            found: Model | OwnModel | dict[str, Tensor] = self._state_dict(made)
        elif isinstance(made, Made) and made.name in map(name_of, (Regressor, Classifier)):
            found = self._whole(made)
        else:
            raise Odd(
                f"it holds a {word_for(made)}, but must hold a Regressor or a Classifier: a network together "
                "with its standardisation; or a state_dict of tensors"
            )
        if self._storages and not self._is_own:  # whose modules may hold more tensors than their state_dict
            raise Odd(f"its record data/{min(self._storages)} belongs to no tensor")
        return found

    def _state_dict(self, held: Mapping[str, Any]) -> dict[str, Tensor]:
        if not held:
            raise Odd("it holds an empty dict, but must hold a state_dict of tensors")
        return {name: self._tensor(name, value) for name, value in held.items()}

    def _whole(self, made: Made) -> Model | OwnModel:
        """A new model with the numbers of the one that is described, if that is one all through."""
        what = f"the {word_for(made).lower()}"
        described = state_of(made, what)
        features, target, schema = (described.get(name) for name in ("features", "target", SCHEMA))
        if not isinstance(features, tuple) or not features or not all(isinstance(n, str) for n in features):
            raise Odd("its features are no tuple of names")
        if not isinstance(target, str):
            raise Odd("its target is no name")
        own, self._is_own = described.get(MADE_OF), MADE_OF in described
        tensors = dict(self._tensors_of(made, ""))
        for name, tensor in tensors.items():
            if not self._is_own and name.startswith("network.") and tensor.dtype != torch.float32:
                raise Odd(f"its tensor {name[:100]!r} is {tensor.dtype}, but must be torch.float32")
        fitted: dict[str, Any] = {name: tensors[name] for name in _BUFFERS if name in tensors}
        fitted |= {name: text for name, text in ((SCHEMA, schema), (MADE_OF, own)) if text is not None}
        try:
            front = Front(fitted, features=features, target=target)
        except ValueError as error:
            raise Odd(str(error)) from error
        if self._is_own:
            return OwnModel(front, tensors)
        model = front.before(_fresh(part_of(described, "_modules").get("network"), tensors, front))
        refuse_other(made, model, what)
        for name, tensor in model.state_dict().items():
            shape, wanted = tuple(tensors[name].shape), tuple(tensor.shape)
            if shape != wanted:
                raise Odd(f"its tensor {name!r} has the shape {shape}, but must have {wanted}")
        model.load_state_dict(tensors)
        return model.eval()

    def _tensors_of(self, made: Any, above: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
        """The tensors of a module and its submodules, by the names that its state_dict gives them."""
        is_twice = id(made) in self._modules and not self._is_own
        if depth > (_OWN_DEPTH if self._is_own else _DEPTH) or is_twice:
            raise Odd(f"its module {above[:100]!r} lies too deep, or is there twice")
        self._modules.add(id(made))
        state = state_of(made, above)
        for name, value in {**part_of(state, "_parameters"), **part_of(state, "_buffers")}.items():
            if self._is_own and (value is None or name in not_kept(state)):
                continue
            yield f"{above}{name}", self._tensor(f"{above}{name}", value)
        for name, value in part_of(state, "_modules").items():
            yield from self._tensors_of(value, f"{above}{name}.", depth + 1)

    def _tensor(self, name: str, made: Any) -> Tensor:
        """A tensor; where two modules of the user's own share it, the same one."""
        if id(made) not in self._tensors or not self._is_own:
            self._tensors[id(made)] = self._read_tensor(name, made)
        return self._tensors[id(made)]

    def _read_tensor(self, name: str, made: Any) -> Tensor:
        """A tensor that is the whole of a storage of its own, in the order of its memory."""
        name = repr(name[:100])
        if is_call(made, _PARAMETER, 3):
            made, _, hooks = made.args
            refuse_items(hooks, name)
        if not is_call(made, _TENSOR, 6):
            raise Odd(f"its {name} is a {word_for(made)}, but must be a tensor")
        storage, offset, shape, stride, _, hooks = made.args
        refuse_items(hooks, name)
        kind, record = self._storage(name, storage)
        count = len(record) // np.dtype(kind).itemsize
        if not all(is_sizes(sizes) for sizes in (shape, stride)) or offset != 0 or math.prod(shape) != count:
            raise Odd(
                f"its tensor {name} has the shape {shown(shape)}, but its storage holds {count} numbers"
            )
        if stride != tuple(math.prod(shape[place + 1 :]) for place in range(len(shape))):
            raise Odd(
                f"its tensor {name} has the strides {shown(stride)}, not those of the shape {shown(shape)}"
            )
        return torch.from_numpy(np.frombuffer(record, kind).reshape(shape).copy())

    def _storage(self, name: str, made: Any) -> tuple[str, bytes]:
        if not is_call(made, PERSISTENT, 5):
            raise Odd(f"its tensor {name} has no storage")
        what, named, key, _, size = made.args
        if what != "storage" or not isinstance(named, Named):
            raise Odd(f"its tensor {name} has no storage")
        kind = _STORAGES.get(named.name)
        if kind is None:
            raise Odd(f"its tensor {name} has the storage {named.name[:100]!r}")
        record = self._storages.pop(key, None) if isinstance(key, str) else None
        if record is None:
            raise Odd(
                f"its tensor {name} has the storage {shown(key)}, which is not there or another tensor's"
            )
        if type(size) is not int or size * np.dtype(kind).itemsize != len(record):
            raise Odd(f"its tensor {name} has a storage of {shown(size)} numbers in {len(record)} bytes")
        return kind, record


def _holds_own(pickled: bytes) -> bool:
    """Whether a model is described whose network is the user's own, and so may be of any class."""
    try:
        made = pickles.read(pickled)
        is_model = isinstance(made, Made) and made.name in map(name_of, (Regressor, Classifier))
        return is_model and MADE_OF in state_of(made, "the model")
    except (Odd, OddPickle):
        return False


def _fresh(made: Any, tensors: Mapping[str, Tensor], front: Front) -> nn.Module:
    """A network of the described one's class and widths; it holds no more numbers than the file does."""
    kinds = {name_of(kind): kind for kind in VARIANTS.values()}
    kind = kinds.get(made.name) if isinstance(made, Made) else None
    if kind is None:
        raise Odd(f"its network is a {word_for(made)}, but must be one of this package's")
    shapes = [tuple(tensor.shape) for name, tensor in tensors.items() if name.endswith(".weight")]
    widths = [shape[0] for shape in shapes if len(shape) == 2]
    wanted = [(width_out, width_in) for width_in, width_out in pairwise((front.inputs, *widths))]
    if shapes != wanted or len(widths) < 2 or widths[-1] not in front.outputs:
        raise Odd(f"its layers have weights of the shapes {str(shapes)[:200]}, which make no perceptron")
    return unset(kind, front.inputs, tuple(widths[:-1]), widths[-1])
