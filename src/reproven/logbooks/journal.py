"""The journal: what a training has found so far, a line a finding, on disk before anybody else hears of it.

What steps found is written some moments later, many lines at once: one at a time, a short step takes longer.
A process that is killed in between computes those steps once more.

It is what the sender reads, what a killed run is resumed from, and what a resumed run is held against. A
process that dies in the middle of a line leaves a torn one, which the next one cuts off.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reproven.errors import RecordError
from reproven.files.texts import json_value
from reproven.values.metrics import Row

STEP, EPOCH, KEPT, WEIGHTS = "step", "epoch", "kept", "weights"
LOSS = "train_loss"  # the metric of every step
_MOMENTS = 0.02  # seconds

#: A kind, a number (of the step, or of epochs completed), milliseconds since 1970, and what was found.
Line = Sequence[Any]


class Journal:
    """A journal that is open for writing.

    What lies after `position` already, it retraces: a line that says the same is not written again and
    keeps its time, so that a resumed run leaves what one never stopped would have left.

    Args:
        path: The file; made where it is not there.
        position: Bytes that are taken as they are.

    Attributes:
        position: Bytes up to the last finding that is written.

    Raises:
        RecordError: The file is shorter than `position`, or cannot be read after it.
    """

    def __init__(self, path: Path, position: int = 0) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < position:
            raise RecordError(f"{path.name} holds {len(whole)} bytes, but a checkpoint knows {position}.")
        os.ftruncate(self._file, len(whole))
        os.lseek(self._file, 0, os.SEEK_END)
        self._digest = hashlib.sha256(whole[:position])
        self._ahead = deque(_split(whole[position:], path.name))
        self._new: list[Line] = []
        self._written = time.monotonic()
        self.position = position

    @property
    def sha256(self) -> str:
        """Digest of everything up to `position`."""
        return self._digest.hexdigest()

    def put(self, kind: str, number: int, *found: Any) -> None:
        """Writes a finding, a step's within some moments, or holds it against the one that is there.

        Args:
            kind: STEP, EPOCH, KEPT or WEIGHTS.
            number: Of the step, or of the epochs completed; what is kept at the end comes after the last.
            found: JSON values.

        Raises:
            RecordError: Another finding is there.
            OSError: The file cannot be written.
        """
        if self._ahead:
            text, line = self._ahead.popleft()
            if _text([*line[:2], *line[3:]]) != _text([kind, number, *found]):
                raise RecordError(
                    f"This machine does not compute what the run computed before it stopped: {line[0]} "
                    f"{line[1]} is another one now. Resume it where it was started."
                )
            self._pass(text)
            return
        self._new.append([kind, number, int(time.time() * 1000), *found])
        if kind != STEP or time.monotonic() - self._written > _MOMENTS:
            self._write_new()

    def _write_new(self) -> None:
        new, self._new = self._new, []  # what cannot be written is not tried again
        text = b"".join(map(_text, new))
        _write(self._file, text)
        self._pass(text)
        self._written = time.monotonic()

    def _pass(self, text: bytes) -> None:
        self._digest.update(text)
        self.position += len(text)

    def sync(self) -> None:
        """Returns once everything is on the disk itself."""
        self._write_new()
        os.fsync(self._file)

    def close(self) -> None:
        """Writes what is not written yet."""
        try:
            self._write_new()
        finally:
            os.close(self._file)


def read(path: Path, start: int = 0, limit: int = -1) -> tuple[list[Line], int]:
    """The whole lines of a journal from a position on, and the position after them.

    Args:
        path: The file.
        start: The position, where a line begins.
        limit: Bytes that are read at most; at least the first line is.

    Raises:
        RecordError: A line is broken.
    """
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(limit)
        if b"\n" not in content:
            content += file.readline()
    whole = content[: content.rfind(b"\n") + 1]
    return [line for _, line in _split(whole, path.name)], start + len(whole)


def rows(lines: Sequence[Line]) -> Iterator[Row]:
    """The metrics that lines tell of. One that is not finite is left out: a store makes a number of it."""
    for line in lines:
        if line[0] == STEP and math.isfinite(value := loss(line)):
            yield Row(LOSS, line[1], line[2], value)
        elif line[0] in (EPOCH, KEPT):
            for name, value in _errors(line).items():
                yield Row(name, line[1], line[2], value)


def loss(line: Line) -> float:
    """The loss of a step's line, from its bits."""
    value: float = struct.unpack(">f", bytes.fromhex(line[3]))[0]
    return value


def loss_bits(value: float) -> str:
    """The bits of a loss, as a step's line has them."""
    return struct.pack(">f", value).hex()


def _errors(line: Line) -> Mapping[str, float]:
    errors: Mapping[str, float] = line[-1]
    return errors


def _text(line: Line) -> bytes:
    return (json.dumps(line, separators=(",", ":")) + "\n").encode()


def _write(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def _split(content: bytes, name: str) -> list[tuple[bytes, Line]]:
    found = []
    for text in content.splitlines(keepends=True):
        try:
            line = json_value(text.decode())
            kind, number, moment, *_ = line
            if kind not in (STEP, EPOCH, KEPT, WEIGHTS) or type(number) is not int or type(moment) is not int:
                raise ValueError("no finding begins like this")
        except (ValueError, TypeError) as error:
            raise RecordError(f"{name} is broken: {text[:40]!r} is not a finding: {error}.") from error
        found.append((text, line))
    return found
