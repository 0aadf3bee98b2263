"""Stores that are away, slow, killed, paused or full: training goes on, and in the end they have it all."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import programs
from conftest import ROOT
from forging import stop_before
from programs import SOURCE
from reproven import Recipe, audit, replay, resume, sync, train
from reproven.cli import main
from reproven.errors import InvalidInput, StoreError
from reproven.logbooks import shelf
from reproven.logbooks import sync as verb
from reproven.logbooks.delivery import home
from reproven.values.metrics import read_metrics
from reproven.values.steps import Step
from servers import Postgres, Server, postgres
from stopping import interrupted, outcome, sent, stopped, stored, train_apart

RECIPE = Recipe(epochs=3)
#: Gives up soon, so that a test need not wait as long as a user would.
HASTY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
LONG = ("--epochs", "300", "--histogram-every", "100", "--register-model", "delivered")
HELD_AT = 1000  # of the 1,200 steps: there a slowed training waits for the file `go`


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as found:
        yield found


@pytest.fixture(scope="module")
def _server(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Server:
    kept = tmp_path_factory.mktemp("kept")
    return Server(
        *("server", "--backend-store-uri", database.uri, "--artifacts-destination", str(kept)),
        *("--workers", "1"),
    )


@pytest.fixture
def absent_server(_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on PostgreSQL that keeps the artifacts; nobody has started it yet."""
    for name, value in HASTY.items():
        monkeypatch.setenv(name, value)
    yield _server
    _server.stop()


@pytest.fixture
def server(absent_server: Server) -> Server:
    """That server, running."""
    absent_server.start()
    return absent_server


def start(uri: str, *arguments: str, slowed: bool = False) -> subprocess.Popen[str]:
    program = (ROOT / "tests" / "slowed.py", "0.004", str(HELD_AT), "go") if slowed else (SOURCE,)
    return programs.start(*program, "train", *arguments, "--json", uri=uri)


def until(what: Callable[[], Any], seconds: float = 120) -> Any:
    """Waits for something that becomes true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


def steps_done() -> int:
    books = shelf.every()
    return books[0].steps_done if books else 0


def something_sent() -> bool:
    return any(book.sent.position > 0 for book in shelf.every())


def result(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    said, why = process.communicate(timeout=300)
    assert process.returncode == 0, why
    value: dict[str, Any] = json.loads(said)
    return value, why


def assert_whole(found: dict[str, Any], address: str) -> None:
    """The store has every row once, with its time, every file, and a sound record."""
    client = MlflowClient(address)
    rows = read_metrics(Path(client.download_artifacts(found["run_id"], "metrics.csv")).read_text())
    said = [(r.key, r.step, r.timestamp, r.value) for r in rows]
    names = client.get_run(found["run_id"]).data.metrics
    kept = [
        (m.key, m.step, m.timestamp, m.value)
        for name in names
        for m in client.get_metric_history(found["run_id"], name)
    ]
    assert sorted(kept) == sorted(said)
    assert client.get_run(found["run_id"]).info.status == "FINISHED"
    assert audit(found["run_id"], tracking_uri=address).findings == ()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the long run leaves where nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    found = train_apart(*LONG, uri=f"sqlite:///{folder}/mlflow.db", folder=folder)
    artifacts = Path(found.artifact_uri)
    return {
        name: (artifacts / name).read_bytes() for name in ("losses.csv", "weights.csv", "histograms.json")
    }


def assert_undisturbed(found: dict[str, Any], address: str, undisturbed: dict[str, bytes]) -> None:
    client = MlflowClient(address)
    for name, content in undisturbed.items():
        assert Path(client.download_artifacts(found["run_id"], name)).read_bytes() == content, name
    assert_whole(found, address)


@pytest.mark.slow
def test_a_server_may_be_killed_and_its_database_restarted(
    server: Server, database: Postgres, undisturbed: dict[str, bytes]
) -> None:
    process = start(server.address, *LONG, slowed=True)
    until(something_sent)
    server.stop(signal.SIGKILL)
    until(lambda: steps_done() == HELD_AT)  # training goes on without it
    database.stop()
    database.start()
    server.start()
    Path("go").touch()
    found, said = result(process)
    assert_undisturbed(found, server.address, undisturbed)
    assert said.count("Training goes on; what is missing is sent when the store is back.") == 1
    assert not shelf.every()


@pytest.mark.slow
def test_a_server_may_stand_still_for_longer_than_mlflow_waits(
    server: Server, undisturbed: dict[str, bytes]
) -> None:
    process = start(server.address, *LONG, slowed=True)
    until(something_sent)
    server.send(signal.SIGSTOP)
    until(lambda: steps_done() == HELD_AT)
    time.sleep(6)
    server.send(signal.SIGCONT)
    Path("go").touch()
    found, _ = result(process)
    assert_undisturbed(found, server.address, undisturbed)


@pytest.mark.slow
def test_a_server_that_is_gone_at_the_end_gets_the_rest_by_sync(server: Server) -> None:
    process = start(server.address, *LONG, slowed=True)
    until(something_sent)
    server.stop(signal.SIGKILL)
    Path("go").touch()
    said, why = process.communicate(timeout=120)
    assert (process.returncode, said) == (2, "")
    assert "is trained, but its store does not have all of it yet" in why
    assert "reproven sync" in why
    assert "Traceback" not in why
    (book,) = shelf.every()
    (refused,) = sync()
    assert refused.state == verb.REFUSED
    server.start()
    (done,) = sync(tracking_uri=server.address)
    assert done.state == verb.DELIVERED
    assert not shelf.every()
    assert_whole({"run_id": done.run_id}, server.address)
    assert list(sync()) == []
    assert not book.path.exists()


@pytest.mark.slow
def test_a_server_that_refuses_from_the_start_is_told_at_once(absent_server: Server) -> None:
    server = absent_server
    process = start(server.address, "--epochs", "2")
    said, why = process.communicate(timeout=60)
    assert (process.returncode, said) == (2, "")
    assert "Nothing was trained. Start the store, or go on with --offline." in why
    assert "Traceback" not in why
    assert not shelf.every()
    found, _ = result(start(server.address, "--epochs", "2", "--offline", "--register-model", "offline"))
    assert found["offline"]
    started = shelf.every()[0].plan.start_time
    time.sleep(1)
    server.start()
    (done,) = sync()  # the store that it was meant for
    assert done.state == verb.DELIVERED
    run = MlflowClient(server.address).get_run(done.run_id)
    assert run.info.start_time == started
    assert_whole({"run_id": done.run_id}, server.address)
    assert replay(done.run_id, tracking_uri=server.address).verdict == "IDENTICAL"


def test_who_sends_beside_a_training_ends_with_it_though_the_store_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        train(RECIPE, tracking_uri=uri, offline=True)
        (book,) = shelf.every()
        sender = programs.start(
            SOURCE, "sync", book.id, "--follow", uri=uri, fresh=True, stdin=subprocess.PIPE
        )
        asked, _ = silent.accept()
        with asked:
            assert sender.poll() is None
            _, why = sender.communicate()  # which closes its standard input
    assert (sender.returncode, why) == (0, "")


def test_who_sends_beside_a_training_ends_with_it_before_it_has_imported_mlflow() -> None:
    program = [sys.executable, "-X", "importtime", str(SOURCE), "sync", "0" * 32, "--follow"]
    sender = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip() for line in sender.stderr.splitlines()}
    assert "reproven.cli.logbooks" in imported
    assert "mlflow" not in imported


def test_an_offline_run_becomes_the_run_that_it_would_have_been(
    uri: str, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: Any = {"tracking_uri": uri, "experiment": "offline", "histogram_every": 1}
    online = train(RECIPE, **options)
    runs = len(client.search_runs([online.experiment_id]))
    offline = train(RECIPE, **options, offline=True)
    assert len(client.search_runs([online.experiment_id])) == runs
    monkeypatch.chdir(tmp_path.parent)
    (done,) = sync()
    again = train(RECIPE, **options)  # for its fields
    synced = replace(again, run_id=done.run_id, artifact_uri=client.get_run(done.run_id).info.artifact_uri)
    assert outcome(synced) == outcome(online)
    assert sorted(stored(synced, client)) == sorted(sent(synced))
    assert offline.metrics == online.metrics
    assert client.get_run(done.run_id).info.status == "FINISHED"


def say(*line: str) -> str:
    done = CliRunner().invoke(main, line, prog_name="reproven")
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_run_goes_to_the_store_it_was_meant_for_whatever_the_environment_says(
    own: str, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    train(RECIPE, tracking_uri=own, offline=True)
    assert say("sync").endswith(f"in the store {own}\n")
    book = stopped(RECIPE, 5, own)
    assert json.loads(say("resume", str(book.sent.run_id), "--json"))["tracking_uri"] == own
    assert len(MlflowClient(own).search_runs(["0"], "attributes.status = 'FINISHED'")) == 2


def test_a_run_that_was_sent_elsewhere_by_name_belongs_there(own: str, uri: str) -> None:
    with interrupted():
        train(RECIPE, tracking_uri=own, offline=True, watch=stop_before(5))
    (book,) = shelf.every()
    assert say("sync", "--tracking-uri", uri).startswith("stopped: ")
    assert (book.plan.tracking_uri, book.tracking_uri) == (own, uri)
    (found,) = sync()
    assert (found.state, found.run_id) == (verb.STOPPED, book.sent.run_id)
    assert resume(book.id).tracking_uri == uri


def test_a_store_is_entered_with_the_password_that_no_logbook_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    address, other = "http://user:correct-horse@127.0.0.1:9", "http://user:correct-horse@127.0.0.1:10"
    train(RECIPE, tracking_uri=address, offline=True)
    (book,) = shelf.every()
    assert home(book) == "http://127.0.0.1:9"
    assert (home(book, address), home(book, other)) == (address, "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert home(book) == address
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    assert home(book) == "http://127.0.0.1:9"


def test_sync_leaves_another_store_s_runs_alone(uri: str, tmp_path: Path) -> None:
    book = stopped(RECIPE, 5, uri)
    other = f"sqlite:///{tmp_path}/other.db"
    (found,) = sync(tracking_uri=other)
    assert (found.state, found.run_id) == (verb.ELSEWHERE, book.sent.run_id)
    (found,) = sync()
    assert (found.state, found.words) == (
        verb.STOPPED,
        "5 of 12 steps sent; go on with `reproven resume`",
    )
    with book.held():
        (found,) = sync()
    assert found.state == verb.RUNNING
    with pytest.raises(InvalidInput, match="The run 0123 is not kept in"):
        list(sync(["0123"]))


def mount(folder: Path, options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        assert "CI" not in os.environ, done.stderr
        pytest.skip("needs to mount a file system")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a quarter of a megabyte."""
    folder = tmp_path / "small"
    mount(folder, "size=256k")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_a_run_that_goes_on_once_there_is_space(
    uri: str, client: MlflowClient, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPROVEN_STATE", str(small_disk))
    arguments = ("--epochs", "500", "--checkpoint-every", "100steps", "--experiment", "full")
    process = start(uri, *arguments)
    said, why = process.communicate(timeout=120)
    assert (process.returncode, said) == (2, "")
    assert "cannot be written: No space left on device. What was written stays." in why
    assert "Traceback" not in why
    (book,) = shelf.every()
    assert 0 < book.steps_done < 2000
    (run,) = client.search_runs([client.get_experiment_by_name("full").experiment_id])
    assert run.info.status == "FAILED"
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    found, _ = result(programs.start(SOURCE, "resume", run.info.run_id, "--json", uri=uri))
    expected, _ = result(start(uri, *arguments))
    for name in ("losses.csv", "weights.csv", "outcome.json", "histograms.json"):
        files = (Path(each["artifact_uri"]) / name for each in (found, expected))
        assert next(files).read_bytes() == next(files).read_bytes(), name
    assert_whole(found, uri)


def test_artifacts_that_cannot_be_written_are_sent_once_they_can(
    uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    folder = tmp_path / "read-only"
    mount(folder, "rw")

    def watch(steps: Iterable[Step], total: int) -> Iterator[Step]:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield from steps

    try:
        client.create_experiment("read-only", artifact_location=str(folder / "artifacts"))
        with pytest.raises(StoreError, match=r"is trained, but its store .*Read-only file system"):
            train(RECIPE, tracking_uri=uri, experiment="read-only", watch=watch)
        with pytest.raises(StoreError, match=r"artifacts, but .* is read-only. Nothing was trained."):
            train(RECIPE, tracking_uri=uri, experiment="read-only")
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        (done,) = sync()
        assert done.state == verb.DELIVERED
        assert audit(done.run_id, tracking_uri=uri).findings == ()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_place_that_cannot_be_written_is_told_before_anything_is_created(
    uri: str, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REPROVEN_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(
        InvalidInput, match=r"cannot be written: Not a directory\. Name another one in REPROVEN"
    ):
        train(RECIPE, tracking_uri=uri, experiment="never made")
    assert client.get_experiment_by_name("never made") is None


def test_no_secret_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "correct-horse-battery"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    train(RECIPE, tracking_uri=f"http://user:{secret}@127.0.0.1:9", offline=True)
    (book,) = shelf.every()
    for path in book.path.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    assert book.plan.tracking_uri == "http://127.0.0.1:9"
