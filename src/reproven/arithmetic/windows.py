"""Windows: convolutions and average pools, over any number of axes, on NumPy arrays.

What lies in each window becomes a row of a matrix, so that each result is one sum of `sums`: in which order
windows, channels and images are gone through has no say in it.
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
    columns, sizes = _columns(_padded(x, [(p, p) for p in padding]), kernel, stride, dilation, groups)
    found = _images(product(columns, _by_group(weight, groups).swapaxes(1, 2)), len(x), sizes)
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
        of_weight = product(_rows(grad, groups).swapaxes(1, 2), columns).reshape(weight.shape)
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
    found = _windows(_padded(x, list(zip(padding, beyond, strict=True))), kernel, stride, [1] * len(kernel))
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
    around = [(0, 0), (0, 0), *((max(before, 0), max(after, 0)) for before, after in widths)]
    return np.pad(x, around) if any(map(any, around)) else x


def _windows(x: Array, kernel: Numbers, stride: Numbers, dilation: Numbers) -> Array:
    """(images, channels, *sizes, *kernel), a view."""
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    found = sliding_window_view(x, extents, axis=tuple(range(2, x.ndim)))
    return found[_at(slice(None, None, s) for s in (*stride, *dilation))]


def _columns(
    x: Array, kernel: Numbers, stride: Numbers, dilation: Numbers, groups: int
) -> tuple[Array, tuple[int, ...]]:
    """What lies in each window, (groups, images × windows, channels / groups × kernel), and their sizes."""
    found = _windows(x, kernel, stride, dilation)
    sizes = found.shape[2 : 2 + len(kernel)]
    images, channels = x.shape[:2]
    found = found.reshape(images, groups, channels // groups, prod(sizes), prod(kernel))
    return found.transpose(1, 0, 3, 2, 4).reshape(groups, images * prod(sizes), -1), sizes


def _by_group(weight: Array, groups: int) -> Array:
    """(groups, outputs / groups, channels / groups × kernel)."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def _rows(grad: Array, groups: int) -> Array:
    """(images, outputs, *sizes) as (groups, images × places, outputs / groups)."""
    found = grad.reshape(len(grad), groups, grad.shape[1] // groups, -1)
    return found.transpose(1, 0, 3, 2).reshape(groups, -1, grad.shape[1] // groups)


def _images(rows: Array, images: int, sizes: Numbers) -> Array:
    """The inverse of `_rows`."""
    groups, _, outputs = rows.shape
    found = rows.reshape(groups, images, prod(sizes), outputs).transpose(1, 0, 3, 2)
    return np.ascontiguousarray(found).reshape(images, groups * outputs, *sizes)


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
    ones = [1] * len(kernel)
    columns, sizes = _columns(
        _padded(apart, list(zip(before, after, strict=True))), kernel, ones, dilation, groups
    )
    turned = np.flip(weight, tuple(axes)).reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    by_output = turned.swapaxes(2, 3).reshape(groups, -1, weight.shape[1])
    return _images(product(columns, by_output), len(grad), sizes)


def _beyond(inputs: Numbers, kernel: Numbers, stride: Numbers, padding: Numbers, sizes: Numbers) -> list[int]:
    """How far the last window reaches beyond x, below 0 where it ends before."""
    return [
        (n - 1) * s + k - size - p
        for size, k, s, p, n in zip(inputs, kernel, stride, padding, sizes, strict=True)
    ]
