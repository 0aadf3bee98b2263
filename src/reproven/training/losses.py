"""Losses: what a batch is worth to the optimizer, and its gradients, by autograd or by arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reproven.arithmetic import formulas, perceptron
from reproven.arithmetic.profiles import PORTABLE
from reproven.own.finding import find_function
from reproven.own.named import is_named

#: A loss: the network's outputs, (rows, outputs) float32, and the targets as trained on, to a scalar.
Loss = Callable[[Tensor, Tensor], Tensor]
#: From a batch's features and targets to its loss and each parameter's gradient, None where it has none.
Slopes = Callable[[Tensor, Tensor], tuple[float, Sequence[Tensor | np.ndarray | None]]]
_MSE = "mse"
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


def slopes_of(network: nn.Module, loss: Loss, *, named: str, profile: str | None) -> Slopes:
    """How a network's gradients are found.

    Args:
        network: Its parameters that are trained have gradients.
        loss: What is made small.
        named: The loss's name.
        profile: Of the arithmetic.
    """
    if profile == PORTABLE and getattr(network, "is_perceptron", False):
        layers = [one for one in network.modules() if isinstance(one, nn.Linear)]
        arrays = [(one.weight.detach().numpy(), one.bias.detach().numpy()) for one in layers]
        return partial(_by_arrays, arrays, None if named == _MSE else loss)
    parameters = [one for one in network.parameters() if one.requires_grad]
    return partial(_by_autograd, network, parameters, loss)


def _by_autograd(
    network: nn.Module, parameters: Sequence[nn.Parameter], loss: Loss, X: Tensor, y: Tensor
) -> tuple[float, Sequence[Tensor | None]]:
    value = loss(network(X), y)
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    return value.float().item(), gradients


def _by_arrays(
    layers: Sequence[perceptron.Layer], loss: Loss | None, X: Tensor, y: Tensor
) -> tuple[float, Sequence[np.ndarray]]:
    """Of a perceptron in portable arithmetic; a loss of None is the mean squared error."""
    passed = perceptron.forwards(layers, X.numpy())
    value, grad = _squared(passed[-1], y.numpy()) if loss is None else _sloped(loss, passed[-1], y)
    return value, perceptron.backwards(layers, passed, grad)


def _squared(outputs: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    found = outputs.reshape(y.shape)
    value = formulas.squared(found, y, formulas.MEAN)
    slope = formulas.squared_slope(np.ones((), np.float32), found, y, formulas.MEAN)
    return float(value), slope.reshape(outputs.shape)


def _sloped(loss: Loss, outputs: np.ndarray, y: Tensor) -> tuple[float, np.ndarray]:
    found = torch.from_numpy(outputs).requires_grad_()
    value = loss(found, y)
    (grad,) = torch.autograd.grad(value, [found])
    return value.item(), grad.numpy()
