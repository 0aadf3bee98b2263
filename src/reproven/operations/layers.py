"""Layers that are operations of torch: norms, convolutions, pools, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import numpy as np
from torch import Tensor

from reproven.arithmetic import formulas, sums, windows
from reproven.operations.tensors import (
    Array,
    Operations,
    UnprovedForm,
    floats,
    floats_or_none,
    put,
    tensor,
    tensor_or_none,
)

TABLE = Operations()


def _by_channel(x: Array) -> Array:
    """(images, channels, …) as (channels, images × …)."""
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)


def _of_channels(rows: Array, like: Array) -> Array:
    shape = (like.shape[1], like.shape[0], *like.shape[2:])
    return np.ascontiguousarray(np.moveaxis(rows.reshape(shape), 0, 1))


def _scaled(found: Array, weight: Array | None, bias: Array | None) -> Array:
    found = found if weight is None else found * weight
    return found if bias is None else found + bias


def _as_kept(mean: Tensor | None, var: Tensor | None, eps: float) -> tuple[Array, Array]:
    """The running mean and 1 / √(running variance + ε), (channels, 1)."""
    kept = floats(cast("Tensor", var))[:, None]
    return floats(cast("Tensor", mean))[:, None], 1 / np.sqrt(kept + kept.dtype.type(eps))


@TABLE.named("native_batch_norm")
def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    values = floats(x)
    rows, kind = _by_channel(values), values.dtype.type
    columns = [None if one is None else floats(one)[:, None] for one in (weight, bias)]
    if not training:
        mean, rstd = _as_kept(running_mean, running_var, eps)
        found = (rows - mean) * rstd
        empty = tensor(np.empty(0, values.dtype))
        return tensor(_of_channels(_scaled(found, *columns), values)), empty, empty
    found, mean, rstd = formulas.standardised(rows, eps)
    if running_mean is not None and running_var is not None:
        of_rows = formulas.squares(rows - mean, correction=1)
        for running, new in ((running_mean, mean[:, 0]), (running_var, of_rows)):
            put(running, kind(momentum) * new + kind(1 - momentum) * floats(running))
    return (
        tensor(_of_channels(_scaled(found, *columns), values)),
        tensor(mean[:, 0].copy()),
        tensor(rstd[:, 0].copy()),
    )


@TABLE.named("native_batch_norm_backward")
def _batch_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    save_mean: Tensor | None,
    save_invstd: Tensor | None,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    values = floats(x)
    g, rows = _by_channel(floats(grad)), _by_channel(values)
    if train:
        mean, rstd = floats(cast("Tensor", save_mean))[:, None], floats(cast("Tensor", save_invstd))[:, None]
    else:
        mean, rstd = _as_kept(running_mean, running_var, eps)
    found = (rows - mean) * rstd
    scaled = g if weight is None else g * floats(weight)[:, None]
    of_x = of_weight = of_bias = None
    if output_mask[0]:
        of_rows = formulas.standardised_slope(scaled, found, rstd) if train else scaled * rstd
        of_x = tensor(_of_channels(of_rows, values))
    if output_mask[1]:
        of_weight = tensor(formulas.along(g, found, 1)[:, 0].copy())
    if output_mask[2]:
        of_bias = tensor(sums.total(g, [1]))
    return of_x, of_weight, of_bias


@TABLE.named("native_layer_norm")
def _layer_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    values = floats(x)
    rows = values.reshape(-1, prod(normalized_shape))
    found, mean, rstd = formulas.standardised(rows, eps)
    flat = [None if one is None else floats(one).reshape(-1) for one in (weight, bias)]
    shape = (*values.shape[: values.ndim - len(normalized_shape)], *[1] * len(normalized_shape))
    scaled = _scaled(found, *flat).reshape(values.shape)
    return tensor(scaled), tensor(mean.reshape(shape)), tensor(rstd.reshape(shape))


@TABLE.named("native_layer_norm_backward")
def _layer_norm_backward(
    grad: Tensor,
    x: Tensor,
    normalized_shape: Sequence[int],
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    width = prod(normalized_shape)
    g, rows = floats(grad).reshape(-1, width), floats(x).reshape(-1, width)
    own = floats(rstd).reshape(-1, 1)
    found = (rows - floats(mean).reshape(-1, 1)) * own
    of_x = of_weight = of_bias = None
    if output_mask[0]:
        scaled = g if weight is None else g * floats(weight).reshape(-1)
        of_x = tensor(formulas.standardised_slope(scaled, found, own).reshape(x.shape))
    if output_mask[1] and weight is not None:
        of_weight = tensor(formulas.along(g, found, 0).reshape(weight.shape))
    if output_mask[2] and bias is not None:
        of_bias = tensor(sums.total(g, [0]).reshape(bias.shape))
    return of_x, of_weight, of_bias


@TABLE.named("native_group_norm")
def _group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    values = floats(x)
    found, mean, rstd = formulas.standardised(values.reshape(N * group, -1), eps)
    columns = [None if one is None else floats(one)[:, None] for one in (weight, bias)]
    scaled = _scaled(found.reshape(N, C, HxW), *columns).reshape(values.shape)
    return tensor(scaled), tensor(mean.reshape(N, group)), tensor(rstd.reshape(N, group))


@TABLE.named("native_group_norm_backward")
def _group_norm_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    own = floats(rstd).reshape(-1, 1)
    g = floats(grad).reshape(N, C, HxW)
    found = (floats(x).reshape(N * group, -1) - floats(mean).reshape(-1, 1)) * own
    of_x = of_weight = of_bias = None
    if output_mask[0]:
        scaled = g if weight is None else g * floats(weight)[:, None]
        slopes = formulas.standardised_slope(scaled.reshape(N * group, -1), found, own)
        of_x = tensor(slopes.reshape(x.shape))
    if output_mask[1]:
        by_channel = _by_channel(found.reshape(N, C, HxW))
        of_weight = tensor(formulas.along(_by_channel(g), by_channel, 1)[:, 0].copy())
    if output_mask[2]:
        of_bias = tensor(sums.total(_by_channel(g), [1]))
    return of_x, of_weight, of_bias


def _each(numbers: Sequence[int], axes: int) -> list[int]:
    return [*numbers] * axes if len(numbers) == 1 else [*numbers]


@TABLE.named("convolution")
def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    if transposed:
        raise UnprovedForm("transposed, where others are proved")
    if x.ndim != weight.ndim or x.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {[*weight.shape]}, expected input of {weight.ndim} "
            f"dimensions to have {weight.shape[1] * groups} channels, but got input of size {[*x.shape]}"
        )
    s, p, d = (_each(one, weight.ndim - 2) for one in (stride, padding, dilation))
    return tensor(windows.convolved(floats(x), floats(weight), floats_or_none(bias), s, p, d, groups))


@TABLE.named("convolution_backward")
def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    s, p, d = (_each(one, weight.ndim - 2) for one in (stride, padding, dilation))
    arrays = floats(grad), floats(x), floats(weight)
    found = windows.convolved_slope(*arrays, s, p, d, groups, output_mask)
    return tuple(map(tensor_or_none, found))


def _pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil: bool,
    counts: bool,
    over: Any,
) -> tuple[list[int], list[int], list[int], list[int], Array]:
    axes = 2
    k, p = _each(kernel, axes), _each(padding, axes)
    s = _each(stride, axes) if len(stride) else k
    inputs = [*x.shape[-axes:]]
    sizes = windows.pooled_sizes(inputs, k, s, p, ceil=ceil)
    if over is not None:
        return k, s, p, sizes, np.asarray(over)
    return k, s, p, sizes, windows.divisors(inputs, k, s, p, sizes, counts_padding=counts)


@TABLE.named("avg_pool2d")
def _avg_pool(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    values = floats(x)
    images = values.reshape(-1, *values.shape[-3:])
    k, s, p, sizes, over = _pool(
        x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    found = windows.averaged(images, k, s, p, sizes, over)
    return tensor(found.reshape(*values.shape[:-2], *sizes))


@TABLE.named("avg_pool2d_backward")
def _avg_pool_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    g = floats(grad)
    k, s, p, _, over = _pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    found = windows.averaged_slope(g.reshape(-1, *g.shape[-3:]), [*x.shape[-2:]], k, s, p, over)
    return tensor(found.reshape(tuple(x.shape)))


@TABLE.named("_adaptive_avg_pool2d")
def _adaptive(x: Tensor, output_size: Sequence[int]) -> Tensor:
    values = floats(x)
    found = windows.adapted(values.reshape(-1, *values.shape[-3:]), output_size)
    return tensor(found.reshape(*values.shape[:-2], *output_size))


@TABLE.named("_adaptive_avg_pool2d_backward")
def _adaptive_backward(grad: Tensor, x: Tensor) -> Tensor:
    g = floats(grad)
    found = windows.adapted_slope(g.reshape(-1, *g.shape[-3:]), [*x.shape[-2:]])
    return tensor(found.reshape(tuple(x.shape)))
