"""Amounts: numbers and probabilities as a reader wants them, with no more places than tell something."""

from __future__ import annotations

import math

_LEAST_SHOWN = 0.0001


def amount(value: float, deviation: float | None) -> str:
    """A value with its deviation, as many places as that has two digits: `1.92 ± 0.31`."""
    places = places_of(deviation, value)
    spread = "" if deviation is None else f" ± {number(deviation, places)}"
    return f"{number(value, places)}{spread}"


def places_of(deviation: float | None, value: float) -> int:
    """Decimal places that show two digits of a deviation, or four of a value that has none."""
    telling, digits = (deviation, 2) if deviation else (value, 4)
    if not telling or not math.isfinite(telling):
        return 2
    return digits - 1 - math.floor(math.log10(abs(telling)))


def number(value: float, places: int) -> str:
    """A number with so many decimal places, as text; very large and small ones by their exponent."""
    if places > 8 or abs(value) >= 1e7:
        return f"{value:.3g}".replace("-", "−")
    text = f"{round(value, places):.{max(0, places)}f}"
    return text.replace("-", "") if not float(text) else text.replace("-", "−")


def chance(p: float) -> str:
    """A p-value: `p = 0.002`."""
    return f"p < {_LEAST_SHOWN}" if p < _LEAST_SHOWN else f"p = {significant(p)}"


def significant(p: float) -> str:
    """A share with as many digits as are of use: one where it is small."""
    return f"{p:.1g}" if p < 0.01 else f"{p:.3g}"
