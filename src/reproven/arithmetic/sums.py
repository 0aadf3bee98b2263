"""Sums: of products and of numbers, each the nearest float32 to the exact sum.

Products of two float32 numbers are exact in float64, so a float64 sum is known to be close whatever its
order, its threads and its instructions are; `rounding` does the rest. So any fast product of matrices serves.

Source of the bounds: Higham (2002), "Accuracy and Stability of Numerical Algorithms", chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod, sqrt

import numpy as np

from reproven.arithmetic.rounding import Places, U, nearest, nearest_to

_SLACK = 1 + 1e-6  # of bounds that are themselves computed in float64
_SMALL = 1 << 14  # results, up to which one bound for all of them is cheaper than one for each
_AT_ONCE = 1 << 20  # numbers that are looked at more closely at a time


def product(a: np.ndarray, b: np.ndarray, *, over: int = 1) -> np.ndarray:
    """Products of matrices, over a whole number: Σₖ a[…, m, k] b[…, k, n] / over, each the nearest float32.

    Args:
        a: (…, m, k) float32; float64 is computed as it comes, to any order.
        b: (…, k, n) of the same type, with the same axes in front.
        over: From 1 to 2⁵³.

    Returns:
        (…, m, n) of the same type.
    """
    if a.dtype == np.float64:
        return np.asarray(a @ b / over)
    A, B = a.astype(np.float64), b.astype(np.float64)
    value = np.asarray(A @ B)
    if over != 1:
        value /= over
    size = sqrt(_squares(A) * _squares(B)) if value.size <= _SMALL else _sizes(A, B)
    bound = (A.shape[-1] + 1) * U * _SLACK / over * size
    return nearest(value, bound, lambda places: _refined(A, B, over, places))


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

            found[own] = nearest(value, (ends - starts)[:, None] * U * _SLACK * size, refine)
    return found.reshape(count, *values.shape[1:])


def _squares(x: np.ndarray) -> float:
    flat = x.ravel(order="K")  # a view, whatever the order of the axes
    return float(np.dot(flat, flat))


def _sizes(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A bound of Σ |a b| for each result, by Cauchy and Schwarz."""
    rows = np.sqrt(np.einsum("...mk,...mk->...m", A, A))
    columns = np.sqrt(np.square(B).sum(axis=-2))
    found: np.ndarray = rows[..., :, None] * columns[..., None, :]
    return found


def _refined(A: np.ndarray, B: np.ndarray, over: int, places: Places) -> np.ndarray:
    """The nearest float32 to some results, looked at one by one."""
    *stack, row, column = places
    every = max(1, _AT_ONCE // (A.shape[-1] + 1))
    found = np.empty(len(row), np.float32)
    for start in range(0, len(row), every):
        some = slice(start, start + every)
        at = tuple(one[some] for one in stack)
        terms = A[(*at, row[some])] * B.swapaxes(-1, -2)[(*at, column[some])]
        found[some] = _nearest_to_sums(terms, over)
    return found


def _nearest_to_sums(terms: np.ndarray, over: int) -> np.ndarray:
    """The nearest float32 to sums of float64 numbers, (sums, terms), divided by a whole number."""
    value = terms.sum(axis=1) / over
    bound = (terms.shape[1] + 1) * U * _SLACK / over * np.abs(terms).sum(axis=1)
    return nearest(value, bound, lambda places: _closer(terms[places], over))


def _closer(terms: np.ndarray, over: int) -> np.ndarray:
    value, error = _twice_as_precise(terms)
    if over != 1:
        value = value / over
        error = error / over + U * np.abs(value)
    return nearest(value, error * _SLACK, lambda places: _exactly(terms[places], over))


def _exactly(terms: np.ndarray, over: int) -> np.ndarray:
    found = [nearest_to(sum(map(Fraction, one.tolist()), Fraction()) / over) for one in terms]
    return np.array(found, np.float32)


def _twice_as_precise(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums as if computed in twice the precision, and how far they are from the exact ones at most.

    What each addition loses is a number itself; where none loses anything, as is usual for sums of numbers
    of about one size, the sum is exact, though it may lie half way between two float32.

    Source: Ogita, Rump & Oishi (2005), "Accurate sum and dot product", SIAM Journal on Scientific Computing
        26(6), algorithm 4.4 and proposition 4.5, with the additions in a tree.
    """
    count = terms.shape[1]
    left, lost = np.zeros(len(terms)), np.zeros(len(terms))
    while terms.shape[1] > 1:
        if terms.shape[1] % 2:
            terms = np.concatenate([terms, np.zeros((len(terms), 1))], axis=1)
        half = terms.shape[1] // 2
        a, b = terms[:, :half], terms[:, half:]
        terms = a + b
        of_b = terms - a
        rest = (a - (terms - of_b)) + (b - of_b)
        left += rest.sum(axis=1)
        lost += np.abs(rest).sum(axis=1)
    value = terms[:, 0] + left if count else left
    return value, np.where(lost > 0, U * np.abs(value) + 2 * count * U * lost, 0)
