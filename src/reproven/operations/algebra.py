"""Products of matrices, sums, means, variances and norms: each the nearest float32, by `sums`."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reproven.arithmetic import formulas, sums
from reproven.operations.tensors import (
    Array,
    Operations,
    UnprovedForm,
    array,
    floats,
    in_bfloat16_too,
    in_place,
    into,
    on_arrays,
    tensor,
)

TABLE = Operations()


def _plus(added: Array, found: Array, beta: float, alpha: float) -> Array:
    """beta · added + alpha · found, each operation rounded."""
    if alpha != 1:
        found = found * found.dtype.type(alpha)
    if beta == 0:
        return found
    return found + (added if beta == 1 else added * found.dtype.type(beta))


def _product(a: Array, b: Array) -> Array:
    if a.shape[-1] != b.shape[-2]:
        shapes = f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})"
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied {shapes}")  # as torch says it
    return sums.product(a, b)


def _times(a: Array, b: Array) -> Array:
    return _product(a, b[:, None])[:, 0]


TABLE |= {
    "mm": in_bfloat16_too(on_arrays(_product)),
    "bmm": on_arrays(_product),
    "mv": on_arrays(_times),
    "dot": on_arrays(lambda a, b: _times(a[None], b)[0]),
    "addmm": in_bfloat16_too(
        on_arrays(lambda c, a, b, beta=1, alpha=1: _plus(c, _product(a, b), beta, alpha))
    ),
    "baddbmm": on_arrays(lambda c, a, b, beta=1, alpha=1: _plus(c, _product(a, b), beta, alpha)),
    "addmv": on_arrays(lambda c, a, b, beta=1, alpha=1: _plus(c, _times(a, b), beta, alpha)),
}
for _name in tuple(TABLE):
    TABLE[f"{_name}.out"] = into(TABLE[_name])
    if _name.startswith(("add", "badd")):
        TABLE[f"{_name}_"] = in_place(TABLE[_name])


def _axes(x: Tensor, dim: Any) -> list[int]:
    if dim is None or (isinstance(dim, Sequence) and not dim):
        return list(range(x.ndim))
    return [one % max(x.ndim, 1) for one in ([dim] if isinstance(dim, int) else dim)]


def _shaped(found: Array, x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    if keepdim:
        found = np.asarray(found).reshape([1 if axis in axes else n for axis, n in enumerate(x.shape)])
    return tensor(found)


@TABLE.named("sum.dim_IntList")
def _sum(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    x = x if dtype is None else x.to(dtype)
    axes = _axes(x, dim)
    if not x.is_floating_point():
        return _shaped(array(x).sum(axis=tuple(axes), dtype=np.int64), x, axes, keepdim)
    if x.ndim == 0:
        return x.clone()
    return _shaped(sums.total(floats(x), axes), x, axes, keepdim)


@TABLE.named("sum")
def _sum_of_all(x: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    return _sum(x, dtype=dtype)


@TABLE.named("mean.dim")
def _mean(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    x = x if dtype is None else x.to(dtype)
    axes = _axes(x, dim)
    over = prod(x.shape[axis] for axis in axes)
    return _shaped(sums.total(floats(x), axes, over=max(over, 1)), x, axes, keepdim)


@TABLE.named("mean")
def _mean_of_all(x: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    return _mean(x, dtype=dtype)


TABLE |= {"sum.IntList_out": into(_sum), "mean.out": into(_mean)}


def _variance(x: Tensor, dim: Any, correction: Any, keepdim: bool) -> tuple[Tensor, Tensor]:
    """Σ (x − mean)² / (n − correction), and the mean, each rounded once."""
    axes = _axes(x, dim)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = floats(x).transpose(kept + axes).reshape(prod(x.shape[axis] for axis in kept), -1)
    mean = sums.total(rows, [1], over=max(rows.shape[1], 1))
    found = formulas.squares(rows - mean[:, None], 1 if correction is None else int(correction))
    shape = [x.shape[axis] for axis in kept]
    return _shaped(found.reshape(shape), x, axes, keepdim), _shaped(mean.reshape(shape), x, axes, keepdim)


@TABLE.named("var.correction")
def _var(x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return _variance(x, dim, correction, keepdim)[0]


@TABLE.named("std.correction")
def _std(x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Tensor:
    return tensor(np.sqrt(array(_variance(x, dim, correction, keepdim)[0])))


@TABLE.named("var_mean.correction")
def _var_mean(
    x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    return _variance(x, dim, correction, keepdim)


@TABLE.named("linalg_vector_norm")
@in_bfloat16_too
def _norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    """√Σ x², Σ |x| or the greatest |x|."""
    x = x if dtype is None else x.to(dtype)
    axes, values = _axes(x, dim), np.abs(floats(x))
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = values.transpose(kept + axes).reshape(prod(x.shape[axis] for axis in kept), -1)
    if ord == 2:
        found = np.sqrt(sums.product(rows[:, None, :], rows[:, :, None])[:, 0, 0])
    elif ord == 1:
        found = sums.total(rows, [1])
    elif ord == inf:
        found = rows.max(axis=1)
    else:
        raise UnprovedForm(f"of order {ord}, where 1, 2 and inf are proved")
    return _shaped(found.reshape([x.shape[axis] for axis in kept]), x, axes, keepdim)


@TABLE.named("_foreach_norm.Scalar")
def _norms(tensors: Sequence[Tensor], ord: float = 2, dtype: torch.dtype | None = None) -> list[Tensor]:
    return [_norm(one, ord, dtype=dtype) for one in tensors]


@TABLE.named("logsumexp")
def _logsumexp(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    axes = _axes(x, dim)
    found = formulas.logsumexp(floats(x), axes)
    return tensor(found if keepdim else found.squeeze(tuple(axes)))


@TABLE.named("linalg_qr")
def _qr(a: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Orthonormal columns and what they are multiplied by, by Gram and Schmidt, each column twice.

    Source: Giraud, Langou & Rozloznik (2005), "The loss of orthogonality in the Gram-Schmidt
        orthogonalization process", Computers & Mathematics with Applications 50(7).
    """
    left = floats(a).copy()
    if mode != "reduced" or left.ndim != 2 or left.shape[0] < left.shape[1]:
        raise UnprovedForm("in this form, where the reduced one of a tall matrix is proved")
    n = left.shape[1]
    q, r = np.zeros_like(left), np.zeros((n, n), left.dtype)
    for k in range(n):
        column = left[:, k : k + 1]
        for _ in range(2 if k else 0):
            shares = sums.product(q[:, :k].T, column)
            column = column - sums.product(q[:, :k], shares)
            r[:k, k] += shares[:, 0]
        r[k, k] = np.sqrt(sums.product(column.T, column)[0, 0])
        q[:, k] = column[:, 0] / r[k, k]
    return tensor(q), tensor(r)
