"""Functions: each is the float32 that is nearest to the function's value, held against mpmath's digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

import every_float
from reproven.arithmetic import functions
from reproven.arithmetic.rounding import nearest_to

DIGITS: dict[str, Callable[[Any], Any]] = {
    **{name: digits for name, (_, digits) in every_float.BY_NAME.items()},
    "erfinv": mpmath.erfinv,
    "quantile": lambda u: mpmath.sqrt(2) * mpmath.erfinv(2 * u - 1),
}
HERE = {name: getattr(functions, name) for name in DIGITS}
POWERS = (3.0, -1.7, 0.3, 65.0)


def arguments(name: str, count: int) -> np.ndarray:
    """Where a function has values: ordinary numbers, and such of any size."""
    draw = np.random.default_rng(3)
    sizes = np.exp(draw.uniform(-25, 4, count))
    x = np.where(draw.random(count) < 0.5, draw.normal(size=count) * 3, sizes * draw.choice([-1, 1], count))
    if name in ("log", "power"):
        x = np.abs(x)
    if name == "log1p":
        x = np.where(x > -1, x, -x)
    if name == "erfinv":
        x = np.tanh(x / 3) * (1 - 2.0**-22)
    if name == "quantile":
        return draw.random(count)
    return x.astype(np.float32)


def nearest_digits(function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    with mpmath.workprec(500):
        found = [function(mpmath.mpf(one)) for one in x.tolist()]
        exact = [
            (-1) ** sign * Fraction(int(man)) * Fraction(2) ** exp
            for sign, man, exp, _ in (v._mpf_ for v in found)
        ]
    return np.array([nearest_to(one) for one in exact], np.float32)


@pytest.mark.parametrize("name", DIGITS)
def test_a_function_is_rounded_once(name: str) -> None:
    x = arguments(name, 300)
    with np.errstate(all="ignore"):
        found = HERE[name](x)
    assert (found == nearest_digits(DIGITS[name], x)).all()


@pytest.mark.parametrize("name", DIGITS)
def test_digits_decide_what_float64_leaves_open(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_CLOSE", 2.0**-18)
    x = arguments(name, 40)
    with np.errstate(all="ignore"):
        found = HERE[name](x)
    assert (found == nearest_digits(DIGITS[name], x)).all()


@pytest.mark.parametrize("y", POWERS)
@pytest.mark.parametrize("close", [functions._CLOSE, 2.0**-18])
def test_a_power_is_rounded_once(y: float, close: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_CLOSE", close)
    x = arguments("power", 60)
    with np.errstate(all="ignore"):
        found = functions.power(x, y)
    assert (found == nearest_digits(lambda v: v ** mpmath.mpf(y), x)).all()


def test_what_float64_s_functions_promise_is_kept_with_room_to_spare() -> None:
    """They are used as if they could be 256 units in the last place away."""
    for name, digits in DIGITS.items():
        x = arguments(name, 200)
        held: list[np.ndarray] = []

        def note(value: np.ndarray, bound: Any, refine: Any, held: list[np.ndarray] = held) -> np.ndarray:
            held.extend([np.asarray(value), math.prod(bound)])
            return np.asarray(value).astype(np.float32)

        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(functions, "nearest", note)
            HERE[name](x)
        value, bound = held
        with mpmath.workprec(200):
            exact = [digits(mpmath.mpf(one)) for one in x.tolist()]
            for near, room, true in zip(value.tolist(), bound.tolist(), exact, strict=True):
                if abs(true) > 2.0**-150:  # what is smaller is zero in float32, however close
                    assert abs(near - true) <= room / 8, (name, near)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("exp", [0, np.inf, -np.inf, 89, -200], [1, np.inf, 0, np.inf, 0]),
        ("log", [1, 0, np.inf], [0, -np.inf, np.inf]),
        ("tanh", [0, 100, -100], [0, 1, -1]),
        ("sigmoid", [0, 200, -200, -np.inf], [0.5, 1, 0, 0]),
        ("erf", [0, 10, -10], [0, 1, -1]),
        ("gelu", [0, 50, -50, 2.0**60, -(2.0**60), np.inf], [0, 50, 0, 2.0**60, 0, np.inf]),
        ("gelu_slope", [0, 50, -50, 2.0**60, -(2.0**60)], [0.5, 1, 0, 1, 0]),
        ("ndtr", [0, 50, -50, 2.0**60, -(2.0**60), np.inf, -np.inf], [0.5, 1, 0, 1, 0, 1, 0]),
    ],
)
def test_where_a_function_ends(name: str, x: list[float], expected: list[float]) -> None:
    with np.errstate(all="ignore"):
        assert HERE[name](np.array(x, np.float32)).tolist() == expected


@pytest.mark.slow
def test_every_1009th_float32_is_rounded_as_long_double_says() -> None:
    assert every_float.main(["--every", "1009"]) == 0


def test_what_has_no_value_is_one_nan() -> None:
    with np.errstate(all="ignore"):
        found = functions.log(np.array([-1, np.nan, -np.nan], np.float32))
    assert found.view(np.uint32).tolist() == [0x7FC00000] * 3


def test_gelu_of_a_tiny_number_is_the_upper_one_of_two_that_its_half_is_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Below 2⁻¹²⁵ float32 lie 2⁻¹⁴⁹ apart, so that half of an odd one lies half way. No digits are asked."""
    monkeypatch.delattr(functions, "_ndtr")
    bits = np.append(np.arange(1, 1 << 24, 4001, dtype=np.uint32), np.uint32((1 << 24) - 1))
    x = bits.view(np.float32)
    assert (functions.gelu(x).view(np.uint32) == (bits + 1) // 2).all()
    assert (functions.gelu(-x) == -(bits // 2).view(np.float32)).all()
