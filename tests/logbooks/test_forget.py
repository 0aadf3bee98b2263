"""Runs that were deleted in their store are told, and what is kept here of any run can be discarded."""

from __future__ import annotations

import json
import os
import pty
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from programs import MLFLOW, SOURCE, run, start
from reproven import Recipe, doctor, forget, resume, sync, train
from reproven.cli import main
from reproven.errors import InvalidInput, StoreError
from reproven.logbooks import shelf
from reproven.logbooks.logbook import Logbook
from reproven.logbooks.sync import REFUSED
from stopping import stopped

RECIPE = Recipe(epochs=3)


def left(uri: str, *, is_trained: bool) -> tuple[Logbook, str]:
    """What is kept of a run that its store has in part, and its id there."""
    book = stopped(RECIPE, 5, uri)
    if is_trained:
        resume(book.id, offline=True)
    return book, str(book.sent.run_id)


@pytest.mark.parametrize("is_trained", [False, True])
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_run_that_was_deleted_in_its_store_is_told_and_can_be_forgotten(
    is_trained: bool, is_gone: bool, own: str
) -> None:
    book, run_id = left(own, is_trained=is_trained)
    client = MlflowClient(own)
    client.delete_run(run_id)
    if is_gone:
        done = run(MLFLOW, "gc", "--backend-store-uri", own, "--run-ids", run_id, uri=own)
        assert done.returncode == 0, done.stderr
    (case,) = doctor(tracking_uri=own)
    assert (case.state, case.run_id, case.marked, case.is_finding) == ("deleted", run_id, False, True)
    assert case.words.endswith(f"discard what is kept here: `reproven forget {run_id}`")
    advice = f"The run {run_id} was deleted in the store {own}. .* `reproven forget {run_id}`.$"
    with pytest.raises(StoreError, match=f"^{advice}"):
        resume(book.id)
    (found,) = sync()
    assert found.state == REFUSED
    assert found.words.startswith(f"The run {run_id} was deleted in the store {own}. ")
    (kept,) = forget([run_id])
    how = "trained" if is_trained else "stopped after step 5 of 12"
    assert (kept.run_id, kept.logbook, kept.words) == (run_id, book.id, f"{how}, partly in {own}")
    assert list(doctor(tracking_uri=own)) == []
    assert list(shelf.place().iterdir()) == []
    if not is_gone:
        assert client.get_run(run_id).info.lifecycle_stage == "deleted"


def test_a_run_that_was_restored_in_its_store_goes_on(own: str) -> None:
    book, run_id = left(own, is_trained=False)
    MlflowClient(own).delete_run(run_id)
    MlflowClient(own).restore_run(run_id)
    (case,) = doctor(tracking_uri=own)
    assert case.state == "stopped"
    assert resume(book.id).run_id == run_id


def test_a_run_that_its_store_has_is_forgotten_here_alone(own: str) -> None:
    _, run_id = left(own, is_trained=False)
    before = MlflowClient(own).get_run(run_id).to_dictionary()
    forget([run_id])
    assert shelf.every() == []
    assert MlflowClient(own).get_run(run_id).to_dictionary() == before


def test_all_runs_are_forgotten_or_none(own: str) -> None:
    free, held = stopped(RECIPE, 2, own), stopped(RECIPE, 3, own)
    with held.held(), pytest.raises(InvalidInput) as error:
        forget([free.id, str(held.sent.run_id), "0123"])
    running, absent = error.value.problems
    assert running == (
        f"The run {held.sent.run_id} is running, in process {os.getpid()} of this machine. Stop it first."
    )
    assert absent.startswith(f"The run 0123 is not kept in {shelf.place()}: ")
    assert shelf.every() == [free, held]
    assert len(forget([free.id, str(free.sent.run_id), held.id])) == 2
    assert shelf.every() == []


def test_a_logbook_that_cannot_be_read_is_forgotten_too(own: str) -> None:
    book = stopped(RECIPE, 2, own)
    (book.path / "sent.json").write_text("{")
    (kept,) = forget([book.id])
    assert (kept.run_id, kept.name) == (book.id, "?")
    assert "sent.json cannot be read as JSON" in kept.words
    assert shelf.every() == []


def test_nothing_is_discarded_unasked() -> None:
    train(RECIPE, offline=True)
    (book,) = shelf.every()
    done = CliRunner().invoke(main, ["forget", book.id], prog_name="reproven")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "Error: yes is not given, and there is no terminal to ask at. Try --yes.\n"
    assert shelf.every() == [book]
    done = CliRunner().invoke(main, ["forget", book.id, "--yes", "--json"], prog_name="reproven")
    assert done.exit_code == 0
    (kept,) = json.loads(done.stdout)["runs"]
    assert (kept["run_id"], kept["words"]) == (book.id, "trained, in no store")
    assert shelf.every() == []
    assert list(Path().glob("mlflow.db*")) == []  # no store was asked


def test_a_terminal_asks_what_it_would_discard() -> None:
    train(RECIPE, offline=True)
    (book,) = shelf.every()
    for answer, code, said in (("n", 1, ""), ("y", 0, f"forgotten: {book.plan.name} ({book.id}), ")):
        ours, theirs = pty.openpty()
        process = start(SOURCE, "forget", book.id, stdin=theirs)
        os.write(ours, f"{answer}\n".encode())
        out, asked = process.communicate()
        os.close(theirs)
        os.close(ours)
        assert process.returncode == code
        assert out.startswith(said)
        assert bool(out) == bool(said)
        assert f"({book.id}), trained, in no store\nDiscard what is kept here of this, for good?" in asked
        assert bool(shelf.every()) == (answer == "n")
