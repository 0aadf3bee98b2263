"""Losses: what a batch is worth to the optimizer, and what it is called. Those of torch, by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from reproven.own.finding import find_function
from reproven.own.named import is_named

#: A loss: the network's outputs, (rows, outputs) float32, and the targets as trained on, to a scalar.
Loss = Callable[[Tensor, Tensor], Tensor]
_OF_NUMBERS: Mapping[str, Any] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
    "smooth_l1": functional.smooth_l1_loss,
}


def loss_of(name: str, arguments: Mapping[str, Any]) -> Loss:
    """A loss, the mean over a batch.

    Args:
        name: One of `choices.LOSSES`, or a function of the user's own, which is given outputs in the shape of
            the targets where these are numbers.
        arguments: Its arguments by their names, of torch's all of them.

    Raises:
        Untrusted, OwnCodeError: The user's own cannot be had.

    Source: https://docs.pytorch.org/docs/stable/nn.functional.html#loss-functions
    """
    if is_named(name):
        own = partial(find_function(name), **arguments)
        return lambda outputs, y: own(outputs if y.dtype == torch.int64 else outputs.reshape(y.shape), y)
    if name in _OF_NUMBERS:
        return partial(_of_numbers, partial(_OF_NUMBERS[name], **arguments))
    if name == "cross_entropy":
        return partial(functional.cross_entropy, **arguments)
    return partial(_of_second_class, **arguments)


def _of_numbers(loss: Any, outputs: Tensor, y: Tensor) -> Tensor:
    found: Tensor = loss(outputs.reshape(y.shape), y)
    return found


def _of_second_class(outputs: Tensor, y: Tensor, *, pos_weight: float) -> Tensor:
    """Binary cross entropy of one output, which stands for the second of two classes."""
    weight = torch.tensor(pos_weight, device=outputs.device)
    return functional.binary_cross_entropy_with_logits(outputs.reshape(y.shape), y.float(), pos_weight=weight)
