"""sync: what stores do not have yet of the runs on this machine is sent, with its original times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from reproven.errors import InvalidInput, RecordError, StoreError
from reproven.logbooks import shelf
from reproven.logbooks.delivery import Delivery, deliver, home
from reproven.logbooks.logbook import Held, Logbook
from reproven.store.address import without_credentials
from reproven.store.store import Store, address
from reproven.values.run_ids import EXAMPLE, listed

DELIVERED, STOPPED, RUNNING, ELSEWHERE, REFUSED = "delivered", "stopped", "running", "elsewhere", "refused"
_SECONDS_BETWEEN_SENDINGS = 1.0
_LONGEST_WAIT = 30.0  # seconds, for a store that is away


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """What became of one logbook.

    Attributes:
        run_id: The run's id in its store, or the logbook's as long as there is none.
        logbook: The logbook's id.
        name: The run's name.
        state: `delivered` whole; `stopped`: what there is was sent, the training is to be resumed;
            `running`: its own process sends it; `elsewhere`: it belongs to another store; `refused`.
        words: What is to say.
    """

    run_id: str
    logbook: str
    name: str
    state: str
    words: str


def sync(runs: Sequence[str] = (), *, tracking_uri: str | None = None) -> Iterator[Synced]:
    """Sends what stores do not have yet, and yields what became of each run.

    Args:
        runs: Run ids or logbooks' ids; all that are kept on this machine where not given.
        tracking_uri: Where to; None takes the store that each run was meant for, whatever MLflow's own
            choice is. A run that is in another store already is sent there only if it is named.

    Raises:
        InvalidInput: A run is not kept here.
    """
    books = {run: shelf.find(run) for run in listed(runs, "runs", EXAMPLE)}
    if missing := [run for run, book in books.items() if book is None]:
        raise InvalidInput([shelf.not_here(run) for run in missing])
    for book in [book for book in books.values() if book] or shelf.every():
        try:
            yield _sync(book, tracking_uri, is_named=bool(runs))
        except RecordError as error:
            yield Synced(run_id=book.id, logbook=book.id, name="?", state=REFUSED, words=str(error))


def _sync(book: Logbook, tracking_uri: str | None, *, is_named: bool) -> Synced:
    plan = book.plan

    def told(state: str, words: str) -> Synced:
        return Synced(run_id=book.run_id, logbook=book.id, name=plan.name, state=state, words=words)

    uri = tracking_uri or home(book)
    is_other = without_credentials(address(uri)) != book.tracking_uri
    if is_other and book.sent.run_id is not None and not is_named:
        return told(ELSEWHERE, f"it is in the store {book.tracking_uri}; name it, or that store")
    try:
        with book.held():
            store = Store(uri, plan.folder)
            if book.end is None:
                Delivery(book, store).send()
                return told(
                    STOPPED, f"{book.steps_done} of {plan.steps} steps sent; go on with `reproven resume`"
                )
            found = deliver(book, store)
    except Held:
        return told(RUNNING, "its own process sends it")
    except StoreError as error:
        return told(REFUSED, str(error))
    return Synced(
        run_id=found.run_id,
        logbook=book.id,
        name=plan.name,
        state=DELIVERED,
        words=f"in the store {without_credentials(store.uri)}",
    )


def follow(run: str, *, say: Callable[[str], None]) -> NoReturn:
    """Sends a journal while it is written, until this process is ended; says once that a store is away.

    It goes to MLflow's own choice, which the writer makes: what leads into a store may hold a password, and
    so is in no option, which anybody on this machine can see, and in no logbook.

    Args:
        run: The logbook's id.
        say: Told what is worth knowing, in sentences.

    Raises:
        InvalidInput: There is no such logbook.
    """
    book = shelf.find(run)
    if book is None:
        raise InvalidInput([f"There is no logbook {run} in {shelf.place()}."])
    with book.sending():
        delivery: Delivery | None = None
        is_away, pause = False, 0.0
        while True:
            try:
                delivery = delivery or Delivery(book, Store(None, book.plan.folder))
                delivery.send()
                delivery.beat()
            except StoreError as error:
                if not is_away:
                    say(f"{error} Training goes on; what is missing is sent when the store is back.")
                is_away, pause = True, min(2 * pause + _SECONDS_BETWEEN_SENDINGS, _LONGEST_WAIT)
            else:
                if is_away:
                    say("The store is back, and has all there is.")
                is_away, pause = False, _SECONDS_BETWEEN_SENDINGS
            time.sleep(pause)
