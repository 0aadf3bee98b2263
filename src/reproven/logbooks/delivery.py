"""Delivery: what a logbook holds goes into a store, so that whatever is sent twice is stored once.

A training's own process delivers at its end, a process beside it meanwhile, and `sync` whatever is left:
all by the same steps, each of which may be cut off at any moment and taken again. It needs no torch until
the manifest asks for the digests of tensors.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from reproven.errors import Deleted, Gone, StoreError
from reproven.files import disk, manifest, names
from reproven.logbooks import journal, patience, pictures
from reproven.logbooks.journal import WEIGHTS
from reproven.logbooks.logbook import UNKNOWN, End, Logbook
from reproven.store.address import without_credentials
from reproven.store.open_run import Run
from reproven.store.registry import Registry
from reproven.store.store import Store, address
from reproven.store.tags import HEARTBEAT, LOGBOOK, PARENT, SEAL
from reproven.values.metrics import last_errors, read_metrics

_SECONDS_BETWEEN_BEATS = 30.0
_LARGEST_PIECE = 1 << 16  # bytes of the journal at a time; about as many rows as one batch takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """What became of a run in its store.

    Attributes:
        run_id: The run's id.
        experiment_id: The experiment that it is in.
        artifact_uri: Where its files are.
        model_uri: The logged model; None where there is none.
        version: The registered version; None where none was asked for.
    """

    run_id: str
    experiment_id: str
    artifact_uri: str
    model_uri: str | None
    version: str | None


class Delivery:
    """The delivery of one logbook to its store.

    Args:
        book: The logbook.
        store: Where to.

    Attributes:
        run: The run in the store, made now if there was none.

    Raises:
        Deleted: The run was deleted in its store.
        StoreError: The store refuses.
    """

    def __init__(self, book: Logbook, store: Store) -> None:
        patience.await_earlier(book.id)
        self._book, self._store = book, store
        self._plan, self._sent = book.plan, book.sent
        self._pen, self._beaten = patience.Pen(), -math.inf
        self.run = self._open()

    def _open(self) -> Run:
        plan, known, here = self._plan, self._sent.run_id, without_credentials(self._store.uri)
        if known == UNKNOWN:
            known = self._store.made_for(self._book.id, plan.experiment)
        if known is None and plan.adopted is not None:
            run = self._store.adopt(plan.adopted)
        elif known is None:
            self._note(run_id=UNKNOWN, tracking_uri=here)
            run = self._store.create(plan.experiment, plan.name, self._tags, plan.start_time)
        else:
            run = self._known(known)
        self._note(run_id=run.id, tracking_uri=here)
        return run

    def _known(self, run_id: str) -> Run:
        try:
            return self._store.open(run_id)
        except Gone as error:
            where = without_credentials(self._store.uri)
            raise Deleted(
                f"The run {run_id} was deleted in the store {where}. Restore it there, or discard what is "
                f"kept of it here: `reproven forget {run_id}`."
            ) from error

    def _note(self, **what: object) -> None:
        for name, value in what.items():
            setattr(self._sent, name, value)
        with self._writing():
            self._book.keep(self._sent)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._pen.held(), self._book.writing():
            yield

    @property
    def _tags(self) -> dict[str, str]:
        """The run's tags at its start; a run that is made has them at once, so that it is never lost."""
        parent = {} if self._plan.parent is None else {PARENT: self._plan.parent}
        return {LOGBOOK: self._book.id, **self._plan.tags, **parent}

    @property
    def is_needed(self) -> bool:
        """Whether the store may still lack something."""
        return self._book.path.exists()

    def send(self) -> None:
        """Sends everything that is there and was not sent.

        Raises:
            StoreError: The store refuses; what it has taken is noted.
            RecordError: The journal is broken.
        """
        with self._pen.held():
            self._sent = self._book.sent  # another process may have sent some
        if not self._sent.described:
            self.run.describe(params=self._plan.params, tags=self._tags)
            if self._plan.datasets:
                self.run.log_datasets(self._plan.datasets)
            self._note(described=True)
        while (end := self._send_piece()) != self._sent.position:
            self._note(position=end)
        self._upload()

    def _send_piece(self) -> int:
        """Sends the next lines of the journal, and returns the position after them."""
        with self._pen.held():
            if not self._book.journal.exists():
                return self._sent.position
            lines, end = journal.read(self._book.journal, self._sent.position, _LARGEST_PIECE)
        self.run.log_rows(list(journal.rows(lines)))
        looks = [line[1:] for line in lines if line[0] == WEIGHTS and self._plan.figures]
        with self._writing():
            for place, moment, found, *epochs in looks:
                stood = epochs[0] if epochs else place  # those kept come after the last, and say when
                pictures.weights(self._book.files, place, stood, moment, found, owner=self._book.id)
        return end

    def _upload(self) -> None:
        new = self.run.upload(self._book.files, self._sent.files)
        if new:
            self._note(files=[*self._sent.files, *new])

    def beat(self) -> None:
        """Says that the run's process lives, every now and then."""
        if time.monotonic() - self._beaten > _SECONDS_BETWEEN_BEATS:
            self._beaten = time.monotonic()
            self.run.describe(params={}, tags={HEARTBEAT: f"{time.time():.0f}"})

    def give_up(self, status: str) -> None:
        """Tells the store what is there of a training that was cut off, and how it ended; then it is over.

        Args:
            status: MLflow's, FAILED or KILLED.
        """

        def tell() -> None:
            if self.is_needed:  # else it was stopped once everything was there
                self.run.end(status)
                self.send()

        patience.tell(self._book.id, tell, self._pen)

    def finish(self) -> Delivered:
        """Sends the rest of a training that is over: model, version, snapshot, manifest; the run then ends.

        Raises:
            StoreError: The store refuses; what it has taken is noted.
        """
        end = self._book.end
        assert end is not None, "the training is not over"
        self.send()
        model_uri = self._log_model(end) if end.model else None
        version = self._register(model_uri) if model_uri and self._plan.register_model else None
        tags = {name: text.replace("{run_id}", self.run.id) for name, text in end.tags.items()}
        self.run.describe(params={}, tags=tags)
        for run_id, linked in end.linked.items():
            own = {name.replace("{run_id}", self.run.id): value for name, value in linked.items()}
            self._store.tag(run_id, own)
        self._close(end)
        return Delivered(
            run_id=self.run.id,
            experiment_id=self.run.info.experiment_id,
            artifact_uri=self.run.info.artifact_uri,
            model_uri=model_uri,
            version=version,
        )

    def _log_model(self, end: End) -> str:
        model_id = self._sent.model_id
        if model_id == UNKNOWN:
            model_id = self.run.unfinished_model()
        if model_id is None:
            self._note(model_id=UNKNOWN)
            model_id = self.run.new_model(self._plan.params)
        self._note(model_id=model_id)
        if not self._sent.model:
            plan, folder = self._plan, self._book.files
            self.run.fill_model(
                model_id,
                folder / names.MODEL,
                plan.example,
                step=plan.steps if end.step is None else end.step,
                errors=last_errors(read_metrics(disk.read_text(folder / names.METRICS))),
                datasets=plan.datasets,
            )
            self._note(model=True)
        return f"models:/{model_id}"

    def _register(self, model_uri: str) -> str:
        registry = Registry(self._store)
        name, version = str(self._plan.register_model), self._sent.version
        if version == UNKNOWN:
            version = registry.registered(self.run.id, model_uri, name)
        if version is None:
            self._note(version=UNKNOWN)
            version = registry.register(self.run.id, model_uri, name)
        self._note(version=version)
        if self._plan.alias:
            registry.point(self._plan.alias, name, version)
        return version

    def _close(self, end: End) -> None:
        """Writes the run's snapshot and the manifest of all its files, and ends the run. Nothing follows."""
        folder = self._book.files
        now = max(int(time.time() * 1000), self._plan.start_time)  # a clock may have been set back
        end_time = self._sent.end_time or now
        self._note(end_time=end_time)
        self.run.end_time = end_time
        has_record = (folder / names.OUTCOME).exists()  # a verdict without training has none to seal
        if has_record and not (folder / names.MANIFEST).exists():
            said = replace(self._store.snapshot(self.run.id), status=end.status, end_time=end_time)
            with self._writing():
                disk.write_text(folder / names.SNAPSHOT, said.text())
                manifest.write(folder, manifest.take(folder))
        self._upload()
        if has_record:
            self.run.describe(params={}, tags={SEAL: manifest.file_sha256(folder / names.MANIFEST)})
        self.run.end(end.status)


def home(book: Logbook, tracking_uri: str | None = None) -> str:
    """The address of the store that a run is in, or meant for, with what is needed to get in.

    A logbook keeps no password. Where an address names that same store, it is taken as it is given.

    Args:
        book: The run's logbook.
        tracking_uri: That address; None takes MLflow's own choice.
    """
    given = address(tracking_uri)
    return given if without_credentials(given) == book.tracking_uri else book.tracking_uri


@contextmanager
def begun(book: Logbook, store: Store | None, *, is_new: bool) -> Iterator[None]:
    """Makes the run in its store before the block, and ends it there if the block does not end well.

    Args:
        book: The run's logbook, held.
        store: Where to; None for nowhere.
        is_new: Whether nothing is lost with the logbook: it is removed if the store refuses.

    Raises:
        StoreError: The store refuses.
    """
    if store is None:
        yield
        return
    try:
        delivery = Delivery(book, store)
        delivery.run.go_on()
    except Deleted:
        raise
    except StoreError as error:
        if is_new:
            book.remove()
        raise StoreError(f"{error} Nothing was trained. Start the store, or go on with --offline.") from error
    try:
        yield
    except StoreError:  # it was trained, and waits for `sync`
        raise
    except BaseException as error:
        delivery.give_up("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise


def deliver(book: Logbook, store: Store) -> Delivered:
    """Delivers a training that is over; its logbook is then removed.

    Raises:
        StoreError: The store refuses: then the logbook stays, for `sync`.
    """
    try:
        found = Delivery(book, store).finish()
    except Deleted:
        raise
    except StoreError as error:
        raise StoreError(
            f"The run {book.sent.run_id or book.plan.name} is trained, but its store does not have all of it "
            f"yet. It is kept in {book.path}; send it with `reproven sync`. {error}"
        ) from error
    book.remove()
    return found
