"""A training that is cut off tells its store, waits for none that hangs, and leaves nobody who writes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from forging import Stopped, stop_before
from reproven import Recipe, audit, doctor, resume, train
from reproven.logbooks import shelf
from reproven.logbooks.logbook import Logbook
from reproven.store.open_run import Run

RECIPE = Recipe(epochs=2)


class Gate:
    """Holds the store's answer to the end of a run until it is opened."""

    def __init__(self) -> None:
        self._open, self.reached = threading.Event(), threading.Event()

    def open(self) -> None:
        self._open.set()
        for thread in threading.enumerate():
            if thread.name == "reproven-giving-up":
                thread.join()

    def hold(self) -> None:
        self.reached.set()
        self._open.wait()

    def open_soon(self) -> None:
        threading.Timer(0.3, self._open.set).start()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, end = Gate(), Run.end

    def held(run: Run, status: str) -> None:
        if threading.current_thread().name == "reproven-giving-up":
            gate.hold()
        end(run, status)

    monkeypatch.setattr(Run, "end", held)
    yield gate
    gate.open()


def cut_off(uri: str) -> Logbook:
    with pytest.raises(Stopped):
        train(RECIPE, tracking_uri=uri, watch=stop_before(5))
    (book,) = shelf.every()
    return book


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nobody_writes_a_logbook_that_was_let_go(gate: Gate, uri: str) -> None:
    book = cut_off(uri)
    assert gate.reached.is_set()
    before = content(book.path)
    gate.open()
    assert content(book.path) == before


def test_a_logbook_that_is_removed_stays_removed(gate: Gate, uri: str) -> None:
    book = cut_off(uri)
    book.remove()
    gate.open()
    assert not book.path.exists()
    assert list(doctor(tracking_uri=uri)) == []


def test_a_resumed_run_waits_for_what_is_still_said_of_it(gate: Gate, uri: str) -> None:
    book = cut_off(uri)
    gate.open_soon()
    again = resume(book.id)
    assert shelf.every() == []
    assert audit(again.run_id, tracking_uri=uri).findings == ()
