"""Windows: convolutions and average pools, over any number of axes, on NumPy arrays.

What lies in each window becomes a column of a matrix, so that each result is one sum of `sums`: in which
order windows, channels and images are gone through has no say in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product as every
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from reproven.arithmetic.sums import product, total

Array = np.ndarray
Numbers = Sequence[int]


def convolved(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Numbers,
    padding: Numbers,
    dilation: Numbers,
    groups: int,
) -> Array:
    """A convolution, as deep learning has it: a cross-correlation, plus a bias for each channel.

    Args:
        x: (images, channels, *sizes).
        weight: (outputs, channels / groups, *kernel).
        bias: (outputs,).
        stride: Of each axis; likewise `padding`, by zeros on either side, and `dilation`.
        groups: Of channels, each with its own outputs.

    Returns:
        (images, outputs, *sizes).
    """
    kernel = weight.shape[2:]
    by_group = weight.reshape(groups, weight.shape[0] // groups, -1)
    found = _weighted(by_group, _padded(x, [(p, p) for p in padding]), kernel, stride, dilation)
    return found if bias is None else found + bias.reshape(-1, *[1] * len(kernel))


def convolved_slope(
    grad: Array,
    x: Array,
    weight: Array,
    stride: Numbers,
    padding: Numbers,
    dilation: Numbers,
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Array | None, Array | None, Array | None]:
    """The derivatives of `convolved` by x, weight and bias, each where it is wanted."""
    of_x = of_weight = of_bias = None
    kernel = weight.shape[2:]
    if wanted[0]:
        of_x = _spread(grad, weight, x.shape[2:], stride, padding, dilation, groups)
    if wanted[1]:
        columns, _ = _columns(_padded(x, [(p, p) for p in padding]), kernel, stride, dilation, groups)
        by_group = np.moveaxis(grad, 1, 0).reshape(groups, grad.shape[1] // groups, -1)
        of_channels = np.square(x, dtype=np.float64).sum((0, *range(2, x.ndim)))  # of which each is met once
        lengths = np.repeat(np.sqrt(of_channels).reshape(groups, -1), prod(kernel), axis=1)
        of_weight = product(by_group, columns.swapaxes(1, 2), lengths=lengths).reshape(weight.shape)
    if wanted[2]:
        of_bias = total(grad, [0, *range(2, grad.ndim)])
    return of_x, of_weight, of_bias


def averaged(
    x: Array, kernel: Numbers, stride: Numbers, padding: Numbers, sizes: Numbers, divisors: Array
) -> Array:
    """The sum over each window, divided by its own number.

    Args:
        x: (images, channels, *input sizes).
        kernel: Of each axis; likewise `stride` and `padding`.
        sizes: Windows along each axis.
        divisors: Broadcastable to the sizes.
    """
    beyond = _beyond(x.shape[2:], kernel, stride, padding, sizes)
    found = _windows(_padded(x, list(zip(padding, beyond, strict=True))), kernel, stride)
    return total(found, range(found.ndim - len(kernel), found.ndim)) / divisors.astype(x.dtype)


def averaged_slope(
    grad: Array, inputs: Numbers, kernel: Numbers, stride: Numbers, padding: Numbers, divisors: Array
) -> Array:
    """The derivative of `averaged` by x, whose sizes are `inputs`, times grad."""
    share = (grad / divisors.astype(grad.dtype)).reshape(-1, 1, *grad.shape[2:])
    ones = np.ones((1, 1, *kernel), grad.dtype)
    found = _spread(share, ones, inputs, stride, padding, [1] * len(kernel), 1)
    return found.reshape(*grad.shape[:2], *inputs)


def divisors(
    inputs: Numbers,
    kernel: Numbers,
    stride: Numbers,
    padding: Numbers,
    sizes: Numbers,
    *,
    counts_padding: bool,
) -> Array:
    """How many places lie in each window, (*sizes): in x, or also in what it is padded with."""
    found = np.ones((), np.int64)
    for size, k, s, p, n in zip(inputs, kernel, stride, padding, sizes, strict=True):
        starts = np.arange(n) * s - p
        ends = np.minimum(starts + k, size + p)
        inside = ends - starts if counts_padding else np.minimum(ends, size) - np.maximum(starts, 0)
        found = found[..., None] * inside
    return found


def pooled_sizes(
    inputs: Numbers, kernel: Numbers, stride: Numbers, padding: Numbers, *, ceil: bool
) -> list[int]:
    """Windows along each axis; with `ceil`, one more that begins inside and ends beyond."""
    found = []
    for size, k, s, p in zip(inputs, kernel, stride, padding, strict=True):
        n = (size + 2 * p - k + (s - 1 if ceil else 0)) // s + 1
        found.append(n - 1 if ceil and (n - 1) * s >= size + p else n)
    return found


def adapted(x: Array, sizes: Numbers) -> Array:
    """Means over windows that together cover x, (images, channels, *sizes)."""
    found = np.empty((*x.shape[:2], *sizes), x.dtype)
    axes = range(2, x.ndim)
    for place in every(*map(range, sizes)):
        part = x[_window(place, x.shape[2:], sizes)]
        found[_at(place)] = total(part, axes, over=prod(part.shape[2:]))
    return found


def adapted_slope(grad: Array, inputs: Numbers) -> Array:
    """The derivative of `adapted`, times grad: where windows overlap, added in their order."""
    found = np.zeros((*grad.shape[:2], *inputs), grad.dtype)
    sizes = grad.shape[2:]
    for place in every(*map(range, sizes)):
        window = _window(place, inputs, sizes)
        count = prod(found[window].shape[2:])
        share = grad[_at(place)] / grad.dtype.type(count)
        found[window] += share.reshape(*share.shape, *[1] * len(sizes))
    return found


def _window(place: Numbers, inputs: Numbers, sizes: Numbers) -> Any:
    """What a place of an adaptive pool covers of the last axes."""
    pairs = zip(place, inputs, sizes, strict=True)
    return _at(slice(i * size // n, -(-(i + 1) * size // n)) for i, size, n in pairs)


def _at(numbers: Iterable[int | slice]) -> Any:
    """An index of the last axes."""
    return (..., *numbers)


def _padded(x: Array, widths: list[tuple[int, int]]) -> Array:
    """x with zeros around, or, where a width is below 0, cut."""
    for axis, (before, after) in enumerate(widths, start=2):
        if before < 0 or after < 0:
            x = x.take(range(max(-before, 0), x.shape[axis] - max(-after, 0)), axis)
    around = [(max(before, 0), max(after, 0)) for before, after in widths]
    if not any(map(any, around)):
        return x
    sizes = [before + size + after for size, (before, after) in zip(x.shape[2:], around, strict=True)]
    found = np.zeros((*x.shape[:2], *sizes), x.dtype)
    found[_at(slice(before, size - after) for size, (before, after) in zip(sizes, around, strict=True))] = x
    return found


def _windows(x: Array, kernel: Numbers, stride: Numbers) -> Array:
    """(images, channels, *sizes, *kernel), a view."""
    found = sliding_window_view(x, tuple(kernel), axis=tuple(range(2, x.ndim)))
    return found[_at(slice(None, None, s) for s in (*stride, *[1] * len(kernel)))]


def _columns(
    x: Array, kernel: Numbers, stride: Numbers, dilation: Numbers, groups: int
) -> tuple[Array, tuple[int, ...]]:
    """What lies in each window, (groups, channels / groups × kernel, images × windows), and their sizes.

    It is there once for each window that it lies in, as float64, which sums want.
    """
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    sizes = tuple((n - e) // s + 1 for n, e, s in zip(x.shape[2:], extents, stride, strict=True))
    channels: Any = slice(None)
    found = np.empty((x.shape[1], *kernel, len(x), *sizes))
    for place in every(*map(range, kernel)):
        inside = zip(place, dilation, sizes, stride, strict=True)
        seen = x[_at(slice(p * d, p * d + n * s, s) for p, d, n, s in inside)]
        found[(channels, *place)] = seen.swapaxes(0, 1)
    return found.reshape(groups, x.shape[1] // groups * prod(kernel), len(x) * prod(sizes)), sizes


def _weighted(weights: Array, x: Array, kernel: Numbers, stride: Numbers, dilation: Numbers) -> Array:
    """The sum over each window with each of its weights, (images, outputs, *sizes).

    Args:
        weights: (groups, outputs / groups, channels / groups × kernel).
        x: (images, channels, *sizes), padded.
        kernel: Of each axis; likewise `stride` and `dilation`.
    """
    groups = len(weights)
    columns, sizes = _columns(x, kernel, stride, dilation, groups)
    by_group = x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])
    squares = np.square(by_group, dtype=np.float64).sum(axis=2)
    of_windows, _ = _columns(squares, kernel, stride, dilation, groups)
    lengths = np.sqrt(of_windows.sum(axis=1))
    return _images(product(weights, columns, lengths=lengths), len(x), sizes)


def _images(by_group: Array, images: int, sizes: Numbers) -> Array:
    """(groups, outputs / groups, images × windows) as (images, outputs, *sizes)."""
    groups, outputs, _ = by_group.shape
    found = by_group.reshape(groups * outputs, images, *sizes)
    return np.ascontiguousarray(np.moveaxis(found, 1, 0))


def _spread(
    grad: Array,
    weight: Array,
    inputs: Numbers,
    stride: Numbers,
    padding: Numbers,
    dilation: Numbers,
    groups: int,
) -> Array:
    """What reaches each input from all windows that it lies in, (images, channels, *inputs).

    Each input is one sum: over the windows of grad, set apart by the stride, with the kernel turned round.
    """
    kernel, axes = weight.shape[2:], range(2, grad.ndim)
    apart = np.zeros(
        (*grad.shape[:2], *((n - 1) * s + 1 for n, s in zip(grad.shape[2:], stride, strict=True))), grad.dtype
    )
    apart[_at(slice(None, None, s) for s in stride)] = grad
    before = [d * (k - 1) - p for k, d, p in zip(kernel, dilation, padding, strict=True)]
    after = [
        size - apart.shape[axis] - b + d * (k - 1)
        for axis, size, b, k, d in zip(axes, inputs, before, kernel, dilation, strict=True)
    ]
    turned = np.flip(weight, tuple(axes)).reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    by_input = turned.swapaxes(1, 2).reshape(groups, weight.shape[1], -1)
    padded = _padded(apart, list(zip(before, after, strict=True)))
    return _weighted(by_input, padded, kernel, [1] * len(kernel), dilation)


def _beyond(inputs: Numbers, kernel: Numbers, stride: Numbers, padding: Numbers, sizes: Numbers) -> list[int]:
    """How far the last window reaches beyond x, below 0 where it ends before."""
    return [
        (n - 1) * s + k - size - p
        for size, k, s, p, n in zip(inputs, kernel, stride, padding, sizes, strict=True)
    ]
