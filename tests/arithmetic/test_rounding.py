"""Rounding: the nearest float32 of what is known exactly, and of what is known within a bound."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from reproven.arithmetic import rounding
from reproven.arithmetic.rounding import Places, nearest, nearest_to

FLOAT32 = some.floats(width=32, allow_nan=False, allow_infinity=False)
LARGEST = float(np.finfo(np.float32).max)


@given(FLOAT32)
def test_a_float32_is_nearest_to_itself(x: float) -> None:
    assert nearest_to(Fraction(x)) == np.float32(x)


@given(FLOAT32, some.integers(-(2**60), 2**60))
def test_no_other_float32_is_nearer(x: float, apart: int) -> None:
    number = Fraction(x) + Fraction(apart, 2**60) * Fraction(float(np.spacing(np.float32(abs(x) / 2)))) * 2
    if abs(number) > LARGEST:
        return
    found = nearest_to(number)
    with np.errstate(over="ignore"):
        others = [np.nextafter(found, np.float32(end)) for end in (-np.inf, np.inf)]
    for other in others:
        if np.isfinite(other):
            mine, its = (abs(Fraction(float(one)) - number) for one in (found, other))
            assert mine < its or (mine == its and int(found.view(np.uint32)) % 2 == 0)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1 + Fraction(1, 2**24), 1.0),  # a tie, to even
        (1 + 3 * Fraction(1, 2**24), 1 + 2**-22),
        (1 + Fraction(1, 2**24) + Fraction(1, 2**80), 1 + 2**-23),  # which float64 would round to the tie
        (Fraction(LARGEST) + 2**103, np.inf),  # half a step beyond the largest
        (Fraction(LARGEST) + 2**103 - 1, LARGEST),
        (-(Fraction(10) ** 60), -np.inf),
        (Fraction(1, 2**150), 0.0),
        (Fraction(1, 2**150) + Fraction(1, 2**200), 2**-149),
    ],
)
def test_ties_go_to_even_and_nothing_is_rounded_twice(number: Fraction, expected: float) -> None:
    assert float(nearest_to(number)) == expected


def test_what_the_bound_leaves_open_is_asked_for() -> None:
    asked: list[Places] = []

    def refine(places: Places) -> np.ndarray:
        asked.append(places)
        return np.array([7, 8], np.float32)

    value = np.array([[1.0, 1 + 2.0**-24], [1 + 3 * 2.0**-24, 2.0]])
    found = nearest(value, (2.0**-50,), refine)
    assert found.tolist() == [[1, 7], [8, 2]]
    assert [one.tolist() for one in asked[0]] == [[0, 1], [1, 0]]


@pytest.mark.parametrize("shape", [(60,), (1, 60), (3, 20), (2, 3, 10), (2, 30, 1), (60, 1)])
@pytest.mark.parametrize("at_once", [1, 7, 10, 25])
def test_a_large_array_is_rounded_in_parts(
    shape: tuple[int, ...], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = 1 + np.arange(60).reshape(shape) * 2.0**-25  # every fourth lies half way between two float32
    rows = np.full((*shape[:-1], 1), 2.0**-25)
    whole: list[object] = []
    parts: list[object] = []
    for asked in (whole, parts):

        def refine(places: Places, asked: list[object] = asked) -> np.ndarray:
            asked.extend(one.tolist() for one in places)
            return np.arange(len(places[0]), dtype=np.float32)

        asked.append(nearest(value, (rows, np.full(shape[-1], 2.0**-20)), refine).tobytes())
        monkeypatch.setattr(rounding, "_AT_ONCE", at_once)
    assert len(whole) > 1
    assert parts == whole


def test_what_is_no_number_stays_so_and_zeros_are_positive() -> None:
    value = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, -1e-60, 1e60])
    with np.errstate(all="ignore"):
        bound = np.array([0, 0, 0, np.inf, 1e-50, 1e-70, 1])
        found = nearest(value, (bound,), lambda _: pytest.fail("asked"))
    assert len(set(found[:2].view(np.uint32).tolist())) == 1
    assert np.isnan(found[:2]).all()
    assert found[2:].tolist() == [np.inf, -np.inf, 0, 0, np.inf]
    assert not np.signbit(found[4:6]).any()
