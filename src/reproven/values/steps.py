"""Steps of a training, and what is kept of the weights after each, as values and as texts, without torch."""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reproven.errors import RecordError
from reproven.files.names import LOSSES, WEIGHTS
from reproven.files.texts import read_rows, whole_number

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


def read_losses(text: str) -> tuple[Step, ...]:
    """The steps that a text tells of, their position checked, and each loss against its bits.

    Raises:
        RecordError: It cannot be read, or contradicts itself.
    """
    found: list[tuple[int, int, int, float]] = []
    header = ("step", "epoch", "batch", "loss", "float32")
    for number, row in enumerate(read_rows(LOSSES, text, header)[1]):
        try:
            step, epoch, batch = (whole_number(cell) for cell in row[:3])
            loss, bits = float(row[3]), struct.unpack(">f", bytes.fromhex(row[4]))[0]
        except (ValueError, struct.error) as error:
            raise RecordError(f"{LOSSES}, step {number} cannot be read: {error}.") from error
        if loss != bits and not (math.isnan(loss) and math.isnan(bits)):
            raise RecordError(f"{LOSSES}, step {number} says {row[3]}, but its bits {row[4]} are {bits!r}.")
        before, old_epoch, old_batch = found[-1][:3] if found else (-1, 0, -1)
        next_ones = ((before + 1, old_epoch, old_batch + 1), (before + 1, old_epoch + 1, 0))
        if (step, epoch, batch) not in next_ones:
            raise RecordError(f"{LOSSES} has step {step}, epoch {epoch}, batch {batch} after step {before}.")
        found.append((step, epoch, batch, bits))
    ends = [after[1] > here[1] for here, after in itertools.pairwise(found)]
    whole = bool(found) and found[-1][2] == max(batch for _, _, batch, _ in found)
    return tuple(Step(*row, ends_epoch=end) for row, end in zip(found, [*ends, whole], strict=False))


def read_weights(text: str) -> tuple[list[str], tuple[tuple[str, ...], ...]]:
    """The tensors' names in their order, and each step's digests, from a text.

    Raises:
        RecordError: It cannot be read.
    """
    header, rows = read_rows(WEIGHTS, text, ("step",))
    for number, row in enumerate(rows):
        if row[0] != str(number):
            raise RecordError(f"{WEIGHTS} has step {row[0]} where step {number} must be.")
    return header[1:], tuple(tuple(row[1:]) for row in rows)
