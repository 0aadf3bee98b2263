"""Checkpoints: the state of a training as a file, whole or refused.

A file begins with the digest of the rest. It holds tensors and numbers and is read as such: nothing in it
can run.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reproven import pickles
from reproven.artifacts import write_bytes
from reproven.errors import RecordError, RevivalError
from reproven.training import State

FORMAT = 1
_DIGEST = 64  # hexadecimal digits


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A state, and the journal up to it.

    Attributes:
        step: Steps completed.
        position: Bytes of the journal that belong to it.
        sha256: Digest of those bytes.
        state: The state's parts, as `_parts` names them.
    """

    step: int
    position: int
    sha256: str
    state: dict[str, Any]

    def restore(self, state: State) -> None:
        """Puts a state that was made from the same recipe where the checkpoint stands.

        Raises:
            RecordError: It is the checkpoint of another network or optimizer.
        """
        device = next(state.network.parameters()).device
        try:
            state.network.load_state_dict(self.state["weights"])
            state.generator.set_state(self.state["generator"])
            state.slots[:] = [
                {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in slots.items()}
                for slots in self.state["slots"]
            ]
            state.epoch, state.batch = self.state["epoch"], self.state["batch"]
            state.order = self.state["order"]
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise RecordError(
                f"The checkpoint at step {self.step} does not fit its recipe: {error}"
            ) from error


def write(path: Path, state: State, *, step: int, position: int, sha256: str) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: The file.
        state: Where training stands, between two steps.
        step: Steps completed.
        position: Bytes of the journal that belong to it.
        sha256: Digest of those bytes.
    """
    whole = {"format": FORMAT, "step": step, "position": position, "sha256": sha256, "state": _parts(state)}
    buffer = io.BytesIO()
    torch.save(whole, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest().encode()
    write_bytes(path, digest + content)


def _parts(state: State) -> dict[str, Any]:
    return {
        "weights": state.network.state_dict(),
        "slots": state.slots,
        "generator": state.generator.get_state(),
        "epoch": state.epoch,
        "batch": state.batch,
        "order": state.order,
    }


def read(path: Path) -> Checkpoint:
    """Reads what `write` wrote.

    Raises:
        RecordError: It is damaged, or no checkpoint.
    """
    content = path.read_bytes()
    digest, content = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise RecordError(f"{path.name} is damaged: its content has another digest than it says.")
    with contextlib.suppress(RevivalError, KeyError, TypeError):
        values = pickles.read_plain(content)
        if values.pop("format") == FORMAT:
            return Checkpoint(**values)
    raise RecordError(f"{path.name} is not a checkpoint that this version reads.")
