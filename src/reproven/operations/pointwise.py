"""Operations on one number after the other: sums of two, roots, functions and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reproven.arithmetic import formulas, functions
from reproven.operations.tensors import (
    Array,
    Operation,
    Operations,
    array,
    floats,
    in_place,
    on_arrays,
    put,
    tensor,
)

TABLE = Operations()


def _sum_of_two(a: Any, b: Any, alpha: float) -> Array:
    """a + alpha · b, each operation rounded, in the type that torch gives it."""
    kind = torch.result_type(a, b)
    a, b = (
        array(one.to(kind)) if isinstance(one, Tensor) else np.asarray(one, _numpy_of(kind)) for one in (a, b)
    )
    if kind == torch.bool:
        return np.logical_or(a, b)
    if alpha == 1:
        return np.asarray(a + b)
    return np.asarray(a - b if alpha == -1 else a + b * b.dtype.type(alpha))


def _numpy_of(kind: torch.dtype) -> np.dtype[Any]:
    return torch.empty((), dtype=kind).numpy().dtype


def _add(a: Any, b: Any, *, alpha: float = 1) -> Tensor:
    return tensor(_sum_of_two(a, b, alpha))


def _sub(a: Any, b: Any, *, alpha: float = 1) -> Tensor:
    return tensor(_sum_of_two(a, b, -alpha))


def _add_in_place(a: Tensor, b: Any, *, alpha: float = 1) -> Tensor:
    x = array(a)
    if isinstance(b, Tensor) and a.dtype == b.dtype == torch.float32:
        y = array(b)
        x += y if alpha == 1 else y * np.float32(alpha)
        return a
    return put(a, _sum_of_two(a, b, alpha))


TABLE.enter("add", _add, "Tensor")
TABLE.enter("sub", _sub, "Tensor")
TABLE["add_.Tensor"] = _add_in_place


@TABLE.named("rsub.Scalar", "rsub.Tensor")
def _rsub(a: Any, b: Any, alpha: float = 1) -> Tensor:
    return tensor(_sum_of_two(b, a, -alpha))


@TABLE.named("add.Scalar")
def _add_scalar(a: Tensor, b: float, alpha: float = 1) -> Tensor:
    return tensor(_sum_of_two(a, b * alpha, 1))


def _lerp(a: Tensor, b: Tensor, weight: Any) -> Tensor:
    """a + weight (b − a), from the nearer end."""
    x, y = floats(a), floats(b)
    w = array(weight) if isinstance(weight, Tensor) else x.dtype.type(weight)
    d = y - x
    return tensor(np.where(np.abs(w) < 0.5, x + w * d, y - d * (1 - w)))


def _addcmul(a: Tensor, b: Tensor, c: Tensor, *, value: float = 1) -> Tensor:
    """a + (value · b) c."""
    x = floats(a)
    return tensor(x + (floats(b) if value == 1 else x.dtype.type(value) * floats(b)) * floats(c))


def _addcdiv(a: Tensor, b: Tensor, c: Tensor, *, value: float = 1) -> Tensor:
    """a + (value · b) / c."""
    x = floats(a)
    return tensor(x + (floats(b) if value == 1 else x.dtype.type(value) * floats(b)) / floats(c))


TABLE.enter("lerp", _lerp, "Scalar")
TABLE.enter("lerp", _lerp, "Tensor")
TABLE["lerp.Tensor_out"] = TABLE.pop("lerp.out")
TABLE.enter("addcmul", _addcmul)
TABLE.enter("addcdiv", _addcdiv)


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": functions.exp,
    "expm1": functions.expm1,
    "log": functions.log,
    "log1p": functions.log1p,
    "tanh": functions.tanh,
    "sigmoid": functions.sigmoid,
    "sin": functions.sin,
    "cos": functions.cos,
    "erf": functions.erf,
    "erfinv": functions.erfinv,
    "silu": formulas.silu,
}


def _of_floats(compute: Callable[[Array], Array]) -> Operation:
    """A function of float32 numbers, which whole ones become first."""
    return lambda x: tensor(compute(floats(x if x.is_floating_point() else x.float())))


for _name, _function in _FUNCTIONS.items():
    TABLE.enter(_name, _of_floats(_function))


_POWERS: dict[float, Callable[[Array], Array]] = {
    0.0: np.ones_like,
    1.0: np.copy,
    2.0: np.square,
    0.5: np.sqrt,
    -1.0: np.reciprocal,
}


def _power(x: Tensor, exponent: float) -> Tensor:
    """x to a power; the square is x · x and the root that of IEEE 754."""
    values = floats(x)
    simple = _POWERS.get(float(exponent))
    return tensor(simple(values) if simple else functions.power(values, exponent))


TABLE.enter("pow", _power, "Tensor_Scalar")
TABLE["pow_.Scalar"] = in_place(_power)
del TABLE["pow_.Tensor_Scalar"]


def _gelu(x: Array, approximate: str = "none") -> Array:
    return functions.gelu(x) if approximate == "none" else formulas.gelu_by_tanh(x)


def _gelu_slope(grad: Array, x: Array, approximate: str = "none") -> Array:
    if approximate == "none":
        return grad * functions.gelu_slope(x)
    return formulas.gelu_by_tanh_slope(grad, x)


TABLE.enter("elu", on_arrays(formulas.elu))
TABLE |= {
    "softplus": on_arrays(formulas.softplus),
    "gelu": on_arrays(_gelu),
    "_softmax": on_arrays(lambda x, dim, _: formulas.softmax(x, dim)),
    "_safe_softmax": on_arrays(lambda x, dim, _=None: formulas.safe_softmax(x, dim)),
    "_log_softmax": on_arrays(lambda x, dim, _: formulas.log_softmax(x, dim)),
    # their derivatives
    "tanh_backward": on_arrays(formulas.tanh_slope),
    "sigmoid_backward": on_arrays(formulas.sigmoid_slope),
    "silu_backward": on_arrays(formulas.silu_slope),
    "elu_backward": on_arrays(formulas.elu_slope),
    "softplus_backward": on_arrays(formulas.softplus_slope),
    "gelu_backward": on_arrays(_gelu_slope),
    "_softmax_backward_data": on_arrays(lambda g, y, dim, _: formulas.softmax_slope(g, y, dim)),
    "_log_softmax_backward_data": on_arrays(lambda g, y, dim, _: formulas.log_softmax_slope(g, y, dim)),
}
