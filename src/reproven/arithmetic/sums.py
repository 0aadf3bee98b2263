"""Sums: of products and of numbers, each the nearest float32 to the exact sum.

Products of two float32 numbers are exact in float64, so a float64 sum is known to be close whatever its
order, its threads and its instructions are; `rounding` does the rest. So any fast product of matrices serves.

Source of the bounds: Higham (2002), "Accuracy and Stability of Numerical Algorithms", chapter 4; of sums that
    are rounded correctly one by one: Shewchuk (1997), Discrete & Computational Geometry 18(3), by math.fsum.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import fsum, inf, isfinite, nextafter, prod, sqrt
from typing import Any

import numpy as np

from reproven.arithmetic.rounding import Bound, Places, U, nearest, nearest_to

_SLACK = 1 + 1e-6  # of bounds that are themselves computed in float64
_SMALL = 1 << 16  # multiplications, up to which one bound for all results is cheaper than one for each
_FEW = 1 << 11  # numbers, up to which sums are cheaper to take one by one
_AT_ONCE = 1 << 20  # numbers that are looked at more closely at a time

# Memory that was given back is asked of the system anew, and then slow to write: a large product may wait as
# long for it as for its sums. glibc keeps what is no larger than anything given back before, up to 32 MiB.
np.empty(31 << 17)  # of which nothing is written


def product(a: np.ndarray, b: np.ndarray, *, over: int = 1, lengths: np.ndarray | None = None) -> np.ndarray:
    """Products of matrices, over a whole number: Σₖ a[…, m, k] b[…, k, n] / over, each the nearest float32.

    Args:
        a: (…, m, k) float32; float64 is computed as it comes, to any order.
        b: (…, k, n) of the same type, with the same axes in front; float32 numbers may be held in float64.
        over: From 1 to 2⁵³.
        lengths: Of b's columns, √Σₖ b², (…, n), or more; None looks at all of b for them.

    Returns:
        (…, m, n) of a's type.
    """
    if a.dtype == np.float64:
        return np.asarray(a @ b / over)
    A, B = a.astype(np.float64), b.astype(np.float64, copy=False)
    value = np.asarray(A @ B)
    if over != 1:
        value /= over
    return nearest(value, _bound(A, B, over, lengths), lambda places: _refined(value, A, B, over, places))


def total(x: np.ndarray, axes: Sequence[int] | None = None, *, over: int = 1) -> np.ndarray:
    """The sum over some axes, or all, divided by a whole number; each the nearest float32.

    Args:
        x: Of any shape, float32.
        axes: Which to sum over; they are left out of the result.
        over: From 1 to 2⁵³.
    """
    summed = tuple(range(x.ndim)) if axes is None else tuple(axis % x.ndim for axis in axes)
    kept = tuple(axis for axis in range(x.ndim) if axis not in summed)
    shape = tuple(x.shape[axis] for axis in kept)
    terms = x.transpose(kept + summed).reshape(prod(shape), prod(x.shape[axis] for axis in summed))
    return product(terms, np.ones((terms.shape[1], 1), x.dtype), over=over).reshape(shape)


def gathered(values: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """The sums of those rows of values that have the same place, (count, …); each the nearest float32.

    Args:
        values: (rows, …) float32, or float64, which is added in the order of the rows.
        places: (rows,), from 0 to count − 1.
        count: How many places there are.
    """
    rows = values.reshape(len(values), prod(values.shape[1:]))
    found = np.zeros((count, rows.shape[1]), values.dtype)
    order = np.argsort(places, kind="stable")
    own, starts = np.unique(places[order], return_index=True)
    if len(own):
        sorted_ = rows[order].astype(np.float64)
        value = np.add.reduceat(sorted_, starts, axis=0)
        if values.dtype == np.float64:
            found[own] = value
        else:
            ends = np.append(starts[1:], len(order))
            size = np.add.reduceat(np.abs(sorted_), starts, axis=0)

            def refine(at: Places) -> np.ndarray:
                pairs = zip(*at, strict=True)
                return np.concatenate(
                    [_nearest_to_sums(sorted_[None, starts[p] : ends[p], c], 1) for p, c in pairs]
                )

            found[own] = nearest(value, ((ends - starts)[:, None] * U * _SLACK, size), refine)
    return found.reshape(count, *values.shape[1:])


def _bound(A: np.ndarray, B: np.ndarray, over: int, lengths: np.ndarray | None) -> Bound:
    """How far computed products are from exact ones: by Σ |a b| at most, which Cauchy and Schwarz bound."""
    relative = _relative(A.shape[-1], over)
    if A.size * B.shape[-1] <= _SMALL:
        return (relative * sqrt(_squares(A) * _squares(B)),)
    rows = np.sqrt(np.einsum("...mk,...mk->...m", A, A))
    columns = np.sqrt(np.einsum("...kn,...kn->...n", B, B)) if lengths is None else lengths
    return relative * rows[..., :, None], columns[..., None, :]


def _relative(terms: int, over: int) -> float:
    """The error of a sum of so many numbers, added in any order, relative to that of their sizes."""
    return (max(terms - 1, 0) + (over != 1)) * U * _SLACK / over


def _squares(x: np.ndarray) -> float:
    flat = x.ravel(order="K")  # a view, whatever the order of the axes
    return float(np.dot(flat, flat))


def _refined(value: np.ndarray, A: np.ndarray, B: np.ndarray, over: int, places: Places) -> np.ndarray:
    """The nearest float32 to some results, looked at one by one, or seen to be what they come close to."""
    rough = value[places]
    found = rough.astype(np.float32)
    left, many = np.arange(len(found)), (A.size + B.size) // A.shape[-1]
    if np.count_nonzero(rough) < len(rough) - many:
        left = np.flatnonzero((rough != 0) | _meet(A, B, places))
    if len(left) > many and over == 1 and _lose_nothing(A, B):
        return found
    every = max(1, _AT_ONCE // A.shape[-1])
    for start in range(0, len(left), every):
        some = left[start : start + every]
        *at, row, column = (one[some] for one in places)
        terms = A[(*at, row)] * B.swapaxes(-1, -2)[(*at, column)]
        found[some] = _nearest_to_sums(terms, over)
    return found


def _lose_nothing(A: np.ndarray, B: np.ndarray) -> bool:
    """Whether all sums are exact, in any order: none comes to 2⁵³ of the steps that all terms are made of.

    Then many may lie half way between two float32; so it is where one matrix holds pixels or counts.
    """
    few = A.flat[:_FEW], B.flat[:_FEW]  # which say most often that it is not so
    return all(_are_short(a, b, A.shape[-1]) for a, b in (few, (A, B)))


def _are_short(a: np.ndarray, b: np.ndarray, terms: int) -> bool:
    most = terms * float(np.abs(a).max(initial=0)) * float(np.abs(b).max(initial=0))
    return isfinite(most) and most < 2**53 * _step(a) * _step(b)


def _step(x: np.ndarray) -> float:
    """A power of two that all numbers are whole multiples of, as large as there is."""
    mantissa, exponent = np.frexp(x[x != 0])
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    return float(np.ldexp((whole & -whole).astype(np.float64), exponent - 53).min(initial=inf))


def _meet(A: np.ndarray, B: np.ndarray, places: Places) -> np.ndarray:
    """Whether some results add anything but zeros; where units are rectified, many do not."""
    of_A = np.moveaxis(np.packbits(A != 0, axis=-1), -1, 0)
    of_B = np.moveaxis(np.packbits(B != 0, axis=-2), -2, 0)
    *at, row, column = places
    all_: Any = slice(None)
    found: np.ndarray = np.any(of_A[(all_, *at, row)] & of_B[(all_, *at, column)], axis=0)
    return found


def _nearest_to_sums(terms: np.ndarray, over: int) -> np.ndarray:
    """The nearest float32 to sums of float64 numbers, (sums, terms), divided by a whole number."""
    if terms.size <= _FEW:
        return _exactly(terms, over)
    terms = _laid(terms)
    value, depth = _in_a_tree(terms)
    bound = _relative(depth + 1, over), np.abs(terms).sum(axis=1)
    return nearest(value / over, bound, lambda places: _closer(terms[places], over))


def _in_a_tree(terms: np.ndarray) -> tuple[np.ndarray, int]:
    """Sums in which no number is added more often than that: the first half of them takes the second."""
    depth = 0
    while (count := terms.shape[1]) > 1:
        half = count // 2
        added = np.empty_like(terms[:, half:])
        np.add(terms[:, :half], terms[:, -half:], out=added[:, :half])
        added[:, half:] = terms[:, half:-half]
        terms, depth = added, depth + 1
    return terms[:, 0], depth


def _laid(terms: np.ndarray) -> np.ndarray:
    """The same numbers, with those side by side that are computed with at once: along the longer axis."""
    return np.asarray(terms, order="F" if terms.shape[1] < terms.shape[0] else "C")


def _closer(terms: np.ndarray, over: int) -> np.ndarray:
    if terms.size <= _FEW:
        return _exactly(terms, over)
    value, error = _twice_as_precise(terms)
    if over != 1:
        value = value / over
        error = error / over + U * np.abs(value)
    return nearest(value, (error * _SLACK,), lambda places: _exactly(terms[places], over))


def _exactly(terms: np.ndarray, over: int) -> np.ndarray:
    return np.array([_nearest_to_sum(one, over) for one in terms.tolist()], np.float32)


def _nearest_to_sum(terms: list[float], over: int) -> np.float32:
    if over == 1:
        value = fsum(terms)  # the nearest float64
        near = float(np.float32(value))
        beyond = 2 * value - near  # a float32, too, where the value lies half way between two
        rest = fsum([*terms, -value]) if value != near and float(np.float32(beyond)) == beyond else 0
        return np.float32(nextafter(value, rest * inf) if rest else near)
    value = fsum(terms) / over
    error = 2 * U * abs(value)
    low, high = np.float32(value - error), np.float32(value + error)
    return high if low == high else nearest_to(_whole(terms) / over)


def _whole(terms: list[float]) -> Fraction:
    """The exact sum, by parts: each is the float64 nearest to what the parts before leave."""
    parts: list[float] = []
    while part := fsum([*terms, *(-one for one in parts)]):
        parts.append(part)
    return sum(map(Fraction, parts), Fraction())


def _twice_as_precise(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums as if computed in twice the precision, and how far they are from the exact ones at most.

    What numbers are above a step, which is one for all of a sum, is added without loss. If nothing is below,
    as is usual for numbers of about one size, the sum is exact, though maybe half way between two float32.

    Source: Rump, Ogita & Oishi (2008), "Accurate floating-point summation part I: faithful rounding",
        SIAM Journal on Scientific Computing 31(1), algorithm 3.2.
    """
    terms, count = _laid(terms), terms.shape[1]
    _, exponent = np.frexp(np.abs(terms).max(axis=1, initial=0))
    beyond = np.ldexp(1.0, exponent + (count + 1).bit_length())[:, None]  # any sum of them
    above = beyond + terms - beyond
    below = terms - above
    value = above.sum(axis=1) + below.sum(axis=1)
    lost = np.abs(below).sum(axis=1)
    return value, np.where(lost > 0, U * np.abs(value) + count * U * lost, 0)
