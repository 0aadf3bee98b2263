"""How often histograms and checkpoints are written, and what `--checkpoint-every` means at a step."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reproven.recipes import typed
from reproven.recipes.options import Option
from reproven.values.steps import Step

_SECONDS = 5.0  # at least between two checkpoints, where nothing is asked for
_SPELLED = re.compile(r"([1-9][0-9]{0,17})(steps?|epochs?)")

HISTOGRAM_EVERY = typed.whole(
    "Epochs between two histograms of the weights; a third of them where not given.", "10", low=1
)
CHECKPOINT_EVERY = Option(
    help=f"Steps or epochs between two checkpoints; where not given, an epoch, and {_SECONDS:g} s at least.",
    read=str,
    holds=lambda value: _SPELLED.fullmatch(value) is not None,
    must="a whole number of steps or epochs",
    example="100steps",
    metavar="COUNTsteps|COUNTepochs",
)
#: How often a run writes what, by the names that `train` gives it.
OFTEN: Mapping[str, Any] = {"histogram_every": HISTOGRAM_EVERY, "checkpoint_every": CHECKPOINT_EVERY}


@dataclass(slots=True)
class Interval:
    """When a checkpoint is due.

    Attributes:
        steps: Steps between two; 0 counts epochs instead.
        epochs: Epochs between two.
        seconds: Seconds at least between two.
    """

    steps: int
    epochs: int
    seconds: float
    _last: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, text: str | None) -> Interval:
        """What `--checkpoint-every` says, or its default."""
        found = _SPELLED.fullmatch(text) if text else None
        if found is None:
            return cls(0, 1, _SECONDS)
        count, in_steps = int(found[1]), found[2].startswith("step")
        return cls(count if in_steps else 0, 0 if in_steps else count, 0.0)

    def at(self, step: Step) -> bool:
        """Whether one is due after a step; if so, the time until the next counts from now."""
        if self.steps:
            return (step.step + 1) % self.steps == 0
        if not step.ends_epoch or (step.epoch + 1) % self.epochs:
            return False
        if time.monotonic() - self._last < self.seconds:
            return False
        self._last = time.monotonic()
        return True
