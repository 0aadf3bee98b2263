"""Functions: exp, log, tanh and the like, each the nearest float32 to the function's value.

float64's own is known to be close whatever library computes it; where that does not decide (about once in
four million numbers), 160 digits do. So results are the same whatever is installed.

Source: Ziv (1991), "Fast evaluation of elementary mathematical functions with correctly rounded last bit";
    of the digits: https://docs.python.org/3/library/decimal.html, whose exp and ln are rounded correctly.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import cache

import numpy as np

from reproven.arithmetic.rounding import Places, nearest, nearest_to

#: How far float64's functions are from their values at most, relative to these: 64 times what their makers
#: promise (NumPy's vector forms 4 units in the last place, SciPy's 10⁻¹⁵).
_CLOSE = 2.0**-45
_FAR = 1600  # x², from where on e^(−x²/2) is nothing in float32, whatever it is multiplied by
_TINY = 2.0**-100  # |x|, below which gelu(x) is x/2 and less than 2⁻⁹⁹ of it more
_DIGITS = 160
_CERTAIN = 120  # digits that are right whatever was lost on the way
_DIGITAL = Context(prec=_DIGITS, Emin=-999999, Emax=999999)

_Slow = Callable[[Decimal], Decimal]


def exp(x: np.ndarray) -> np.ndarray:
    """eˣ."""
    return _nearest(x, np.exp, Decimal.exp)


def expm1(x: np.ndarray) -> np.ndarray:
    """eˣ − 1."""
    return _nearest(x, np.expm1, lambda d: d.exp() - 1)


def log(x: np.ndarray) -> np.ndarray:
    """ln x; −∞ for zero, none below."""
    return _nearest(x, np.log, Decimal.ln)


def log1p(x: np.ndarray) -> np.ndarray:
    """ln(1 + x); −∞ for −1, none below."""
    return _nearest(x, np.log1p, lambda d: (1 + d).ln())


def tanh(x: np.ndarray) -> np.ndarray:
    """(e²ˣ − 1) / (e²ˣ + 1)."""
    return _nearest(x, np.tanh, lambda d: ((2 * d).exp() - 1) / ((2 * d).exp() + 1))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ)."""
    return _nearest(x, lambda X: 1 / (1 + np.exp(-X)), lambda d: 1 / (1 + (-d).exp()))


def softplus(x: np.ndarray) -> np.ndarray:
    """ln(1 + eˣ)."""
    return _nearest(x, lambda X: np.logaddexp(0, X), lambda d: (1 + d.exp()).ln())


def sin(x: np.ndarray) -> np.ndarray:
    """The sine of an angle in radians."""
    return _nearest(x, np.sin, _sine)


def cos(x: np.ndarray) -> np.ndarray:
    """The cosine of an angle in radians."""
    return _nearest(x, np.cos, lambda d: _sine(d + _pi() / 2))


def erf(x: np.ndarray) -> np.ndarray:
    """2/√π ∫₀ˣ e^(−t²) dt."""
    from scipy import special

    return _nearest(x, special.erf, _erf)


def ndtr(x: np.ndarray) -> np.ndarray:
    """Φ(x), the probability that a normal number is at most x."""
    from scipy import special

    return _nearest(x, special.ndtr, _ndtr, size=lambda X: special.ndtr(X) + _moved(X))


def gelu(x: np.ndarray) -> np.ndarray:
    """x Φ(x), where Φ is the normal distribution's. Source: Hendrycks & Gimpel (2016)."""
    from scipy import special

    def near(X: np.ndarray) -> np.ndarray:  # x/2 may lie half way between two float32: then the upper one
        return np.where(np.abs(X) < _TINY, X / 2 + np.abs(X) * 2.0**-52, X * special.ndtr(X))

    def size(X: np.ndarray) -> np.ndarray:
        return np.where(np.abs(X) < _TINY, 0, np.abs(X) * (special.ndtr(X) + _moved(X)))

    return _nearest(x, near, lambda d: d * _ndtr(d), size=size)


def gelu_slope(x: np.ndarray) -> np.ndarray:
    """Φ(x) + x φ(x): the derivative of `gelu`."""
    from scipy import special

    def near(X: np.ndarray) -> np.ndarray:
        found: np.ndarray = special.ndtr(X) + X * np.exp(-X * X / 2) / np.sqrt(2 * np.pi)
        return found

    def slow(d: Decimal) -> Decimal:
        return _ndtr(d) + d * (-d * d / 2).exp() / (2 * _pi()).sqrt()

    def size(X: np.ndarray) -> np.ndarray:  # of what is added: the sum may be next to nothing
        found: np.ndarray = special.ndtr(X) + (1 + np.minimum(X * X, _FAR)) * _moved(X)
        return found

    return _nearest(x, near, slow, size=size)


def erfinv(x: np.ndarray) -> np.ndarray:
    """y with erf(y) = x."""
    from scipy import special

    return _inverse(x.astype(np.float64), special.erfinv, _erf)


def quantile(u: np.ndarray) -> np.ndarray:
    """z with Φ(z) = u, where Φ is the normal distribution's.

    Args:
        u: Probabilities between 0 and 1, float64: here alone float32 would be too coarse.
    """
    from scipy import special

    return _inverse(u, special.ndtri, _ndtr)


def power(x: np.ndarray, y: float) -> np.ndarray:
    """x to the power of y."""
    exponent = float(y)

    def slow(d: Decimal) -> Decimal:
        if exponent.is_integer():
            return d ** int(exponent)
        return (Decimal(exponent) * d.ln()).exp()

    return _nearest(x, lambda X: np.power(X, exponent), slow)


def _nearest(
    x: np.ndarray,
    near: Callable[[np.ndarray], np.ndarray],
    slow: _Slow,
    *,
    size: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """A function's nearest float32: `near` in float64, `slow` in digits where that leaves it open."""
    if x.dtype == np.float64:
        return near(x)
    X = x.astype(np.float64).ravel()
    value = near(X)

    def refine(places: Places) -> np.ndarray:
        with localcontext(_DIGITAL):
            found = [slow(Decimal(one)) for one in X[places].tolist()]
            return np.array([nearest_to(_rational(one)) for one in found], np.float32)

    return nearest(value, (_CLOSE * np.abs(value if size is None else size(X)),), refine).reshape(x.shape)


def _moved(X: np.ndarray) -> np.ndarray:
    """|x| e^(−x²/2): by how much a small relative error of x moves Φ(x), relative to the error, at most."""
    found: np.ndarray = np.sqrt(np.minimum(X * X, _FAR)) * np.exp(-X * X / 2)
    return found


def _inverse(u: np.ndarray, near: Callable[[np.ndarray], np.ndarray], slow: _Slow) -> np.ndarray:
    """The nearest float32 to where an increasing function, `slow`, is u; `near` is its inverse in float64."""
    shape, u = u.shape, u.ravel()
    value = near(u)

    def refine(places: Places) -> np.ndarray:
        with localcontext(_DIGITAL):
            pairs = zip(u[places].tolist(), value[places].tolist(), strict=True)
            return np.array([_nearer(target, close, slow) for target, close in pairs], np.float32)

    return nearest(value, (_CLOSE * np.abs(value),), refine).reshape(shape)


def _nearer(target: float, close: float, slow: _Slow) -> np.float32:
    """Of the two float32 around a number, the nearer one to where an increasing function is `target`."""
    below = np.float32(close)
    if float(below) > close:
        below = np.nextafter(below, np.float32(-np.inf))
    above = np.nextafter(below, np.float32(np.inf))
    middle = (Decimal(float(below)) + Decimal(float(above))) / 2
    return above if slow(middle) < Decimal(target) else below


def _rational(number: Decimal) -> Fraction:
    return Fraction(_DIGITAL.create_decimal(number).normalize(Context(prec=_CERTAIN)))


@cache
def _pi() -> Decimal:
    """π, by Machin's formula: 16 arctan 1/5 − 4 arctan 1/239."""

    def arctan_of_inverse(n: int) -> Decimal:
        found, power_, k = Decimal(0), Decimal(1) / n, 0
        while power_ > Decimal(10) ** -(_DIGITS + 5):
            found += (-1) ** k * power_ / (2 * k + 1)
            power_, k = power_ / (n * n), k + 1
        return found

    with localcontext(_DIGITAL) as context:
        context.prec += 10
        return 16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)


def _series(first: Decimal, factor: Callable[[int], Decimal]) -> Decimal:
    """first + first · factor(1) + first · factor(1) · factor(2) + …, until nothing is added any more."""
    found, term, k = Decimal(0), first, 1
    while found + term != found:
        found += term
        term *= factor(k)
        k += 1
    return found


def _sine(d: Decimal) -> Decimal:
    turn = 2 * _pi()
    d -= (d / turn).to_integral_value() * turn
    return _series(d, lambda k: -d * d / ((2 * k) * (2 * k + 1))) if d else d


def _erf(d: Decimal) -> Decimal:
    """Source: Abramowitz & Stegun (1964), 7.1.6, whose terms all have one sign."""
    first = 2 / _pi().sqrt() * (-d * d).exp() * d
    return _series(first, lambda k: 2 * d * d / (2 * k + 1)) if d else d


def _ndtr(d: Decimal) -> Decimal:
    return (1 + _erf(d / Decimal(2).sqrt())) / 2
