"""Sums: each is the float32 that is nearest to the exact sum, whatever is added in whatever order."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from operator import mul
from typing import Any

import numpy as np
import pytest

from reproven.arithmetic import sums
from reproven.arithmetic.rounding import nearest_to
from reproven.arithmetic.sums import gathered, product, total

KINDS = ("plain", "coarse", "cancelling", "tiny", "sparse", "far apart")


def pair(kind: str, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Matrices whose products are hard to add in one way or another."""
    m, k, n = shape
    draw = np.random.default_rng(abs(hash((KINDS.index(kind), *shape))) % 2**32)
    a, b = draw.normal(size=(m, k)), draw.normal(size=(k, n))
    if kind == "coarse":
        a, b = np.sign(a) * 2.0**-12, np.round(b * 4)
    if kind == "cancelling":
        a, b = np.concatenate([a, -a], axis=1), np.concatenate([b, b], axis=0)
    if kind == "tiny":
        a, b = a * 1e-22, b * 1e-22
    if kind == "sparse":
        a, b = a * (draw.random(a.shape) < 0.1), b * (draw.random(b.shape) < 0.1)
    if kind == "far apart":
        a, b = a * 10.0 ** draw.integers(-15, 15, a.shape), b * 10.0 ** draw.integers(-15, 15, b.shape)
    return a.astype(np.float32), b.astype(np.float32)


def exact(a: np.ndarray, b: np.ndarray, over: int = 1) -> np.ndarray:
    rows, columns = [[*map(Fraction, row)] for row in a.tolist()], [[*map(Fraction, c)] for c in b.T.tolist()]
    return np.array(
        [
            [
                nearest_to(sum((x * y for x, y in zip(row, column, strict=True)), Fraction()) / over)
                for column in columns
            ]
            for row in rows
        ],
        np.float32,
    ).reshape(len(rows), len(columns))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5, 13, 4), (3, 1, 3), (4, 0, 2), (6, 100, 3)])
def test_a_product_is_the_nearest_to_the_exact_one(kind: str, shape: tuple[int, int, int]) -> None:
    a, b = pair(kind, shape)
    assert product(a, b).tobytes() == exact(a, b).tobytes()
    assert product(a, b, over=7).tobytes() == exact(a, b, 7).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_of_products_is_one_after_the_other(kind: str) -> None:
    pairs = [pair(kind, shape) for shape in [(5, 13, 4)] * 3]
    a, b = (np.stack([*arrays]) for arrays in zip(*pairs, strict=True))
    for found, one in zip(product(a, b), pairs, strict=True):
        assert found.tobytes() == exact(*one).tobytes()


def test_a_large_product_is_that_of_its_parts_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(150, 400)).astype(np.float32), draw.normal(size=(400, 130)).astype(np.float32)
    found = product(a, b)
    order = draw.permutation(400)
    assert product(a[:, order], b[order]).tobytes() == found.tobytes()
    assert np.concatenate([product(a[:1], b), product(a[1:], b)]).tobytes() == found.tobytes()
    monkeypatch.setattr(sums, "_SMALL", 10**9)  # one bound for all of them leaves far more open
    assert product(a, b).tobytes() == found.tobytes()


@pytest.mark.parametrize("few", [0, 10**9])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_bound_leaves_open_is_the_same_one_by_one_and_together(
    kind: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "_FEW", few)
    monkeypatch.setattr(sums, "_AT_ONCE", 250)  # of several terms each
    monkeypatch.setattr(sums, "_bound", lambda *_: (np.inf,))
    a, b = pair(kind, (6, 100, 3))
    for over in (1, 4, 7):
        assert product(a, b, over=over).tobytes() == exact(a, b, over).tobytes()
    a[2], b[:50] = 0, 0
    a[3, 50:] = 0  # so nothing but zeros is added
    assert product(np.stack([a, a]), np.stack([b, b])).tobytes() == exact(a, b).tobytes() * 2


@pytest.mark.parametrize("few", [0, 10**9])
def test_sums_half_way_between_two_float32_go_where_what_is_left_of_them_points(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "_FEW", few)
    step, least, most = 2.0**-23, 2.0**-140, float(np.finfo(np.float32).max)
    terms = [
        [sign * one for one in (near, half, rest)]
        for near, half in ((1, step / 2), (1 + step, step / 2), (2, -step / 2), (most, 2.0**103))
        for rest in (-least, 0, least)
        for sign in (1, -1)
    ]
    a = np.array(terms, np.float32)
    with np.errstate(over="ignore"):
        expected = exact(a, np.ones((3, 1), np.float32)).tobytes()
        assert total(a, [1]).tobytes() == expected
        assert total(np.tile(a, 3), [1], over=3).tobytes() == expected


@pytest.mark.parametrize("few", [0, 10**9])
def test_what_remains_of_numbers_that_cancel_is_not_lost(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_FEW", few)
    monkeypatch.setattr(sums, "_bound", lambda *_: (np.inf,))
    orders = [*permutations([1, -1, 2.0**-60, 2.0**-140, -(2.0**-60)])]
    a, b = np.array(orders, np.float32), np.ones((5, 6), np.float32)
    assert (product(a, b) == np.float32(2.0**-140)).all()  # many come to nothing in float64
    assert (product(a, b, over=4) == np.float32(2.0**-142)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("small", [0, 10**9])
def test_no_product_is_further_away_than_its_bound(
    kind: str, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "_SMALL", small)
    A, B = (one.astype(np.float64) for one in pair(kind, (5, 100, 4)))
    for over in (1, 7):
        value = (A @ B / over).tolist()
        lengths = np.sqrt(np.square(B).sum(axis=0))
        for bound in (sums._bound(A, B, over, None), sums._bound(A, B, over, lengths)):
            far = np.broadcast_to(np.prod(np.broadcast_arrays(*bound), axis=0), (5, 4)).tolist()
            for i, j in np.ndindex(5, 4):
                whole = sum(map(mul, map(Fraction, A[i].tolist()), map(Fraction, B[:, j].tolist())))
                assert abs(whole / over - Fraction(value[i][j])) <= Fraction(far[i][j])


def test_sums_of_short_numbers_are_seen_to_be_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pixels, say: many lie half way between two float32, and to look at each would take long."""
    draw = np.random.default_rng(4)
    a = draw.uniform(0.25, 0.5, (6, 100)).astype(np.float32)
    b = (draw.integers(0, 17, (100, 8)) / 16).astype(np.float32)
    b[:, 0] = 0
    a[:, 1] = 0
    monkeypatch.setattr(sums, "_bound", lambda *_: (np.inf,))
    looks, looked_at = sums._nearest_to_sums, []

    def looking(*given: Any) -> np.ndarray:
        looked_at.append(given)
        return looks(*given)

    monkeypatch.setattr(sums, "_nearest_to_sums", looking)
    for smallest, times in ((1, 0), (2.0**-20, 0), (2.0**-21, 1)):  # with the last, 50 is more than 2⁵³ steps
        a[0, 0] = smallest + smallest * 2.0**-23
        for given in (a, -a):
            looked_at.clear()
            assert product(given, b).tobytes() == exact(given, b).tobytes()
            assert len(looked_at) == times
    a[0, 0] = 1
    assert product(a, b, over=7).tobytes() == exact(a, b, 7).tobytes()  # which loses something
    for other in (np.inf, np.nan):
        a[1, 2] = other
        with np.errstate(invalid="raise"):
            assert not sums._lose_nothing(a.astype(np.float64), b.astype(np.float64))


def test_what_is_infinite_or_none_shows_where_it_is_and_nowhere_else() -> None:
    a, b = pair("plain", (3, 4, 2))
    a[0, 0], a[1, 1], b[1, 0] = np.inf, np.nan, 0
    with np.errstate(all="ignore"):
        found = product(a, b)
    assert np.isinf(found[0]).all()
    assert np.isnan(found[1]).all()
    assert found[2:].tobytes() == exact(a[2:], b).tobytes()


def test_a_total_is_the_nearest_to_the_exact_one_over_any_axes() -> None:
    x = np.random.default_rng(2).normal(size=(3, 50, 4)).astype(np.float32)
    assert float(total(x)) == float(nearest_to(sum(map(Fraction, x.reshape(-1).tolist()), Fraction())))
    for axes in ([0], [1], [-1], [0, 2], [1, 0]):
        kept = [axis for axis in range(3) if axis not in [axis % 3 for axis in axes]]
        rows = np.moveaxis(x, kept, range(len(kept))).reshape(-1, np.prod([x.shape[axis] for axis in axes]))
        expected = exact(rows, np.ones((rows.shape[1], 1), np.float32), 9)
        assert total(x, axes, over=9).tobytes() == expected.tobytes()


def test_rows_of_one_place_are_added_once_and_other_places_are_empty() -> None:
    draw = np.random.default_rng(3)
    values, places = draw.normal(size=(200, 3)).astype(np.float32), draw.integers(0, 12, 200)
    places[places == 5] = 4
    values[:100] = -values[100:]
    places[:100] = places[100:]  # sums that vanish
    found = gathered(values, places, 12)
    for place in range(12):
        rows = values[places == place]
        assert found[place].tobytes() == exact(np.ones((1, len(rows)), np.float32), rows)[0].tobytes()
    order = draw.permutation(200)
    assert gathered(values[order], places[order], 12).tobytes() == found.tobytes()
    assert gathered(values[:0], places[:0], 2).tolist() == [[0, 0, 0]] * 2
