"""Rules: how the four optimizers of `training.optimizers` change an array, each operation rounded by itself.

The order of operations is that of torch.optim, one parameter at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray
#: What an optimizer keeps of one parameter between two updates, by torch.optim's names.
Slots = dict[str, Any]
_f = np.float32


def sgd(
    param: Array,
    grad: Array,
    slots: Slots,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent, as `optimizers.sgd`. Writes `param` and `slots`."""
    grad = _decayed(grad, param, weight_decay)
    if momentum:
        buffer = slots.get("momentum_buffer")
        if buffer is None:
            buffer = slots["momentum_buffer"] = grad.copy()
        else:
            buffer *= _f(momentum)
            buffer += grad * _f(1 - dampening)
        grad = grad + buffer * _f(momentum) if nesterov else buffer
    param += grad * _f(-lr)


def adam(
    param: Array,
    grad: Array,
    slots: Slots,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    amsgrad: bool,
) -> None:
    """Adam with L2 penalty, as `optimizers.adam`. Writes `param` and `slots`."""
    _adam_step(param, _decayed(grad, param, weight_decay), slots, lr, betas, eps, amsgrad)


def adamw(
    param: Array,
    grad: Array,
    slots: Slots,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    amsgrad: bool,
) -> None:
    """Adam with decoupled weight decay, as `optimizers.adamw`. Writes `param` and `slots`."""
    if weight_decay:
        param *= _f(1 - lr * weight_decay)
    _adam_step(param, grad, slots, lr, betas, eps, amsgrad)


def rmsprop(
    param: Array,
    grad: Array,
    slots: Slots,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
) -> None:
    """RMSprop, as `optimizers.rmsprop`. Writes `param` and `slots`."""
    if not slots:
        names = ("square_avg", *(("grad_avg",) if centered else ()))
        slots |= _zeros((*names, *(("momentum_buffer",) if momentum else ())), param)
    grad = _decayed(grad, param, weight_decay)
    square_avg = slots["square_avg"]
    square_avg *= _f(alpha)
    square_avg += _f(1 - alpha) * grad * grad
    if centered:
        grad_avg = slots["grad_avg"]
        _lerp(grad_avg, grad, 1 - alpha)
        square_avg = square_avg - grad_avg * grad_avg
    denominator = np.sqrt(square_avg) + _f(eps)
    if momentum:
        buffer = slots["momentum_buffer"]
        buffer *= _f(momentum)
        buffer += grad / denominator
        param += buffer * _f(-lr)
    else:
        param += _f(-lr) * grad / denominator


def _adam_step(
    param: Array,
    grad: Array,
    slots: Slots,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    amsgrad: bool,
) -> None:
    if not slots:
        slots |= _zeros(("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if amsgrad else ())), param)
        slots["step"] = 0
    slots["step"] += 1
    beta1, beta2 = betas
    exp_avg, second_moment = slots["exp_avg"], slots["exp_avg_sq"]
    _lerp(exp_avg, grad, 1 - beta1)
    second_moment *= _f(beta2)
    second_moment += _f(1 - beta2) * grad * grad
    if amsgrad:
        greatest = slots["max_exp_avg_sq"]
        second_moment = np.maximum(greatest, second_moment, out=greatest)
    bias_correction1 = 1 - beta1 ** slots["step"]
    bias_correction2 = 1 - beta2 ** slots["step"]
    denominator = np.sqrt(second_moment) / _f(bias_correction2**0.5)
    denominator += _f(eps)
    param += _f(-(lr / bias_correction1)) * exp_avg / denominator


def _zeros(names: tuple[str, ...], like: Array) -> Slots:
    return {name: np.zeros_like(like) for name in names}


def _decayed(grad: Array, param: Array, weight_decay: float) -> Array:
    return grad + param * _f(weight_decay) if weight_decay else grad


def _lerp(into: Array, end: Array, weight: float) -> None:
    """into + weight (end − into), from the nearer end."""
    way = end - into
    if abs(_f(weight)) < 0.5:
        into += _f(weight) * way
    else:
        into[...] = end - way * (1 - _f(weight))


RULES: Mapping[str, Callable[..., None]] = {"sgd": sgd, "adam": adam, "adamw": adamw, "rmsprop": rmsprop}
