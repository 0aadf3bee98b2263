"""Shapes: an array as the one feature of a table, its kind a text such as `float32[1,8,8]` of each row."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from reproven.errors import DataError

_KIND = re.compile(r"(float32|int64)\[((?:[1-9]\d{0,9})(?:,[1-9]\d{0,9}){0,7})?\]")
LARGEST = float(np.finfo(np.float32).max)


def kind_of_array(X: np.ndarray) -> str:
    """The kind of an array's rows, of an array as `as_taken` returns it."""
    return f"{X.dtype}[{','.join(map(str, X.shape[1:]))}]"


def is_array(kind: str) -> bool:
    """Whether a column's kind is that of an array."""
    return _KIND.fullmatch(kind) is not None


def dtype_and_shape(kind: str) -> tuple[str, tuple[int, ...]]:
    """The dtype and the shape of a row of an array.

    Raises:
        ValueError: It is no such kind.
    """
    match = _KIND.fullmatch(kind)
    if match is None:
        raise ValueError(f"{kind!r} is no kind of an array")
    return match[1], tuple(int(size) for size in match[2].split(",")) if match[2] else ()


def width_of(kind: str) -> int:
    """How many numbers a row has."""
    return math.prod(dtype_and_shape(kind)[1])


def zeros(kind: str) -> Any:
    """A row of zeros of this kind, as lists."""
    dtype, shape = dtype_and_shape(kind)
    return np.zeros((1, *shape), dtype=dtype).tolist()


def as_taken(values: Any, source: str, kind: str | None = None) -> np.ndarray:
    """An array as a network takes it: whole numbers int64, all others float32.

    Args:
        values: Anything that NumPy makes an array of, rows first.
        source: What errors call it.
        kind: What it must be; None takes any.

    Raises:
        DataError: It holds something else than numbers that float32 can hold, or is of another kind.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "iufb" or found.ndim < 1:
        raise DataError(f"{source} holds {found.dtype}, but must hold an array of numbers, rows first.")
    wanted, shape = (None, None) if kind is None else dtype_and_shape(kind)
    if wanted == "int64" and found.dtype.kind == "f":
        raise DataError(f"{source} holds {found.dtype}, but must hold whole numbers, as in training.")
    if shape is not None and found.shape[1:] != shape:
        raise DataError(f"{source} has rows of shape {found.shape[1:]}, but must have {shape}.")
    if wanted == "int64" or (wanted is None and found.dtype.kind in "iu"):
        return np.ascontiguousarray(found, dtype=np.int64)
    if found.dtype.kind == "f" and len(found):
        usable = np.abs(found) <= LARGEST
        if not usable.all():
            row = int(np.argmin(usable.reshape(len(found), -1).all(axis=1)))
            raise DataError(f"{source}, row {row + 1} has a number that is missing or too large for float32.")
    return np.ascontiguousarray(found, dtype=np.float32)
