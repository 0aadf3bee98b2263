"""Stopping between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import QUICK
from reproven import resume, train
from reproven.logbooks import shelf
from reproven.machine import signals
from reproven.values.steps import Step


def test_a_training_in_another_thread_stops_where_it_is_told_to(uri: str) -> None:
    """As a worker of a cluster trains it, where no signal arrives."""

    def watch(steps: Iterable[Step], total: int) -> Iterator[Step]:
        for step in steps:
            if step.step == 5:
                assert threading.current_thread() is not threading.main_thread()
                signals.stop()
            yield step

    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        pool.submit(train, QUICK, tracking_uri=uri, watch=watch).result()
    (book,) = shelf.every()
    assert not book.is_held
    assert book.newest_checkpoint == book.steps_done == 6
    assert resume(book.id, tracking_uri=uri).failure is None


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """The signals that come to who handled them before."""
    found: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: found.append(number))
    yield found
    signal.signal(signal.SIGTERM, before)


def told(then: Exception | None = None) -> None:
    """A block that is told to stop, looks at it never, and ends so."""
    with signals.noticed() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        if then is not None:
            raise then


def test_a_signal_that_comes_too_late_to_stop_anything_is_told_to_who_handled_it_before(
    handled: list[int],
) -> None:
    told()
    assert handled == [signal.SIGTERM]


def test_a_signal_that_was_taken_up_is_told_once(handled: list[int]) -> None:
    with pytest.raises(ValueError, match="it stopped"):
        told(ValueError("it stopped"))
    assert handled == []
