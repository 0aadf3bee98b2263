"""Rounding: real numbers to the nearest float32, when all that is known is a float64 number close to them.

A result that is the real number's nearest float32 depends on no order of additions, no library and no
processor. It is found as Ziv did: where all that the real number may be rounds to one float32, that is it;
elsewhere, which is rare, it is asked for more closely, and in the end exactly.

Source: Ziv (1991), "Fast evaluation of elementary mathematical functions with correctly rounded last bit",
    ACM Transactions on Mathematical Software 17(3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product as every
from math import prod
from typing import Any

import numpy as np

#: Half the distance from 1 to the next float64: the relative error of one operation at most.
U = 2.0**-53
_LARGEST = np.finfo(np.float32).max
_BEYOND = Fraction(float(_LARGEST)) + 2**103  # half a step further, from where on all are infinite
_AT_ONCE = 1 << 15  # numbers that a processor's own memory holds, with what is made of them
#: Where an array's numbers are, as numpy.nonzero tells it.
Places = tuple[np.ndarray, ...]
#: From places to the nearest float32 there, (places,).
Refine = Callable[[Places], np.ndarray]
#: How far real numbers are from known ones at most: the product of these, each broadcastable to the numbers.
Bound = tuple[np.ndarray | float, ...]


def nearest(value: np.ndarray, bound: Bound, refine: Refine) -> np.ndarray:
    """The float32 numbers nearest to real ones, of one axis or more; ties go to even, and zeros are positive.

    Args:
        value: float64, close to the real numbers, or what becomes of them: infinite, or none.
        bound: How far a real number is from its `value` at most.
        refine: Asked for the numbers that this leaves open.
    """
    value = np.asarray(value)
    found, is_open = np.empty(value.shape, np.float32), np.empty(value.shape, np.bool_)
    if value.size <= _AT_ONCE:
        _round(value, bound, found, is_open)
    else:
        factors = [np.broadcast_to(factor, value.shape) for factor in bound]
        for part in _parts(value.shape):
            _round(value[part], tuple(factor[part] for factor in factors), found[part], is_open[part])
    if is_open.any():
        _settle(found, is_open, value, refine)
    found += np.float32(0)  # −0 to +0: what is too small to tell has no sign that could be relied on
    return found


def _parts(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Indices that together are a large array, in its order, each of about as many numbers as fit at once."""
    axis = next(axis for axis in range(len(shape)) if prod(shape[axis + 1 :]) <= _AT_ONCE)
    every_so_many = _AT_ONCE // prod(shape[axis + 1 :])
    for before in every(*map(range, shape[:axis])):
        for start in range(0, shape[axis], every_so_many):
            yield (*before, slice(start, start + every_so_many))


def _round(value: np.ndarray, bound: Bound, found: np.ndarray, is_open: np.ndarray) -> None:
    """Writes what all real numbers within the bound round to, and where they do not round alike."""
    far = prod(bound[1:], start=bound[0])
    np.add(value, far, out=found, casting="same_kind")
    np.not_equal(found, np.subtract(value, far).astype(np.float32), out=is_open)


def _settle(found: np.ndarray, is_open: np.ndarray, value: np.ndarray, refine: Refine) -> None:
    where = np.flatnonzero(is_open)
    rough = value.ravel()[where]
    is_number = np.isfinite(rough)
    if not is_number.all():
        rough[np.isnan(rough)] = np.nan  # whose bits differ between processors
        found.reshape(-1)[where] = rough
        where = where[is_number]
    if len(where):
        places = np.unravel_index(where, value.shape)
        found.reshape(-1)[where] = refine(places)


def nearest_to(number: Fraction) -> np.float32:
    """The float32 nearest to a rational number; ties go to even, and zeros are positive.

    Rounding to float64 first may end on the wrong side, so its neighbours are looked at too.
    """
    with np.errstate(all="ignore"):
        if abs(number) >= _BEYOND:
            return np.float32(np.inf if number > 0 else -np.inf)
        near = np.clip(np.float32(float(number)), -_LARGEST, _LARGEST)
        around = [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]

    def distance(one: np.float32) -> tuple[Fraction, int]:
        return abs(Fraction(float(one)) - number), int(one.view(np.uint32)) & 1

    return min((one for one in around if np.isfinite(one)), key=distance) + np.float32(0)
