"""Rounding: real numbers to the nearest float32, when all that is known is a float64 number close to them.

A result that is the real number's nearest float32 depends on no order of additions, no library and no
processor. It is found as Ziv did: where all that the real number may be rounds to one float32, that is it;
elsewhere, which is rare, it is asked for more closely, and in the end exactly.

Source: Ziv (1991), "Fast evaluation of elementary mathematical functions with correctly rounded last bit",
    ACM Transactions on Mathematical Software 17(3).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

#: Half the distance from 1 to the next float64: the relative error of one operation at most.
U = 2.0**-53
_LARGEST = np.finfo(np.float32).max
_BEYOND = Fraction(float(_LARGEST)) + 2**103  # half a step further, from where on all are infinite
#: Where an array's numbers are, as numpy.nonzero tells it.
Places = tuple[np.ndarray, ...]
#: From places to the nearest float32 there, (places,).
Refine = Callable[[Places], np.ndarray]


def nearest(value: np.ndarray, bound: np.ndarray | float, refine: Refine) -> np.ndarray:
    """The float32 numbers nearest to real ones, of any shape; ties go to even, and zeros are positive.

    Args:
        value: float64, close to the real numbers, or what becomes of them: infinite, or none.
        bound: How far a real number is from its `value` at most, broadcastable to it.
        refine: Asked for the numbers that this leaves open.
    """
    found = np.asarray(value + bound).astype(np.float32)
    is_open = found != np.asarray(value - bound).astype(np.float32)
    if is_open.any():
        _settle(found, is_open, value, refine)
    found += np.float32(0)  # −0 to +0: what is too small to tell has no sign that could be relied on
    return found


def _settle(found: np.ndarray, is_open: np.ndarray, value: np.ndarray, refine: Refine) -> None:
    value = np.asarray(value)
    is_number = np.isfinite(value)
    found[~is_number] = value[~is_number]
    found[np.isnan(found)] = np.nan  # whose bits differ between processors
    places = np.nonzero(is_open & is_number)
    if len(places[0] if places else [0]):
        found[places] = refine(places)


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
