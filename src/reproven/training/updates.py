"""Updates: how gradients change weights: clipped, by an optimizer's rule, at rates that may change.

The four rules that are written out (`optimizers`) are taken where they are; every other is torch.optim's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reproven.arithmetic.profiles import PORTABLE
from reproven.arithmetic.rules import RULES
from reproven.training.optimizers import UPDATES, Slots
from reproven.training.schedule import Schedule

#: Of one parameter; None where the loss does not depend on it.
Gradient = Tensor | np.ndarray | None


class Updates:
    """An optimizer for some parameters.

    Args:
        parameters: What is trained, in their order; written in place.
        slots: What the optimizer keeps of each; written in place.
        optimizer: One of `choices.OPTIMIZERS` or `choices.OTHER_OPTIMIZERS`.
        rates: Learning rate of each parameter.
        options: The optimizer's other options, by torch's names.
        profile: Of the arithmetic; in portable, the rules that are written out work on arrays.
        clip_norm: The norm of all gradients together, from which on they are scaled down; None for none.
        schedule: The arguments of a `Schedule` beside its optimizer; None where rates stay.

    Raises:
        TypeError, ValueError: torch does not take these options; says which.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        slots: Sequence[Slots],
        *,
        optimizer: str,
        rates: Sequence[float],
        options: Mapping[str, Any],
        profile: str | None = None,
        clip_norm: float | None = None,
        schedule: Mapping[str, Any] | None = None,
    ) -> None:
        self._parameters, self._slots, self._clip_norm = parameters, slots, clip_norm
        self._rule = (RULES if profile == PORTABLE else UPDATES).get(optimizer)
        self._on_arrays = profile == PORTABLE
        self._names = ("lr", *options)
        self._schedule: Schedule | None = None
        self._torch: torch.optim.Optimizer | None = None
        if self._rule is not None and schedule is None:
            groups: dict[float, dict[str, Any]] = {rate: {"lr": rate, **options} for rate in rates}
        else:
            self._torch = torch_optimizer(optimizer, parameters, rates, options)
            groups = dict(zip(dict.fromkeys(rates), self._torch.param_groups, strict=True))
            if schedule is not None:
                self._schedule = Schedule(self._torch, **schedule)
            if self._rule is None:
                self._share_slots(self._torch)
        self._groups = [groups[rate] for rate in rates]
        self._taken = self._options()

    def _options(self) -> list[dict[str, Any]]:
        """What the rule takes for each parameter, as it holds now."""
        return [{name: group[name] for name in self._names} for group in self._groups]

    def _share_slots(self, optimizer: torch.optim.Optimizer) -> None:
        """Makes the slots what torch's optimizer keeps of each parameter."""
        for parameter, slots in zip(self._parameters, self._slots, strict=True):
            if not slots:
                slots |= optimizer.state.get(parameter, {})
            optimizer.state[parameter] = slots

    def reach(self, *, steps: int, epochs: int, judged: Sequence[float]) -> None:
        """Takes the rates that hold once so many steps and epochs are over, as `Schedule.reach` has it."""
        if self._schedule is not None and self._schedule.reach(steps=steps, epochs=epochs, judged=judged):
            self._taken = self._options()

    def __call__(self, gradients: Sequence[Gradient]) -> None:
        """Changes the parameters by their gradients; those that have none stay."""
        if self._clip_norm is not None:
            gradients = clipped([_tensor(one) for one in gradients], self._clip_norm)
        if self._rule is not None and self._on_arrays:
            self._by_rule_on_arrays(gradients)
            return
        if self._rule is not None:
            with torch.no_grad():
                self._by_rule(gradients)
            return
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = _tensor(gradient)
        self._torch.step()  # type: ignore[union-attr]
        for parameter in self._parameters:
            parameter.grad = None

    def _by_rule_on_arrays(self, gradients: Sequence[Gradient]) -> None:
        rule: Any = self._rule
        for parameter, gradient, slots, taken in zip(
            self._parameters, gradients, self._slots, self._taken, strict=True
        ):
            if gradient is not None:
                held = {name: one.numpy() if isinstance(one, Tensor) else one for name, one in slots.items()}
                given = gradient.numpy() if isinstance(gradient, Tensor) else gradient
                rule(parameter.detach().numpy(), given, held, **taken)
                for name, one in held.items():
                    if name not in slots or not isinstance(one, np.ndarray):
                        slots[name] = torch.from_numpy(one) if isinstance(one, np.ndarray) else one

    def _by_rule(self, gradients: Sequence[Gradient]) -> None:
        rule: Any = self._rule
        for parameter, gradient, slots, taken in zip(
            self._parameters, gradients, self._slots, self._taken, strict=True
        ):
            if gradient is not None:
                rule(parameter, gradient, slots, **taken)


def _tensor(gradient: Gradient) -> Tensor | None:
    return torch.from_numpy(gradient) if isinstance(gradient, np.ndarray) else gradient


def clipped(gradients: Sequence[Tensor | None], norm: float) -> list[Tensor | None]:
    """Gradients, scaled down where the 2-norm of all together is larger.

    Source: Pascanu, Mikolov & Bengio (2013), algorithm 1, as torch.nn.utils.clip_grad_norm_ has it.
    """
    found = [gradient for gradient in gradients if gradient is not None]
    total = torch.nn.utils.get_total_norm(found)
    scale = (norm / (total + 1e-6)).clamp(max=1.0)
    return [None if gradient is None else gradient * scale for gradient in gradients]


def torch_optimizer(
    name: str, parameters: Sequence[nn.Parameter], rates: Sequence[float], options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """An optimizer of torch.optim by its name in lower case, with a group of parameters for each rate.

    Raises:
        TypeError, ValueError: It does not take these options.
    """
    kinds = {one.lower(): one for one in dir(torch.optim)}
    if name not in kinds:
        raise ValueError(f"torch {torch.__version__} has no such optimizer")
    groups = [
        {"params": [p for p, own in zip(parameters, rates, strict=True) if own == rate], "lr": rate}
        for rate in dict.fromkeys(rates)
    ]
    kind: Any = getattr(torch.optim, kinds[name])
    found: torch.optim.Optimizer = kind(groups, **options)
    return found
