"""Numbers that are added at places: gradients of embeddings and of indexing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import numpy as np
from torch import Tensor

from reproven.arithmetic import sums
from reproven.operations.tensors import Array, Operations, UnprovedForm, array, floats, put, tensor

TABLE = Operations()


@TABLE.named("embedding_dense_backward")
def _embedding_backward(
    grad: Tensor, indices: Tensor, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Tensor:
    if scale_grad_by_freq:
        raise UnprovedForm("with scale_grad_by_freq, where others are proved")
    places, g = array(indices).reshape(-1), floats(grad)
    rows = g.reshape(len(places), g.shape[-1])
    kept = places != padding_idx
    return tensor(sums.gathered(rows[kept], places[kept], num_weights))


@TABLE.named("index_put_", "_index_put_impl_")
def _index_put(
    x: Tensor,
    indices: Sequence[Tensor | None],
    values: Tensor,
    accumulate: bool = False,
    unsafe: bool = False,
) -> Tensor:
    """x with values put, or added, at some places: each of these gets its sum, rounded, once."""
    into, some = array(x), array(values)
    at = tuple(slice(None) if one is None else array(one) for one in indices)
    if not accumulate:
        into[at] = some
        return x
    if not x.is_floating_point():
        np.add.at(into, cast("Any", at), some)
        return x
    places = np.arange(into.size).reshape(into.shape)[at]
    return put(x, floats(x) + _spread(np.broadcast_to(some, places.shape), places, into.shape))


@TABLE.named("index_put")
def _index_put_into_copy(
    x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    return _index_put(x.clone(), indices, values, accumulate)


@TABLE.named("scatter_add_")
def _scatter_add(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """x plus, at each place, the sum of what is put there, which is rounded before."""
    at = list(np.indices(tuple(index.shape)))
    at[dim] = array(index)
    places = np.arange(x.numel()).reshape(tuple(x.shape))[tuple(at)]
    some = floats(source)[tuple(slice(n) for n in index.shape)]
    return put(x, floats(x) + _spread(some, places, tuple(x.shape)))


@TABLE.named("scatter_add")
def _scatter_add_into_copy(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    return _scatter_add(x.clone(), dim, index, source)


@TABLE.named("index_add_")
def _index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    shape = [1] * x.ndim
    shape[dim] = -1
    some = source if alpha == 1 else source * alpha
    return _scatter_add(x, dim, index.reshape(shape).expand(source.shape), some)


@TABLE.named("index_add")
def _index_add_into_copy(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    return _index_add(x.clone(), dim, index, source, alpha=alpha)


def _spread(values: Array, places: Array, shape: tuple[int, ...]) -> Array:
    """The sums of values at each of their places, zeros elsewhere."""
    return sums.gathered(values.reshape(-1, 1), places.reshape(-1), prod(shape)).reshape(shape)
