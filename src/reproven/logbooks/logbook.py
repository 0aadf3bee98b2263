"""The logbook: the folder of one run on this machine, from before its first step until the store has it all.

It holds what the run set out to do (`plan.json`), its journal, its checkpoints, its artifacts (`files/`),
how it ended (`end.json`), and how much of all that the store has (`sent.json`). Whoever trains holds its
lock; a process that dies lets go of it. Neither torch nor MLflow is needed to look into one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from filelock import lock_descriptor

from reproven.errors import DiskError, RecordError, ReprovenError
from reproven.files.disk import write_text
from reproven.files.texts import FORMAT, json_object, json_text
from reproven.logbooks import journal
from reproven.machine import processes, signals

Kind = TypeVar("Kind")
TRAIN, REPLAY = "train", "replay"
PLAN, _END, _SENT = "plan.json", "end.json", "sent.json"
_LOCK, _SENDER = "lock", "sender"  # files that a process locks: which trains, and which sends beside it
_CHECKPOINT = "checkpoint-"
_KEPT = 2  # checkpoints, so that one is whole at any time
UNKNOWN = "?"  # stands for what was begun, and perhaps done
HIDDEN = "."  # begins the name of a logbook that is being made or removed


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run set out to do, as far as its files do not say it.

    Attributes:
        kind: TRAIN or REPLAY.
        tracking_uri: Its store, without user and password.
        folder: The working directory, from which a local store's artifacts lie.
        experiment: The experiment's name.
        name: The run's name.
        parent: The run that it is shown under.
        adopted: The run that `mlflow run` made for it.
        start_time: Milliseconds since 1970.
        steps: How many there will be; none where a replay comes to its verdict without training.
        table: Where the table is: a bundled one's name, or a path.
        histogram_every: Epochs between two histograms of the weights.
        checkpoint_every: As `--checkpoint-every` has it.
        register_model: Registers the model under this name.
        alias: Points this alias at the registered version.
        figures: Whether its figures are drawn.
        params: The run's params.
        tags: The run's tags at its start.
        datasets: Its dataset inputs.
        example: A few raw rows of the features, as `columns` and `data`.
    """

    kind: str
    tracking_uri: str
    folder: str
    experiment: str
    name: str
    parent: str | None = None
    adopted: str | None
    start_time: int
    steps: int = 0
    table: str = ""
    histogram_every: int = 1
    checkpoint_every: str | None = None
    register_model: str | None = None
    alias: str | None = None
    figures: bool = True
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[Mapping[str, str]] = ()
    example: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a training ended, for the store.

    Attributes:
        status: FINISHED, FAILED, or KILLED where it was pruned.
        tags: More tags of the run; in a text, {run_id} stands for its id.
        linked: Tags of other runs, by their ids.
        model: Whether the files hold a model to be logged.
        step: Steps completed when its weights stood; None where all of the plan were.
    """

    status: str
    tags: Mapping[str, str]
    linked: Mapping[str, Mapping[str, str]]
    model: bool
    step: int | None = None


@dataclass(kw_only=True, slots=True)
class Sent:
    """What the store has. What was begun and perhaps not finished is `?` until its name is known.

    Attributes:
        run_id: The run's id in the store.
        tracking_uri: The store, without user and password.
        described: Whether params, tags and datasets are there.
        position: Bytes of the journal that are there.
        files: Artifacts that are there.
        model_id: The logged model.
        model: Whether the logged model is whole.
        version: The registered version.
        end_time: When the run ended, in milliseconds since 1970.
    """

    run_id: str | None = None
    tracking_uri: str | None = None
    described: bool = False
    position: int = 0
    files: list[str] = field(default_factory=list)
    model_id: str | None = None
    model: bool = False
    version: str | None = None
    end_time: int | None = None


@dataclass(frozen=True, slots=True)
class Logbook:
    """The folder of one run. Its name is the run's id here, before and beside the one in a store."""

    path: Path

    @property
    def id(self) -> str:
        """The logbook's id, 32 hexadecimal digits."""
        return self.path.name

    @property
    def files(self) -> Path:
        """The run's artifacts."""
        return self.path / "files"

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal"

    @property
    def plan(self) -> Plan:
        """What the run set out to do.

        Raises:
            RecordError: It cannot be read.
        """
        return self._read(PLAN, Plan)

    @property
    def end(self) -> End | None:
        """How the training ended; None where it has not."""
        return self._read(_END, End) if (self.path / _END).exists() else None

    def conclude(self, end: End) -> None:
        """Says that the training is over, and every file there."""
        write_text(self.path / _END, json_text({"format": FORMAT, **asdict(end)}))

    @property
    def sent(self) -> Sent:
        """What the store has."""
        return self._read(_SENT, Sent) if (self.path / _SENT).exists() else Sent()

    def keep(self, sent: Sent) -> None:
        """Notes what the store has."""
        write_text(self.path / _SENT, json_text({"format": FORMAT, **asdict(sent)}))

    @property
    def run_id(self) -> str:
        """The run's id in its store; the logbook's as long as none is known."""
        known = self.sent.run_id
        return self.id if known in (None, UNKNOWN) else str(known)

    @property
    def tracking_uri(self) -> str:
        """The store that the run is in, or meant for, without user and password."""
        return self.sent.tracking_uri or self.plan.tracking_uri

    def _read(self, name: str, kind: Callable[..., Kind]) -> Kind:
        try:
            values = json_object(name, (self.path / name).read_text(encoding="utf-8"))
            if values.pop("format", None) != FORMAT:
                raise RecordError(f"{name} is not of format {FORMAT}, which this version reads.")
            return kind(**values)
        except (OSError, ValueError, TypeError, RecordError) as error:
            raise RecordError(f"The logbook {self.path} cannot be read: {error}") from error

    @property
    def checkpoints(self) -> list[Path]:
        """The files of its checkpoints, the newest first."""
        found = [
            path for path in self.path.glob(f"{_CHECKPOINT}*") if path.name[len(_CHECKPOINT) :].isdigit()
        ]
        return sorted(found, reverse=True)

    @property
    def newest_checkpoint(self) -> int | None:
        """Steps completed at the newest checkpoint; None where there is none."""
        files = self.checkpoints
        return int(files[0].name[len(_CHECKPOINT) :]) if files else None

    def checkpoint(self, step: int) -> Path:
        """The file of the checkpoint after so many steps."""
        return self.path / f"{_CHECKPOINT}{step:012}"

    def forget_old_checkpoints(self) -> None:
        """Removes all but the newest checkpoint and the one before."""
        for old in self.checkpoints[_KEPT:]:
            old.unlink()

    @property
    def steps_done(self) -> int:
        """Steps that the journal tells of."""
        if not self.journal.exists():
            return 0
        lines, _ = journal.read(self.journal)
        return sum(line[0] == journal.STEP for line in lines)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turns a disk that cannot be written into an error that says what is kept, and what to do.

        Raises:
            DiskError: The logbook could not be written in the block.
        """
        try:
            yield
        except OSError as error:
            where, run = error.filename or self.path, self.run_id
            raise DiskError(
                f"{where} cannot be written: {error.strerror}. What was written stays. Make space, then "
                f"go on with `reproven resume {run}`."
            ) from error

    @property
    def is_held(self) -> bool:
        """Whether a living process trains the run."""
        with contextlib.suppress(Held), self._locked(patience=0):
            return False
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the logbook: nobody else writes it in the block.

        Raises:
            Held: A living process does; the error says which.
        """
        with self._locked(patience=0.5):  # somebody may only look whether it is held
            self._end_sender()
            yield

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Writes to a logbook beside the process that holds it, until another takes it over.

        A process that dies leaves the one that sends beside it behind, perhaps amidst a request to a store
        that hangs. Whoever holds the logbook next ends that first.
        """
        with (self.path / _SENDER).open("a+") as file:
            lock_descriptor(file.fileno())
            _sign(file)
            yield

    def _end_sender(self) -> None:
        if not (self.path / _SENDER).exists():
            return
        with (self.path / _SENDER).open("a+") as file:
            while not _locked(file):
                if (process := _holder(file)).isdigit():  # it has signed
                    processes.kill(int(process))
                time.sleep(0.02)
            file.truncate(0)

    @contextmanager
    def _locked(self, patience: float) -> Iterator[None]:
        until = time.monotonic() + patience
        with (self.path / _LOCK).open("a+") as file:
            while not _locked(file):
                if time.monotonic() >= until:
                    raise Held(_holder(file) or "?")
                time.sleep(0.02)
            _sign(file)
            yield

    def remove(self) -> None:
        """Removes the logbook, once nothing in it is needed any more."""
        gone = self.path.with_name(f"{HIDDEN}{self.id}")
        with signals.noticed():  # an interrupt leaves nothing of it
            with contextlib.suppress(FileNotFoundError):
                self.path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


def _sign(file: IO[str]) -> None:
    """Writes into a lock's file which process has it."""
    file.truncate(0)
    file.write(f" {os.getpid()}")  # after the byte that is locked, which some systems let nobody else read
    file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(1)
    return file.read().strip()


def _locked(file: IO[str]) -> bool:
    return lock_descriptor(file.fileno(), blocking=False)


class Held(ReprovenError):
    """A living process holds the lock of a logbook; the text is its number."""
