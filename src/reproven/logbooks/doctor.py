"""doctor: runs whose process is gone are found, and the store is told; what can be done is said of each."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from reproven.errors import RecordError, StoreError
from reproven.logbooks import logbook, shelf
from reproven.logbooks.delivery import home
from reproven.logbooks.logbook import Logbook
from reproven.store.store import Store

RUNNING, STOPPED, UNSENT, LOST, DAMAGED = "running", "stopped", "unsent", "lost", "damaged"
STALE = 600.0  # seconds without a sign of life, after which a run on another machine counts as lost


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One run that is not over, and what to do about it.

    Attributes:
        run_id: The run's id in its store, or the logbook's as long as there is none.
        name: The run's name.
        state: `running`; `stopped`: its process is gone; `unsent`: it is trained, and its store lacks
            some of it; `lost`: nothing of it is on this machine, and its process gave no sign of life;
            `damaged`: its logbook cannot be read.
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
    plan, steps, run_id = book.plan, book.steps_done, book.sent.run_id or book.id
    if book.is_held:
        state, words = RUNNING, f"step {steps} of {plan.steps}"
    elif book.end is not None:
        state, words = (
            UNSENT,
            f"trained, but not all of it is in {book.tracking_uri}: `reproven sync {run_id}`",
        )
    elif plan.kind == logbook.REPLAY:
        state, words = STOPPED, "a replay that was stopped: replay its run again"
    else:
        newest = book.newest_checkpoint
        after = "the start" if newest is None else f"step {newest}"
        state = STOPPED
        words = f"step {steps} of {plan.steps}: `reproven resume {run_id}` goes on after {after}"
    marked, trouble = _mark(book, store) if state == STOPPED else (False, "")
    if state == STOPPED and plan.kind == logbook.REPLAY:
        book.remove()
    return Case(run_id=run_id, name=plan.name, state=state, marked=marked, words=words + trouble)


def _mark(book: Logbook, store: Store) -> tuple[bool, str]:
    """Ends a run that its store believes to be running; whether that was so, and what stood in the way."""
    run_id, uri = book.sent.run_id, home(book, store.uri)
    if run_id is None:
        return False, ""
    try:
        run = (store if uri == store.uri else Store(uri)).open(run_id)
        if run.info.status != "RUNNING":
            return False, ""
        run.end("KILLED")
    except StoreError as error:
        return False, f" ({error})"
    return True, ""
