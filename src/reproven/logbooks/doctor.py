"""doctor: runs whose process is gone are found, and the store is told; what can be done is said of each."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from reproven.errors import Gone, RecordError, StoreError
from reproven.logbooks import logbook, shelf
from reproven.logbooks.delivery import home
from reproven.logbooks.logbook import Logbook
from reproven.store.store import Store

RUNNING, STOPPED, UNSENT, DELETED = "running", "stopped", "unsent", "deleted"
LOST, DAMAGED = "lost", "damaged"
STALE = 600.0  # seconds without a sign of life, after which a run on another machine counts as lost


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One run that is not over, and what to do about it.

    Attributes:
        run_id: The run's id in its store, or the logbook's as long as there is none.
        name: The run's name.
        state: `running`; `stopped`: its process is gone; `unsent`: it is trained, and its store lacks
            some of it; `deleted`: somebody deleted it in its store; `lost`: nothing of it is on this
            machine, and its process gave no sign of life; `damaged`: its logbook cannot be read.
        marked: Whether the store was told just now that the run is KILLED.
        words: What is to say, and to do.
    """

    run_id: str
    name: str
    state: str
    marked: bool
    words: str

    @property
    def is_finding(self) -> bool:
        """Whether there is something to be done about it."""
        return self.state != RUNNING


def doctor(*, stale: float = STALE, tracking_uri: str | None = None) -> Iterator[Case]:
    """Looks at the runs that are kept on this machine, and at those that the store believes to be running.

    Args:
        stale: Seconds without a sign of life, after which a run that is not kept here counts as lost.
        tracking_uri: The store; None takes MLflow's own choice. Runs kept here are marked in their own.

    Raises:
        StoreError: The store cannot be asked.
    """
    shelf.tidy()
    store = Store(tracking_uri)
    known = set()
    for book in shelf.every():
        try:
            known.add(book.sent.run_id)
            yield _case(book, store)
        except RecordError as error:
            yield Case(run_id=book.id, name="?", state=DAMAGED, marked=False, words=str(error))
    for run in store.running():
        silent = time.time() - run.last_sign
        if run.run_id not in known and silent > stale:
            store.open(run.run_id).end("KILLED")
            yield Case(
                run_id=run.run_id,
                name=run.name,
                state=LOST,
                marked=True,
                words=f"no sign of life for {silent / 60:.0f} minutes; its logbook, if any, is on {run.host}"
                + (", and was removed" if run.host == socket.gethostname() else ""),
            )


def _case(book: Logbook, store: Store) -> Case:
    plan, run_id = book.plan, book.run_id

    def told(state: str, words: str, *, marked: bool = False) -> Case:
        return Case(run_id=run_id, name=plan.name, state=state, marked=marked, words=words)

    if book.is_held:
        return told(RUNNING, f"step {book.steps_done} of {plan.steps}")
    marked, trouble = False, ""
    try:
        marked = _mark(book, store)
    except Gone:
        where = f"in {book.tracking_uri}: restore it there, or discard what is kept here"
        return told(DELETED, f"{where}: `reproven forget {run_id}`")
    except StoreError as error:
        trouble = f" ({error})"
    if book.end is not None:
        words = f"trained, but not all of it is in {book.tracking_uri}: `reproven sync {run_id}`"
        return told(UNSENT, words + trouble)
    if plan.kind == logbook.REPLAY:
        book.remove()
        words = "a replay that was stopped: replay its run again"
    else:
        newest = book.newest_checkpoint
        after = "the start" if newest is None else f"step {newest}"
        done = f"step {book.steps_done} of {plan.steps}"
        words = f"{done}: `reproven resume {run_id}` goes on after {after}"
    return told(STOPPED, words + trouble, marked=marked)


def _mark(book: Logbook, store: Store) -> bool:
    """Ends a run that was stopped and that its store believes to be running; returns whether that was so.

    Raises:
        Gone: The store has no such run, or it is deleted there.
        StoreError: The store cannot be asked.
    """
    run_id, uri = book.run_id, home(book, store.uri)
    if run_id == book.id:
        return False
    run = (store if uri == store.uri else Store(uri)).open(run_id)
    if book.end is not None or run.info.status != "RUNNING":
        return False
    run.end("KILLED")
    return True
