"""Patience: a store is told of a training that was cut off, by a thread that is waited for a moment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reproven.errors import ReprovenError

_SECONDS = 0.7

#: The threads that still tell a store of a training that was cut off, by the logbook's id.
_telling: dict[str, threading.Thread] = {}


class Pen:
    """What a logbook is read and written with, until it is taken away from whoever is still at it."""

    def __init__(self) -> None:
        self._lock, self._is_gone = threading.Lock(), False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the pen: what the block does is done before `take_away` returns, or not begun."""
        with self._lock:
            if self._is_gone:
                raise _TakenAway
            yield

    def take_away(self) -> None:
        """Lets nobody hold the pen any more."""
        with self._lock:
            self._is_gone = True


class _TakenAway(ReprovenError):
    """A thread that nobody waits for any more goes on: it ends."""


def tell(book: str, telling: Callable[[], None], pen: Pen) -> None:
    """Tells a store what is there of a training that was cut off, if it listens within a moment.

    A process that is told to stop does not wait for a store that hangs. So a thread tells it; when this
    returns, that has ended, or leaves the logbook and ends with the answer that it waits for.

    Args:
        book: The logbook's id.
        telling: What tells it; errors of ours are left to `sync` and `doctor`.
        pen: What it writes the logbook with.
    """

    def told() -> None:
        with contextlib.suppress(ReprovenError):
            telling()

    thread = threading.Thread(target=told, name="reproven-giving-up", daemon=True)
    _telling[book] = thread
    thread.start()
    thread.join(_SECONDS)
    pen.take_away()
    if not thread.is_alive():
        del _telling[book]


def await_earlier(book: str) -> None:
    """Waits until no thread of this process still talks to the store about a logbook's run.

    Args:
        book: The logbook's id.
    """
    if (thread := _telling.pop(book, None)) is not None:
        thread.join()
