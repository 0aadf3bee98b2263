"""The processes of a sweep: whatever becomes of them, each job comes back once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

from reproven import Recipe, Study, Swept
from reproven.errors import ReprovenError
from reproven.sweeps import executors
from reproven.sweeps.executors import workers
from reproven.sweeps.jobs import Job, Tracking
from reproven.sweeps.results import FINISHED, REFUSED, Child


def job(number: int, name: str) -> Job:
    return Job(
        recipe=Recipe(seed=number, profile="native"),  # so that a process has nothing to prepare
        sha256=f"{number:064}",
        name=name,
        point={},
        study=Study(base={}),
        tracking=Tracking(tracking_uri="", experiment="", parent=""),
    )


def die_or_count(job: Job) -> Child:
    """Notes that it was called; `poison` kills its process, `shy` does the first time."""
    with Path(job.name).open("a") as file:
        file.write(".")
    calls = Path(job.name).stat().st_size
    if job.name.startswith("poison") or (job.name == "shy" and calls == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return job.child(FINISHED, metrics={"calls": calls})


@pytest.mark.parametrize("slots", [1, 2])
def test_a_job_that_kills_its_process_is_told_and_costs_no_other(
    slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "work", die_or_count)
    jobs = [job(n, f"sound {n}") for n in range(8)]
    jobs[2:2] = [job(8, "poison"), job(9, "shy"), job(10, "poison too")]
    ticks, before = Counter[str](), set(threading.enumerate())
    with workers("processes", slots) as found:
        ended = {one.name: one for one in found.results(jobs, lambda: ticks.update("."))}
    assert len(ended) == 11
    assert {name for name, what in ended.items() if what.state == REFUSED} == {"poison", "poison too"}
    assert "Its process was killed 3 times" in ended["poison"].why
    assert Path("poison").read_text() == "..."
    assert ticks["."] > 0
    assert set(threading.enumerate()) == before  # one that ends later may be caught by the end of the program


def test_a_job_is_done_once_where_no_process_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "work", die_or_count)
    jobs = [job(n, f"sound {n}") for n in range(20)]
    with workers("processes", 2) as found:
        ended = list(found.results(jobs, lambda: None))
    assert sorted(one.name for one in ended) == sorted(one.name for one in jobs)
    assert all(one.metrics["calls"] == 1 for one in ended)


def test_processes_import_this_package_where_a_loaded_model_brought_a_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "code" / "reproven"
    part.mkdir(parents=True)
    (part / "__init__.py").touch()
    monkeypatch.syspath_prepend(part.parent)  # as MLflow does when it loads a model
    monkeypatch.setattr(executors, "work", die_or_count)
    with workers("processes", 1) as found:
        assert [one.state for one in found.results([job(1, "sound")], lambda: None)] == [FINISHED]
    assert sys.path[0] == str(part.parent)


#: A process of the pool that waits for a job behind a lock, as where another died that held it; the signal
#: arrives in a thread beside the main one, as the system may have it.
IDLE = """
import multiprocessing, signal, threading, time
from reproven.sweeps import executors

context = multiprocessing.get_context("spawn")
executors._begin({}, context.Event())
lock = context.Lock()
lock.acquire()

def tell():
    time.sleep(0.5)  # so that the main thread waits by then; the test holds all the same if it does not
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

threading.Thread(target=tell).start()
lock.acquire()
"""


def test_a_process_that_waits_for_a_job_ends_when_it_is_told_to() -> None:
    done = subprocess.run([sys.executable, "-c", IDLE], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGTERM


def test_a_process_that_was_told_to_stop_while_it_trained_waits_for_no_other_job() -> None:
    program = (
        "from reproven.sweeps import executors\n"
        "from reproven.sweeps.results import STOPPED\n"
        "from types import SimpleNamespace\n"
        "print(executors._called(lambda: 3), flush=True)\n"
        "executors._called(lambda: SimpleNamespace(state=STOPPED))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, b"3\n")


#: What a user may write: without `if __name__ == "__main__"`.
PROGRAM = """
import operator
from pathlib import Path

from reproven import Recipe, Study
from reproven.sweeps import executors
from reproven.sweeps.jobs import Job, Tracking

with Path("ran").open("a") as file:
    file.write(".")
tracking = Tracking(tracking_uri="", experiment="", parent="")
recipe = Recipe(profile="native")
job = Job(recipe=recipe, sha256="0" * 64, name="done", point={}, study=Study(base={}), tracking=tracking)
executors.work = operator.attrgetter("name")
with executors.workers("processes", 2) as found:
    print(*found.results([job], lambda: None))
"""


@pytest.mark.parametrize("way", [["program.py"], ["-m", "program"], ["-c", PROGRAM], ["-"]])
def test_processes_do_not_run_the_program_again_that_starts_them(way: list[str]) -> None:
    Path("program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, *way], input=PROGRAM, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert Path("ran").read_text() == "."


def test_processes_that_cannot_start_are_no_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    resource_tracker.ensure_running()  # which is no process of the sweep
    monkeypatch.setattr("multiprocessing.spawn._python_exe", b"/bin/false")
    with (
        workers("processes", 2) as found,
        pytest.raises(ReprovenError, match="end before they train anything; why stands above"),
    ):
        list(found.results([job(n, f"never {n}") for n in range(3)], lambda: None))


def test_a_sweep_as_json_is_what_became_of_each_run_without_its_curve() -> None:
    child = job(1, "one").child(FINISHED, run_id="1", metrics={"test_rmse": 2.0}, curve=(3.0, 2.0))
    about: dict[str, Any] = {"run_id": "0", "experiment_id": "1", "tracking_uri": "", "artifact_uri": ""}
    about["study_sha256"] = ""
    swept = Swept(**about, metric="test_rmse", best="one", seconds=1.5, runs=(child,))
    found = swept.to_dict()
    assert list(found) == [*about, "metric", "best", "seconds", "runs", "remarks"]
    assert found["runs"] == [
        {
            "name": "one",
            "point": {},
            "seed": 1,
            "recipe_sha256": f"{1:064}",
            "state": "FINISHED",
            "run_id": "1",
            "metrics": {"test_rmse": 2.0},
            "why": "",
            "was_there": False,
        }
    ]
    assert json.loads(json.dumps(found)) == found
