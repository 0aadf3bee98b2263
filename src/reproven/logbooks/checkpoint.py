"""Checkpoints: the state of a training as a file, whole or refused.

A file is a digest of the rest, a line of JSON, and tensors as torch.save writes them. They are read like
saved models: nothing in the file can run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reproven.errors import RecordError, RevivalError
from reproven.files import models
from reproven.files.disk import write_bytes
from reproven.files.texts import json_value
from reproven.training.loop import State

FORMAT = 1
_DIGEST = 64  # hexadecimal digits
_WEIGHTS, _SLOTS, _BEST = "weights", "slots", "best"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A state between two steps, and the journal up to it.

    Attributes:
        step: Steps completed.
        position: Bytes of the journal that belong to it.
        sha256: Digest of those bytes.
        epoch: Epochs completed.
        batch: Batches of the current epoch completed.
        order: The current epoch's rows in the order drawn; None before it is drawn.
        generator: The state of the generator that draws it, in hexadecimal.
        numbers: What the optimizer keeps of each parameter, but for tensors.
        draws: Where the generators stand that the user's own code draws from; None where there is none.
        tensors: Weights by `weights.NAME`, what the optimizer keeps by `slots.PARAMETER.NAME`, and the best
            epoch's weights, where they are kept, by `best.NAME`.
    """

    step: int
    position: int
    sha256: str
    epoch: int
    batch: int
    order: list[int] | None
    generator: str
    numbers: list[dict[str, int]]
    tensors: Mapping[str, Tensor]
    draws: dict[str, Any] | None = None

    @property
    def best(self) -> dict[str, Tensor]:
        """The weights of the best epoch up to here, by name; none where the recipe has no patience."""
        return self._of(_BEST)

    def _of(self, kind: str) -> dict[str, Tensor]:
        return {
            path.removeprefix(f"{kind}."): tensor
            for path, tensor in self.tensors.items()
            if path.startswith(f"{kind}.")
        }

    def restore(self, state: State) -> None:
        """Puts a state that was made from the same recipe where the checkpoint stands.

        Raises:
            RecordError: It is the checkpoint of another network or optimizer.
        """
        device = next(state.network.parameters()).device
        slots: list[dict[str, Any]] = [dict(kept) for kept in self.numbers]
        try:
            for path, tensor in self._of(_SLOTS).items():
                number, _, name = path.partition(".")
                slots[int(number)][name] = tensor.to(device)
            if len(slots) != len(state.slots):
                raise ValueError(f"it knows {len(slots)} parameters, and there are {len(state.slots)}")
            state.network.load_state_dict(self._of(_WEIGHTS))
            state.generator.set_state(torch.tensor(list(bytes.fromhex(self.generator)), dtype=torch.uint8))
            if state.draws is not None:
                state.draws.restore(self.draws)
        except (ValueError, IndexError, KeyError, TypeError, RuntimeError) as error:
            raise RecordError(
                f"The checkpoint at step {self.step} does not fit its recipe: {error}"
            ) from error
        state.slots[:] = slots
        state.epoch, state.batch = self.epoch, self.batch
        state.order = None if self.order is None else torch.tensor(self.order)


def write(
    path: Path, state: State, best: Mapping[str, Tensor], *, step: int, position: int, sha256: str
) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: The file.
        state: Where training stands, between two steps.
        best: The weights of the best epoch up to here, where they are kept.
        step: Steps completed.
        position: Bytes of the journal that belong to it.
        sha256: Digest of those bytes.
    """
    tensors = {f"{_WEIGHTS}.{name}": tensor for name, tensor in state.network.state_dict().items()}
    tensors |= {f"{_BEST}.{name}": tensor for name, tensor in best.items()}
    for number, slots in enumerate(state.slots):
        tensors |= {f"{_SLOTS}.{number}.{n}": v for n, v in slots.items() if isinstance(v, Tensor)}
    whole = Checkpoint(
        step=step,
        position=position,
        sha256=sha256,
        epoch=state.epoch,
        batch=state.batch,
        order=None if state.order is None else state.order.tolist(),
        generator=bytes(state.generator.get_state().tolist()).hex(),
        numbers=[{n: v for n, v in slots.items() if not isinstance(v, Tensor)} for slots in state.slots],
        tensors={},
        draws=None if state.draws is None else state.draws.to_dict(),
    )
    buffer = io.BytesIO()
    buffer.write(json.dumps({"format": FORMAT, **asdict(whole)}, separators=(",", ":")).encode() + b"\n")
    archive = io.BytesIO()
    torch.save(models.apart(tensors), archive)
    buffer.write(archive.getvalue())
    content = buffer.getvalue()
    write_bytes(path, hashlib.sha256(content).hexdigest().encode() + content)


def read(path: Path) -> Checkpoint:
    """Reads what `write` wrote.

    Raises:
        RecordError: It is damaged, or no checkpoint.
    """
    content = path.read_bytes()
    digest, content = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise RecordError(f"{path.name} is damaged: its content has another digest than it says.")
    line, _, archive = content.partition(b"\n")
    try:
        values = json_value(line.decode())
        if values.pop("format") != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        return Checkpoint(**{**values, "tensors": models.read_tensors(archive)})
    except (ValueError, KeyError, TypeError, AttributeError, RevivalError) as error:
        raise RecordError(f"{path.name} is not a checkpoint that this version reads: {error}") from error
