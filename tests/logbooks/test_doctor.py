"""Runs whose process is gone are found, marked, and told what to do about."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from conftest import Cli
from forging import stop_before
from programs import SOURCE, start
from reproven import Recipe, doctor, replay, resume, sync, train
from reproven.errors import StoreError
from reproven.logbooks import shelf
from reproven.store.tags import HEARTBEAT, HOST, LOGBOOK
from stopping import interrupted, stopped

RECIPE = Recipe(epochs=3)


def test_a_process_that_died_leaves_a_run_that_doctor_marks(own: str, cli: Cli) -> None:
    process = start(SOURCE, "train", "--epochs", "100000", "--checkpoint-every", "100steps", uri=own)
    while not any(book.checkpoints for book in shelf.every()):
        assert process.poll() is None
        time.sleep(0.1)
    done = cli("doctor", MLFLOW_TRACKING_URI=own)
    (book,) = shelf.every()
    run_id = str(book.sent.run_id)
    assert done.returncode == 0
    assert done.stdout.startswith(f"running: {book.plan.name} ({run_id}), step ")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    client = MlflowClient(own)
    assert client.get_run(run_id).info.status == "RUNNING"
    done = cli("doctor", "--json", MLFLOW_TRACKING_URI=own)
    (case,) = json.loads(done.stdout)["runs"]
    assert done.returncode == 1
    assert (case["run_id"], case["state"], case["marked"]) == (run_id, "stopped", True)
    assert f"of 400000: `reproven resume {run_id}` goes on after step " in case["words"]
    assert client.get_run(run_id).info.status == "KILLED"
    again = cli("doctor", MLFLOW_TRACKING_URI=own)
    assert again.returncode == 1
    assert again.stdout.startswith(f"stopped: {book.plan.name} ({run_id}), step ")


def test_nothing_to_do_is_said_and_is_well(own: str, cli: Cli) -> None:
    train(RECIPE, tracking_uri=own)
    done = cli("doctor", MLFLOW_TRACKING_URI=own)
    assert (done.returncode, done.stdout) == (0, "Every run has ended, and its store has all of it.\n")


def test_a_run_that_is_trained_and_not_sent_is_told(own: str) -> None:
    train(RECIPE, tracking_uri=own, offline=True)
    (case,) = doctor(tracking_uri=own)
    (book,) = shelf.every()
    assert (case.state, case.run_id, case.marked) == ("unsent", book.id, False)
    assert case.words.endswith(f"`reproven sync {book.id}`")


def test_a_run_on_another_machine_counts_by_its_heartbeat(own: str) -> None:
    client = MlflowClient(own)
    now = time.time()

    def running(beat: float) -> str:
        tags = {HOST: "elsewhere", LOGBOOK: "0" * 32, HEARTBEAT: str(beat)}
        return str(client.create_run("0", tags=tags, start_time=int(1000 * (now - 5000))).info.run_id)

    alive, dead = running(now - 60), running(now - 1200)
    foreign = client.create_run("0").info.run_id  # not ours
    (case,) = doctor(tracking_uri=own)
    assert (case.run_id, case.state, case.marked) == (dead, "lost", True)
    assert case.words == "no sign of life for 20 minutes; its logbook, if any, is on elsewhere"
    status = {run: client.get_run(run).info.status for run in (alive, dead, foreign)}
    assert status == {alive: "RUNNING", dead: "KILLED", foreign: "RUNNING"}
    (case,) = doctor(tracking_uri=own, stale=30)
    assert case.run_id == alive


def test_a_replay_that_was_stopped_is_forgotten(own: str) -> None:
    trained = train(RECIPE, tracking_uri=own)
    with interrupted():
        replay(trained.run_id, tracking_uri=own, watch=stop_before(2))
    (case,) = doctor(tracking_uri=own)
    assert (case.state, case.words) == ("stopped", "a replay that was stopped: replay its run again")
    assert not shelf.every()


def test_what_a_dying_process_left_half_made_is_removed(own: str) -> None:
    book = stopped(RECIPE, 2, own)
    book.path.rename(book.path.with_name(f".{book.id}"))
    list(doctor(tracking_uri=own))
    assert list(shelf.place().iterdir()) == []


def test_a_damaged_logbook_is_named_and_hides_no_other(own: str, tmp_path: Path) -> None:
    damaged, sound = stopped(RECIPE, 2, own), stopped(RECIPE, 3, own)
    (damaged.path / "plan.json").write_text("{")
    cases = {case.run_id: case for case in doctor(tracking_uri=own)}
    assert cases[damaged.id].state == "damaged"
    assert "plan.json cannot be read as JSON" in cases[damaged.id].words
    assert cases[str(sound.sent.run_id)].state == "stopped"
    states = {found.logbook: found.state for found in sync()}
    assert states == {damaged.id: "refused", sound.id: "stopped"}
    assert resume(sound.id).failure is None


def test_an_offline_run_that_was_stopped_is_kept_though_its_store_is_away(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with interrupted():
        train(RECIPE, tracking_uri="http://127.0.0.1:9", offline=True, watch=stop_before(5))
    (book,) = shelf.every()
    with pytest.raises(StoreError, match="go on with --offline"):
        resume(book.id)
    assert resume(book.id, offline=True).offline
    assert resume(book.id, tracking_uri=own).run_id != book.id
