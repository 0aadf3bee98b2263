"""A training that is cut off tells its store, waits for none that hangs, and leaves nobody who writes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forging import Stopped, stop_before
from reproven import Recipe, audit, doctor, resume, train
from reproven.logbooks import journal, patience, shelf
from reproven.logbooks.logbook import Logbook
from reproven.store.open_run import Run

RECIPE = Recipe(epochs=2)


def join_those_that_give_up() -> None:
    for thread in threading.enumerate():
        if thread.name == "reproven-giving-up":
            thread.join()


class Gate:
    """Holds the store's answer to the end of a run until it is opened."""

    def __init__(self) -> None:
        self._open, self.reached = threading.Event(), threading.Event()

    def open(self) -> None:
        self._open.set()
        join_those_that_give_up()

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


def test_a_logbook_that_is_removed_stays_removed(gate: Gate, own: str) -> None:
    book = cut_off(own)
    book.remove()
    gate.open()
    assert not book.path.exists()
    assert list(doctor(tracking_uri=own)) == []


def test_a_journal_is_read_before_its_logbook_is_let_go_or_not_at_all(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who removes a logbook next takes nothing away from a thread that has just found its journal."""
    read, removed = journal.read, threading.Event()

    def late(path: Path, position: int, limit: int) -> Any:
        if threading.current_thread().name == "reproven-giving-up":
            removed.wait(2 * patience._SECONDS)
        return read(path, position, limit)

    monkeypatch.setattr(journal, "read", late)
    book = cut_off(own)
    book.remove()
    removed.set()
    join_those_that_give_up()
    assert not book.path.exists()


def test_a_resumed_run_waits_for_what_is_still_said_of_it(gate: Gate, uri: str) -> None:
    book = cut_off(uri)
    gate.open_soon()
    again = resume(book.id)
    assert shelf.every() == []
    assert audit(again.run_id, tracking_uri=uri).findings == ()


def test_a_sender_that_was_left_behind_ends_before_anybody_else_writes(uri: str) -> None:
    """Its training was killed while it was at the store; a resume neither waits nor writes beside it."""
    book = cut_off(uri)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom reproven.logbooks.logbook import Logbook\n"
        "with Logbook(Path(sys.argv[1])).sending():\n    print('sends', flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(book.path)], stdout=subprocess.PIPE, text=True
    ) as sender:
        assert sender.stdout is not None
        assert sender.stdout.readline() == "sends\n"
        assert not book.is_held  # to look ends nobody
        assert sender.poll() is None
        assert resume(book.id, tracking_uri=uri).failure is None
        assert sender.wait(timeout=60) == -signal.SIGKILL
