"""Where a machine has little of something, or its clock is set back: work, or one clear error."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from conftest import ROOT
from programs import SOURCE, start
from reproven import Recipe, audit, doctor, train
from reproven.logbooks import shelf
from reproven.values.steps import Step

NOBODY = "54321"  # no user has this number
ADDRESSES = (
    "import resource\nfrom reproven.machine.environment import require_addresses\n"
    "resource.setrlimit(resource.RLIMIT_AS, (2**29,) * 2)\nrequire_addresses()"
)


def limited(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a Python program under a shell's limit."""
    line = ["sh", "-c", f'{command}; exec "$@"', "sh", sys.executable, *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_too_few_addresses_are_told_before_anything_is_made() -> None:
    done = limited("true", "-c", ADDRESSES)
    assert "but a training needs 0.5 GiB. Raise `ulimit -v`." in done.stderr.splitlines()[-1]


def test_a_library_that_finds_no_memory_is_named(own: str) -> None:
    done = limited("ulimit -v 400000", str(SOURCE), "train", "--epochs", "1", "--tracking-uri", own)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(("Error: A library cannot be loaded: ", "Error: There is not enough memory."))
    assert "ulimit -v" in line
    assert MlflowClient(own).search_runs(["0"]) == []


@pytest.fixture
def nobody_s() -> Iterator[Path]:
    """A folder that a user without a name may write to."""
    if shutil.which("setpriv") is None or as_nobody(Path("/"), "-c", "").returncode != 0:
        pytest.skip("needs to become somebody else, who may run this Python")
    folder = Path(tempfile.mkdtemp(prefix="reproven-nobody-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def as_nobody(folder: Path, *arguments: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "REPROVEN_STATE": None, "HOME": None, **variables}
    return subprocess.run(
        ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", sys.executable, *arguments],
        cwd=folder,
        env={name: value for name, value in given.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_user_without_a_home_is_asked_for_a_folder(nobody_s: Path) -> None:
    done = as_nobody(nobody_s, str(SOURCE), "train")
    told = "Error: This user has no home folder. Name one that can be written in HOME.\n"
    assert (done.stderr, done.returncode) == (told, 2)
    assert list(nobody_s.iterdir()) == []


@pytest.mark.parametrize("home", ["missing", "closed"])
def test_a_home_that_cannot_be_written_is_told_before_anything_is_made(nobody_s: Path, home: str) -> None:
    place = nobody_s / home / ".local" / "state" / "reproven"
    if home == "missing":
        nobody_s.chmod(0o555)
    else:
        place.mkdir(parents=True)
    asked = "from reproven.logbooks import shelf; shelf.require_place()"
    done = as_nobody(nobody_s, "-c", asked, HOME=str(nobody_s / home))
    assert "cannot be written: Permission denied. Name another one in REPROVEN_STATE." in done.stderr


@pytest.mark.slow
def test_a_user_without_a_name_trains_and_a_folder_that_is_read_only_is_told(nobody_s: Path) -> None:
    (nobody_s / "closed").mkdir(mode=0o555)
    store = f"sqlite:///{nobody_s}/mlflow.db"
    train_it = (str(SOURCE), "train", "--epochs", "1")
    done = as_nobody(nobody_s / "closed", *train_it, HOME=str(nobody_s), MLFLOW_TRACKING_URI=store)
    told = f"The files of a run belong in {nobody_s}/closed/mlruns/0, but {nobody_s}/closed is read-only."
    assert done.stderr.startswith(f"Error: {told} Nothing was trained.")
    assert not any((nobody_s / ".local" / "state" / "reproven").iterdir())
    done = as_nobody(nobody_s, *train_it, "--experiment", "e", HOME=str(nobody_s), MLFLOW_TRACKING_URI=store)
    assert done.returncode == 0, done.stderr
    done = as_nobody(nobody_s / "closed", *train_it, HOME=str(nobody_s))
    assert done.returncode == 2
    assert "Error: Cannot open anything in the store" in done.stderr
    assert "Permission denied" in done.stderr
    assert list((nobody_s / "closed").iterdir()) == []


def test_a_clock_that_is_set_back_changes_no_verdict(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time

    def watch(steps: Iterable[Step], total: int) -> Iterator[Step]:
        for step in steps:
            if step.step == 5:
                monkeypatch.setattr(time, "time", lambda: now() - 3600)
            yield step

    made = train(Recipe(epochs=4), tracking_uri=own, watch=watch)
    assert audit(made.run_id, tracking_uri=own).findings == ()
    info = MlflowClient(own).get_run(made.run_id).info
    assert info.status == "FINISHED"
    assert info.end_time >= info.start_time


def test_a_training_that_is_stopped_for_longer_than_its_sign_of_life_goes_on(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed, go = str(ROOT / "tests" / "slowed.py"), tmp_path / "go"
    with start(slowed, "0", "50", str(go), "train", "--epochs", "20", uri=own) as process:
        while not any(book.steps_done >= 48 for book in shelf.every()):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGSTOP)
        try:
            (case,) = doctor(stale=-1.0, tracking_uri=own)
            assert case.state == "running"
            monkeypatch.setenv("REPROVEN_STATE", str(tmp_path / "elsewhere"))  # as on another machine
            (case,) = doctor(stale=-1.0, tracking_uri=own)
            assert (case.state, case.marked) == ("lost", True)
        finally:
            process.send_signal(signal.SIGCONT)
        go.touch()
        process.communicate()
    assert process.returncode == 0
    run = MlflowClient(own).get_run(case.run_id)
    assert run.info.status == "FINISHED"
    assert audit(case.run_id, tracking_uri=own).findings == ()
