"""Sweeps of which a process is killed, told to stop, or interrupted end in what one ends in that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from programs import SOURCE, start
from reproven.logbooks import shelf
from sweeping import bits

LONG = ("--axis", "optimizer=sgd,adam", "--seeds", "0..2", "--epochs", "150", "--jobs", "2", "--json")


def started(uri: str, experiment: str) -> subprocess.Popen[str]:
    """A sweep of six runs in a process group of its own."""
    return start(SOURCE, "sweep", *LONG, "--experiment", experiment, uri=uri, start_new_session=True)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that train for a sweep."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(pid) for pid in listed if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text(errors="ignore")
    ]


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


def is_training() -> bool:
    """Whether some run is in the middle of its training."""
    return any(book.is_held and book.steps_done > 50 for book in shelf.every())


@pytest.fixture(scope="module")
def six(uri: str, client: MlflowClient) -> dict[str, dict[str, bytes]]:
    """The bits of the six runs, from a sweep that nobody killed."""
    process = started(uri, "unhurt")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return {
        run["recipe_sha256"]: bits(client.get_run(run["run_id"]).info.artifact_uri)
        for run in json.loads(out)["runs"]
    }


def check(found: dict[str, Any], six: dict[str, dict[str, bytes]], client: MlflowClient) -> None:
    """Each run once, with the bits of those that nobody killed."""
    assert [run["state"] for run in found["runs"]] == ["FINISHED"] * 6
    query = f"tags.`mlflow.parentRunId` = '{found['run_id']}'"
    runs = client.search_runs([found["experiment_id"]], query)
    assert len(runs) == 6
    assert {run.data.tags["reproven.recipe.sha256"]: bits(run.info.artifact_uri) for run in runs} == six
    assert shelf.every() == []


@pytest.mark.slow
def test_a_killed_worker_costs_no_run(
    uri: str, client: MlflowClient, six: dict[str, dict[str, bytes]]
) -> None:
    process = started(uri, "worker killed")
    until(is_training)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    check(json.loads(out), six, client)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_sweep_that_was_stopped_goes_on_by_the_same_command(
    number: int, code: int, uri: str, client: MlflowClient, six: dict[str, dict[str, bytes]]
) -> None:
    name = f"stopped by {number}"
    process = started(uri, name)
    until(is_training)
    workers = workers_of(process)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == code
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    (experiment,) = client.search_experiments(filter_string=f"name = '{name}'")
    (parent,) = client.search_runs([experiment.experiment_id], "params.`sweep.search` = 'grid'")
    assert parent.info.status == ("RUNNING" if number == signal.SIGKILL else "KILLED")
    process = started(uri, name)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    check(json.loads(out), six, client)
