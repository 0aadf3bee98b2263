"""Stopping between two steps: Ctrl-C and SIGTERM are noted, and taken up where the state is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True, eq=False)
class Stop:
    """Whether the process was told to stop.

    Attributes:
        number: The signal's number; None while there was none.
    """

    number: int | None = None


_open: set[Stop] = set()  # of the blocks of this process that take one up


def stop() -> None:
    """Tells every training of this process to stop, in whatever thread, as SIGTERM does in the main one."""
    for one in list(_open):
        one.number = one.number or signal.SIGTERM


@contextmanager
def noticed() -> Iterator[Stop]:
    """Notes the first signal to stop instead of stopping; a second one raises KeyboardInterrupt at once.

    One that comes when nothing is left to be stopped is not lost: who handled it before is told of it then.

    Outside the main thread, where Python handles no signals, only `stop` is noted.
    """
    stop = Stop()
    _open.add(stop)
    try:
        with _noting(stop):
            yield stop
    finally:
        _open.discard(stop)


@contextmanager
def _noting(stop: Stop) -> Iterator[None]:
    """Has the signals noted, in the main thread."""

    late: list[int] = []

    def note(number: int, _: object) -> None:
        if stop.number is not None:
            raise KeyboardInterrupt(number)
        stop.number = number
        late.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, note)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN  # as a shell's background job has it
    }
    try:
        yield
    except BaseException:
        late.clear()  # it was taken up, or something else ended the block
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in map(signal.Signals, late):
            signal.raise_signal(number)
