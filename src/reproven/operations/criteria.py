"""Losses and their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from reproven.arithmetic import formulas
from reproven.operations.tensors import (
    Array,
    Operation,
    Operations,
    array,
    floats,
    floats_or_none,
    on_arrays,
    tensor,
)

TABLE = Operations()


def _loss(compute: Callable[..., Array]) -> Operation:
    """A loss of two arrays, which are given the same shape first; torch leaves out what is usual."""

    def found(x: Array, y: Array, reduction: int = formulas.MEAN, *options: float) -> Array:
        return compute(*np.broadcast_arrays(x, y), reduction, *options)

    return on_arrays(found)


def _loss_slope(compute: Callable[..., Array]) -> Operation:
    def found(grad: Array, x: Array, y: Array, *options: float) -> Array:
        return compute(grad, *np.broadcast_arrays(x, y), *options)

    return on_arrays(found)


TABLE |= {
    "mse_loss": _loss(formulas.squared),
    "smooth_l1_loss": _loss(lambda x, y, reduction, beta=1.0: formulas.smooth(x, y, reduction, beta)),
    "huber_loss": _loss(lambda x, y, reduction, delta=1.0: formulas.huber(x, y, reduction, delta)),
    "binary_cross_entropy": on_arrays(
        lambda x, y, weight=None, reduction=formulas.MEAN: formulas.binary(x, y, weight, reduction)
    ),
    "binary_cross_entropy_with_logits": on_arrays(
        lambda x, y, weight=None, pos_weight=None, reduction=formulas.MEAN: formulas.binary_of_logits(
            x, y, weight, pos_weight, reduction
        )
    ),
    # their derivatives
    "mse_loss_backward": _loss_slope(formulas.squared_slope),
    "smooth_l1_loss_backward": _loss_slope(formulas.smooth_slope),
    "huber_loss_backward": _loss_slope(formulas.huber_slope),
    "binary_cross_entropy_backward": on_arrays(
        lambda grad, x, y, weight=None, reduction=formulas.MEAN: formulas.binary_slope(
            grad, x, y, weight, reduction
        )
    ),
}


@TABLE.named("nll_loss_forward", "nll_loss2d_forward")
def _of_classes(
    x: Tensor, places: Tensor, weight: Tensor | None, reduction: int, ignore_index: int
) -> tuple[Tensor, Tensor]:
    values = floats(x)
    found, size = formulas.of_classes(values, array(places), floats_or_none(weight), reduction, ignore_index)
    return tensor(found), tensor(size)


@TABLE.named("nll_loss_backward", "nll_loss2d_backward")
def _of_classes_backward(
    grad: Tensor,
    x: Tensor,
    places: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore_index: int,
    total_weight: Tensor,
) -> Tensor:
    arrays = floats(grad), floats(x), array(places), floats_or_none(weight)
    return tensor(formulas.of_classes_slope(*arrays, reduction, ignore_index, floats(total_weight)))
