"""Formulas: what layers, activations and losses are and how they slope, step by step, on NumPy arrays.

Each step is an operation that IEEE 754 rounds, a function of `functions` or a sum of `sums`: so a formula's
bits are determined by what is written here. float64 goes through the same steps, and is then only close.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reproven.arithmetic import functions
from reproven.arithmetic.sums import product, total

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]
#: How a loss of each row becomes one number, as torch numbers it.
NONE, MEAN, SUM = 0, 1, 2


def along(a: Array, b: Array, axis: int) -> Array:
    """Σ a b along an axis, which stays with length 1; the nearest to the exact sum."""
    a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    found = product(a[..., None, :], b[..., :, None])[..., 0]
    return np.moveaxis(found, -1, axis)


def reduced(each: Array, reduction: int) -> Array:
    """A loss of each row as it is, or their mean or sum, ()."""
    if reduction == NONE:
        return each
    return total(each, over=each.size if reduction == MEAN else 1)


def _share(like: Array, grad: Array, reduction: int) -> Array:
    """What a loss's gradient is multiplied by at each place: its own, or that of the mean or the sum."""
    return grad / like.dtype.type(like.size) if reduction == MEAN else grad


# activations


def tanh_slope(grad: Array, y: Array) -> Array:
    """grad (1 − y²), where y = tanh x."""
    return grad * (1 - y * y)


def sigmoid_slope(grad: Array, y: Array) -> Array:
    """grad (1 − y) y, where y = σ(x)."""
    return grad * (1 - y) * y


def silu(x: Array) -> Array:
    """x σ(x). Source: Elfwing, Uchibe & Doya (2018)."""
    return x * functions.sigmoid(x)


def silu_slope(grad: Array, x: Array) -> Array:
    """grad σ(x) (1 + x (1 − σ(x)))."""
    s = functions.sigmoid(x)
    return grad * (s * (1 + x * (1 - s)))


def gelu_by_tanh(x: Array) -> Array:
    """½ x (1 + tanh(√(2/π) (x + 0.044715 x³))). Source: Hendrycks & Gimpel (2016)."""
    return x / 2 * (1 + functions.tanh(_inner(x)))


def gelu_by_tanh_slope(grad: Array, x: Array) -> Array:
    """The derivative of `gelu_by_tanh`, times grad."""
    t = functions.tanh(_inner(x))
    inner = x.dtype.type(np.sqrt(2 / np.pi)) * (1 + x.dtype.type(3 * 0.044715) * (x * x))
    return grad * ((1 + t) / 2 + x / 2 * (1 - t * t) * inner)


def _inner(x: Array) -> Array:
    found: Array = x.dtype.type(np.sqrt(2 / np.pi)) * (x + x.dtype.type(0.044715) * (x * x * x))
    return found


def softplus(x: Array, beta: float = 1, threshold: float = 20) -> Array:
    """ln(1 + e^(βx)) / β; x where βx exceeds the threshold."""
    scaled = x * x.dtype.type(beta)
    return np.where(scaled > threshold, x, functions.softplus(scaled) / x.dtype.type(beta))


def softplus_slope(grad: Array, x: Array, beta: float, threshold: float) -> Array:
    """grad σ(βx); grad where βx exceeds the threshold."""
    scaled = x * x.dtype.type(beta)
    return np.where(scaled > threshold, grad, grad * functions.sigmoid(scaled))


def elu(x: Array, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Array:
    """scale x above zero, scale α (e^(x · input_scale) − 1) below. Source: Clevert et al. (2016)."""
    kind = x.dtype.type
    below = kind(alpha) * functions.expm1(np.minimum(x, 0) * kind(input_scale))
    return np.where(x > 0, x, below) * kind(scale)


def elu_slope(
    grad: Array, alpha: float, scale: float, input_scale: float, is_result: bool, x: Array
) -> Array:
    """The derivative of `elu`, times grad; x is its argument, or its result."""
    kind = x.dtype.type
    if is_result:
        below = kind(input_scale) * (x + kind(alpha) * kind(scale))
    else:
        grown = functions.exp(np.minimum(x, 0) * kind(input_scale))
        below = kind(input_scale) * kind(alpha) * kind(scale) * grown
    return grad * np.where(x > 0, kind(scale), below)


def softmax(x: Array, axis: int) -> Array:
    """eˣ / Σ eˣ along an axis, x taken from its maximum."""
    grown = functions.exp(x - _greatest(x, axis))
    return grown / _summed(grown, axis)


def safe_softmax(x: Array, axis: int) -> Array:
    """`softmax`, and zeros where all is −∞."""
    is_void = np.isneginf(x).all(axis=axis, keepdims=True)
    return np.where(is_void, x.dtype.type(0), softmax(np.where(is_void, x.dtype.type(0), x), axis))


def softmax_slope(grad: Array, y: Array, axis: int) -> Array:
    """y (grad − Σ grad y), where y is the softmax."""
    return y * (grad - along(grad, y, axis))


def log_softmax(x: Array, axis: int) -> Array:
    """x − ln Σ eˣ along an axis, x taken from its maximum."""
    below = x - _greatest(x, axis)
    return below - functions.log(_summed(functions.exp(below), axis))


def log_softmax_slope(grad: Array, y: Array, axis: int) -> Array:
    """grad − eʸ Σ grad, where y is the logarithm of the softmax."""
    return grad - functions.exp(y) * _summed(grad, axis)


def logsumexp(x: Array, axes: Sequence[int]) -> Array:
    """ln Σ eˣ over some axes, which stay with length 1."""
    greatest = np.max(x, axis=tuple(axes), keepdims=True)
    greatest = np.where(np.isfinite(greatest), greatest, x.dtype.type(0))
    grown = total(functions.exp(x - greatest), axes).reshape(greatest.shape)
    return functions.log(grown) + greatest


def _greatest(x: Array, axis: int) -> Array:
    found: Array = np.max(x, axis=axis, keepdims=True) if x.size else x
    return found


def _summed(x: Array, axis: int) -> Array:
    return np.expand_dims(total(x, [axis]), axis)


# losses


def squared(x: Array, y: Array, reduction: int) -> Array:
    """(x − y)², the mean or the sum of it."""
    d = x - y
    if reduction == NONE:
        return d * d
    flat = d.reshape(-1)
    over = d.size if reduction == MEAN else 1
    return product(flat[None], flat[:, None], over=over).reshape(())


def squared_slope(grad: Array, x: Array, y: Array, reduction: int) -> Array:
    """2 (x − y) grad, divided by the number of places where it is a mean."""
    return (x - y) * (2 * _share(x, grad, reduction))


def smooth(x: Array, y: Array, reduction: int, beta: float) -> Array:
    """½ d² / β where |d| < β, |d| − ½ β beyond, d = x − y. Source: Girshick (2015), equation 3."""
    size, b = np.abs(x - y), x.dtype.type(beta)
    each = np.where(size < b, size * size / 2 / b if beta else size, size - b / 2)
    return reduced(each, reduction)


def smooth_slope(grad: Array, x: Array, y: Array, reduction: int, beta: float) -> Array:
    """The derivative of `smooth`, times grad."""
    d, b = x - y, x.dtype.type(beta)
    return np.where(np.abs(d) < b, d / b if beta else d, np.sign(d)) * _share(x, grad, reduction)


def huber(x: Array, y: Array, reduction: int, delta: float) -> Array:
    """½ d² where |d| ≤ δ, δ (|d| − ½ δ) beyond, d = x − y. Source: Huber (1964)."""
    size, b = np.abs(x - y), x.dtype.type(delta)
    return reduced(np.where(size <= b, size * size / 2, b * (size - b / 2)), reduction)


def huber_slope(grad: Array, x: Array, y: Array, reduction: int, delta: float) -> Array:
    """The derivative of `huber`, times grad."""
    d, b = x - y, x.dtype.type(delta)
    return np.where(np.abs(d) <= b, d, b * np.sign(d)) * _share(x, grad, reduction)


def binary(x: Array, y: Array, weight: Array | None, reduction: int) -> Array:
    """−(y ln x + (1 − y) ln(1 − x)), logarithms from −100 on, times the weight."""
    one = np.maximum(functions.log(x), -100)
    other = np.maximum(functions.log1p(-x), -100)
    each = (y - 1) * other - y * one
    return reduced(each if weight is None else each * weight, reduction)


def binary_slope(grad: Array, x: Array, y: Array, weight: Array | None, reduction: int) -> Array:
    """grad (x − y) / (x (1 − x)), times the weight."""
    found = _share(x, grad, reduction) * (x - y) / np.maximum((1 - x) * x, x.dtype.type(1e-12))
    return found if weight is None else found * weight


def binary_of_logits(
    x: Array, y: Array, weight: Array | None, pos_weight: Array | None, reduction: int
) -> Array:
    """(1 − y) x + (1 + (w − 1) y) ln(1 + e⁻ˣ), w that of ones, times the weight of each."""
    own = functions.softplus(-x)
    each = (1 - y) * x + (own if pos_weight is None else (1 + (pos_weight - 1) * y) * own)
    return reduced(each if weight is None else each * weight, reduction)


def of_classes(
    x: Array, places: Array, weight: Array | None, reduction: int, ignored: int
) -> tuple[Array, Array]:
    """−x at each row's class, weighted; and the sum of the weights.

    Args:
        x: Logarithms of probabilities, (rows, classes, …).
        places: (rows, …) int64.
        weight: Of each class.
        reduction: A mean is divided by the sum of the weights.
        ignored: A place that counts for nothing.
    """
    each, weights = _picked(x, places, weight, ignored)
    if reduction == NONE:
        return -(each * weights), np.zeros((), x.dtype)
    flat, of = each.reshape(-1), weights.reshape(-1)
    size = total(weights)
    if reduction == SUM:
        return product(-flat[None], of[:, None]).reshape(()), size
    if weight is None and (of == 1).all():
        return total(-flat, over=max(of.size, 1)), size
    return product(-flat[None], of[:, None]).reshape(()) / size, size


def of_classes_slope(
    grad: Array, x: Array, places: Array, weight: Array | None, reduction: int, ignored: int, size: Array
) -> Array:
    """The derivative of `of_classes`, times grad."""
    _, weights = _picked(x, places, weight, ignored)
    share = -(weights * (grad / size if reduction == MEAN else grad))
    found = np.zeros_like(x)
    kept = np.where(places == ignored, 0, places)
    np.put_along_axis(found, np.expand_dims(kept, 1), np.expand_dims(share, 1), axis=1)
    return found


def _picked(x: Array, places: Array, weight: Array | None, ignored: int) -> tuple[Array, Array]:
    is_kept = places != ignored
    kept = np.where(is_kept, places, 0)
    each = np.take_along_axis(x, np.expand_dims(kept, 1), axis=1)[:, 0]
    weights = np.ones_like(each) if weight is None else weight[kept]
    return np.where(is_kept, each, 0), np.where(is_kept, weights, 0).astype(x.dtype)


# norms: each has its rows in front and what is standardised together behind


def standardised(rows: Array, eps: float) -> tuple[Array, Array, Array]:
    """(x − mean) / √(var + ε) of each row, and its mean and 1 / √(var + ε), (rows, 1).

    mean = Σ x / n and var = Σ (x − mean)² / n, each rounded once.
    """
    n = rows.shape[1]
    mean = total(rows, [1], over=n)[:, None]
    d = rows - mean
    var = squares(d)[:, None] if n else mean
    rstd = 1 / np.sqrt(var + rows.dtype.type(eps))
    return d * rstd, mean, rstd


def squares(d: Array, correction: int = 0) -> Array:
    """Σ d² / (n − correction) of each row, (rows,)."""
    return product(d[:, None, :], d[:, :, None], over=max(d.shape[1] - correction, 1))[:, 0, 0]


def standardised_slope(grad: Array, found: Array, rstd: Array) -> Array:
    """rstd (grad − mean(grad) − found · mean(grad · found)) of each row; `found` is what was standardised.

    Source: Ioffe & Szegedy (2015), section 3, simplified.
    """
    n = grad.shape[1]
    of_mean = total(grad, [1], over=n)[:, None]
    of_var = product(grad[:, None, :], found[:, :, None], over=n)[:, 0]
    return rstd * (grad - of_mean - found * of_var)
