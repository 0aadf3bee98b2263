"""The optimizers: torch.optim's update rules, one function each, for one parameter at a time.

They give the bits of torch's own (the oracle tests compare every one), and are written out here for two
reasons: constructing a torch.optim optimizer imports torch._dynamo, which takes longer than training the
default network, and what a step costs shows there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

#: What an optimizer keeps of one parameter between two updates, by torch.optim's names.
Slots = dict[str, Any]
Update = Callable[..., None]


def sgd(
    param: Tensor,
    grad: Tensor,
    slots: Slots,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent, with momentum where asked. Writes `param` and `slots`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """
    if weight_decay:
        grad = grad.add(param, alpha=weight_decay)
    if momentum:
        if "momentum_buffer" in slots:
            slots["momentum_buffer"].mul_(momentum).add_(grad, alpha=1 - dampening)
        else:
            slots["momentum_buffer"] = grad.clone()
        buffer = slots["momentum_buffer"]
        grad = grad.add(buffer, alpha=momentum) if nesterov else buffer
    param.add_(grad, alpha=-lr)


def adam(
    param: Tensor,
    grad: Tensor,
    slots: Slots,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    amsgrad: bool,
) -> None:
    """Adam with L2 penalty. Writes `param` and `slots`.

    Source: Kingma & Ba (2015), algorithm 1;
        https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """
    if weight_decay:
        grad = grad.add(param, alpha=weight_decay)
    _adam_step(param, grad, slots, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad)


def adamw(
    param: Tensor,
    grad: Tensor,
    slots: Slots,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    amsgrad: bool,
) -> None:
    """Adam with decoupled weight decay. Writes `param` and `slots`.

    Source: Loshchilov & Hutter (2019), algorithm 2;
        https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
    """
    if weight_decay:
        param.mul_(1 - lr * weight_decay)
    _adam_step(param, grad, slots, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad)


def _adam_step(
    param: Tensor,
    grad: Tensor,
    slots: Slots,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    amsgrad: bool,
) -> None:
    if not slots:
        names = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if amsgrad else ()))
        slots |= {name: torch.zeros_like(param) for name in names} | {"step": 0}
    slots["step"] += 1
    beta1, beta2 = betas
    slots["exp_avg"].lerp_(grad, 1 - beta1)
    slots["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    second_moment = slots["exp_avg_sq"]
    if amsgrad:
        torch.maximum(slots["max_exp_avg_sq"], second_moment, out=slots["max_exp_avg_sq"])
        second_moment = slots["max_exp_avg_sq"]
    bias_correction1 = 1 - beta1 ** slots["step"]
    bias_correction2 = 1 - beta2 ** slots["step"]
    denominator = (second_moment.sqrt() / bias_correction2**0.5).add_(eps)
    param.addcdiv_(slots["exp_avg"], denominator, value=-(lr / bias_correction1))


def rmsprop(
    param: Tensor,
    grad: Tensor,
    slots: Slots,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
) -> None:
    """RMSprop, centered (Graves) and with momentum where asked. Writes `param` and `slots`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """
    if not slots:
        names = ("square_avg", *(("grad_avg",) if centered else ()))
        names += ("momentum_buffer",) if momentum else ()
        slots |= {name: torch.zeros_like(param) for name in names}
    if weight_decay:
        grad = grad.add(param, alpha=weight_decay)
    square_avg = slots["square_avg"].mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    if centered:
        grad_avg = slots["grad_avg"].lerp_(grad, 1 - alpha)
        square_avg = square_avg.addcmul(grad_avg, grad_avg, value=-1)
    denominator = square_avg.sqrt().add_(eps)
    if momentum:
        buffer = slots["momentum_buffer"].mul_(momentum).addcdiv_(grad, denominator)
        param.add_(buffer, alpha=-lr)
    else:
        param.addcdiv_(grad, denominator, value=-lr)


UPDATES: Mapping[str, Update] = {"sgd": sgd, "adam": adam, "adamw": adamw, "rmsprop": rmsprop}


def learning_rates(names: list[str], lr: float, layer_lr: tuple[tuple[str, float], ...]) -> list[float]:
    """The learning rate of each parameter: its layer's where one is given, `lr` for the others.

    Args:
        names: Parameters' names, as `named_parameters` gives them.
        lr: Rate of the parameters of no named layer.
        layer_lr: Layers' names and rates; a layer's parameters are those whose names begin with it.
    """
    rates = dict(layer_lr)

    def rate(name: str) -> float:
        return next((r for layer, r in rates.items() if name.startswith(f"{layer}.")), lr)

    return [rate(name) for name in names]
