"""Interrupted and resumed at once in one process, as in a notebook, which keeps what an error left behind."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from reproven import Recipe, audit, resume, train
from reproven.logbooks import shelf
from reproven.store.open_run import asking
from reproven.values.steps import Step

RECIPE = Recipe(epochs=30)
STEPS = list(range(120))


class Store:
    """A database that answers nobody for a while."""

    def __init__(self, uri: str) -> None:
        self._path, self._busy = uri.removeprefix("sqlite:///"), threading.Event()
        self._holder = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        self._busy.set()
        time.sleep(1)
        connection.close()

    def interrupt(self) -> None:
        """Interrupts the main thread once the store is slow."""
        self._holder.start()
        self._busy.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def join(self) -> None:
        self._holder.join()


def is_whole(uri: str, experiment: str) -> bool:
    """Whether there is one run, FINISHED, sound, with every step once, and nothing left of it here."""
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    steps = [value.step for value in client.get_metric_history(run.info.run_id, "train_loss")]
    assert sorted(steps) == STEPS
    assert run.info.status == "FINISHED"
    assert audit(run.info.run_id, tracking_uri=uri).findings == ()
    return list(shelf.place().iterdir()) == []


def test_a_run_that_was_interrupted_is_resumed_at_once_though_its_store_is_slow(own: str) -> None:
    store = Store(own)

    def watch(steps: Iterable[Step], total: int) -> Iterator[Step]:
        for step in steps:
            if step.step == 50:
                store.interrupt()
            yield step

    with pytest.raises(KeyboardInterrupt) as kept:
        train(RECIPE, tracking_uri=own, experiment="e", watch=watch)
    (book,) = shelf.every()
    assert book.steps_done < len(STEPS)
    assert resume(book.id, tracking_uri=own).failure is None
    store.join()
    assert is_whole(own, "e")
    assert kept.value is not None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_a_run_that_was_interrupted_at_any_moment_is_resumed_at_once(
    own: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Python loses the interruption, as it does in a weak reference's callback, the run goes on."""
    lost: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: lost.append(found.exc_type))
    began = time.monotonic()
    train(RECIPE, tracking_uri=own)
    delay = random.Random(seed).uniform(0.2, 1) * (time.monotonic() - began)
    store = Store(own)
    timer = threading.Timer(delay, store.interrupt)

    def cell() -> None:
        timer.start()
        train(RECIPE, tracking_uri=own, experiment="e")
        timer.join()

    kept: list[BaseException] = []
    try:
        cell()
    except KeyboardInterrupt as error:
        kept.append(error)
    assert kept or lost == [KeyboardInterrupt]
    for book in shelf.every():
        resume(book.id, tracking_uri=own)
    store.join()
    client = MlflowClient(own)
    assert client.get_experiment_by_name("e") is None or is_whole(own, "e")


def test_what_an_interrupted_question_holds_is_let_go() -> None:
    class Transaction: ...

    held: list[weakref.ref[Transaction]] = []

    def ask() -> None:
        transaction = Transaction()
        held.append(weakref.ref(transaction))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept, asking("ask", "sqlite://"):
        ask()
    assert held[0]() is None
    assert kept.value.__traceback__ is not None


def test_an_interrupt_leaves_no_part_of_a_logbook_that_is_removed(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def interrupted(folder: str | Path, **more: Any) -> None:
        if Path(folder).parent == shelf.place():
            signal.raise_signal(signal.SIGINT)
        remove(folder, **more)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, tracking_uri=own, experiment="e")
    assert is_whole(own, "e")
