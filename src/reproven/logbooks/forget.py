"""forget: what is kept here of runs is discarded; no store is asked, and none is touched."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from reproven.errors import InvalidInput, RecordError
from reproven.logbooks import shelf
from reproven.logbooks.logbook import Held, Logbook


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is kept here of one run.

    Attributes:
        run_id: The run's id in its store, or the logbook's as long as there is none.
        logbook: The logbook's id.
        name: The run's name.
        words: How far it came, and how much of it a store has.
    """

    run_id: str
    logbook: str
    name: str
    words: str


def kept(runs: Sequence[str]) -> tuple[Kept, ...]:
    """What `forget` would discard.

    Args:
        runs: Run ids or logbooks' ids.

    Raises:
        InvalidInput: A run is not kept here, or a living process holds it.
    """
    with ExitStack() as stack:
        return tuple(_kept(book) for book in _held(runs, stack))


def forget(runs: Sequence[str]) -> tuple[Kept, ...]:
    """Discards what is kept here of runs, all of them or none, for good; what a store has of them stays.

    Args:
        runs: Run ids or logbooks' ids.

    Returns:
        What was there.

    Raises:
        InvalidInput: A run is not kept here, or a living process holds it; then nothing is discarded.
    """
    with ExitStack() as stack:
        books = _held(runs, stack)
        found = tuple(_kept(book) for book in books)
        for book in books:
            book.remove()
        return found


def _held(runs: Sequence[str], stack: ExitStack) -> list[Logbook]:
    """The logbooks of runs, each once, held until the stack ends."""
    books, problems = {}, []
    for run in runs:
        book = shelf.find(run)
        if book is None:
            problems.append(shelf.not_here(run))
        elif book.id not in books:
            books[book.id] = book
            try:
                stack.enter_context(book.held())
            except Held as error:
                where = f"in process {error} of this machine"
                problems.append(f"The run {run} is running, {where}. Stop it first.")
    if problems:
        raise InvalidInput(problems)
    return list(books.values())


def _kept(book: Logbook) -> Kept:
    try:
        plan, run_id, is_over = book.plan, book.run_id, book.end is not None
        how = "trained" if is_over else f"stopped after step {book.steps_done} of {plan.steps}"
        where = f"partly in {book.tracking_uri}" if run_id != book.id else "in no store"
        return Kept(run_id=run_id, logbook=book.id, name=plan.name, words=f"{how}, {where}")
    except RecordError as error:
        return Kept(run_id=book.id, logbook=book.id, name="?", words=str(error))
