"""Schedules: how learning rates change, by the schedulers of torch.optim.lr_scheduler.

A scheduler is told of steps or epochs alone, so where it stands follows from how many there were (and, for a
plateau, from what was measured after them): it is no part of a checkpoint, and goes again over what was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer, lr_scheduler

from reproven.recipes.choices import EPOCH, PLATEAU

#: The arguments that say how long a schedule is: the whole run where they are not given.
_LENGTH = {"CosineAnnealingLR": "T_max", "OneCycleLR": "total_steps"}


class Schedule:
    """A scheduler that moves the options in an optimizer's groups.

    Args:
        optimizer: Its groups are written; no step of it is asked for.
        name: One of `choices.SCHEDULES`.
        arguments: Its arguments by torch's names.
        per: Whether it counts steps or epochs.
        length: How many there are in all.
        more_is_better: Of the metric that a plateau is seen by.

    Raises:
        TypeError, ValueError: The arguments are not its own.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        name: str,
        arguments: Mapping[str, Any],
        *,
        per: str,
        length: int,
        more_is_better: bool,
    ) -> None:
        given = dict(arguments)
        if name in _LENGTH and not {"epochs", "steps_per_epoch"} & set(given):
            given.setdefault(_LENGTH[name], length)
        if name == "OneCycleLR":
            given.setdefault("max_lr", [group["lr"] for group in optimizer.param_groups])
        if name == PLATEAU:
            given.setdefault("mode", "max" if more_is_better else "min")
        self._optimizer, self._per, self._done = optimizer, per, 0
        self._sees_plateau = name == PLATEAU
        self._scheduler: Any = getattr(lr_scheduler, name)(optimizer, **given)

    def reach(self, *, steps: int, epochs: int, judged: Sequence[float]) -> bool:
        """Goes on to where so many steps and epochs are over, and returns whether there was any way to go.

        Args:
            steps: Updates made.
            epochs: Epochs completed.
            judged: What was measured after each epoch, for a plateau.
        """
        before = self._done
        while self._done < (epochs if self._per == EPOCH else steps):
            self._optimizer.step()  # which does nothing, no parameter having a gradient, but is asked for
            self._scheduler.step(*([judged[self._done]] if self._sees_plateau else []))
            self._done += 1
        return self._done > before
