"""Steps of a training, and what is kept of the weights after each, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_SHORT = 16  # hexadecimal digits of a tensor's digest that are kept for every step


@dataclass(frozen=True, slots=True)
class Step:
    """One update.

    Attributes:
        step: Updates before this one, over all epochs.
        epoch: Epochs completed before it.
        batch: Batches of its epoch before it.
        loss: Mean squared error of its batch before the update; a float32 value, exactly.
        ends_epoch: Whether it is the last of its epoch.
    """

    step: int
    epoch: int
    batch: int
    loss: float
    ends_epoch: bool


#: Passes steps through, told how many there will be: a progress bar does its work in between.
Watch = Callable[[Iterable[Step], int], Iterable[Step]]


def unwatched(steps: Iterable[Step], total: int) -> Iterable[Step]:
    """The steps as they are."""
    return steps


def short(digests: Iterable[str]) -> tuple[str, ...]:
    """The digits of tensors' digests that are kept for every step."""
    return tuple(digest[:_SHORT] for digest in digests)


def agree(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether the digests of a step's tensors are the same, as far as both are there."""
    if some == others:
        return True
    return len(some) == len(others) and all(
        a == b or not (a and b) for a, b in zip(some, others, strict=True)
    )


def all_weights_sha256(digests: Iterable[str]) -> str:
    """One digest of all weights, from each tensor's, in their order and without their names.

    So both variants, which name the same weights otherwise, have the same digest when they are equal.
    """
    return hashlib.sha256("".join(digests).encode()).hexdigest()
