"""A sweep on a Dask cluster: a scheduler, two workers of which one is killed, and a server on PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from mlflow import MlflowClient
from mlflow.entities import ViewType

import servers
from bringing import bring
from conftest import ROOT, Cli
from programs import SOURCE, start
from reproven.logbooks import shelf

BITS = ("losses.csv", "weights.csv", "outcome.json", "recipe.json", "histograms.json")
SWEEP = ("sweep", "--axis", "optimizer=sgd,adam", "--seeds", "0..2", "--epochs", "60", "--json")


@contextmanager
def dask(*command: str, folder: Path | None = None, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `dask …` process with its children, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "ignore", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def await_workers(address: str, count: int) -> None:
    """Waits for them, since a sweep takes those that are there."""
    with Client(f"tcp://{address}", timeout=60) as cluster:
        cluster.wait_for_workers(count, timeout=60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an `mlflow server` on PostgreSQL."""
    place = tmp_path_factory.mktemp("server")
    with servers.postgres() as database:
        options = ("--backend-store-uri", database.uri, "--artifacts-destination", str(place))
        with servers.started("server", *options, "--workers", "1", ping="health", uri="") as address:
            yield address


def files(client: MlflowClient, run_id: str) -> dict[str, bytes]:
    return {name: Path(client.download_artifacts(run_id, name)).read_bytes() for name in BITS}


def runs_below(client: MlflowClient, found: dict[str, Any]) -> list[Any]:
    query = f"tags.`mlflow.parentRunId` = '{found['run_id']}'"
    return list(client.search_runs([found["experiment_id"]], query))


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_trains_every_run_once_to_the_same_bits(
    server: str, cli: Cli, uri: str, tmp_path: Path
) -> None:
    client = MlflowClient(server)
    port = servers.free_port()
    address = f"127.0.0.1:{port}"

    def worker(name: str, *options: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        quiet = ("--no-dashboard", "--nthreads", "1", "--no-nanny", *options)
        return dask("worker", f"tcp://{address}", *quiet, REPROVEN_STATE=str(tmp_path / name))

    with ExitStack() as stack:
        host = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        stack.enter_context(dask("scheduler", *host))
        lost = stack.enter_context(worker("lost", "--preload", str(ROOT / "tests" / "slowed.py")))
        stack.enter_context(worker("kept"))
        await_workers(address, 2)
        sweep = start(SOURCE, *SWEEP, "--executor", f"dask://{address}", uri=server)
        end = time.monotonic() + 90
        while sum(path.stat().st_size for path in tmp_path.glob("lost/*/journal")) < 1000:  # it trains
            assert time.monotonic() < end, "the worker gets no run"
            assert sweep.poll() is None, sweep.communicate()
            time.sleep(0.02)
        os.killpg(lost.pid, signal.SIGKILL)
        out, err = sweep.communicate(timeout=180)
    assert sweep.returncode == 0, err
    found = json.loads(out)
    assert [run["state"] for run in found["runs"]] == ["FINISHED"] * 6
    below = runs_below(client, found)
    assert len(below) == 6
    assert {run.info.status for run in below} == {"FINISHED"}
    (gone,) = client.search_runs([found["experiment_id"]], run_view_type=ViewType.DELETED_ONLY)
    assert gone.data.tags["mlflow.parentRunId"] == found["run_id"]  # what the lost worker had begun
    digests = {run.data.tags["reproven.recipe.sha256"]: run.info.run_id for run in below}
    assert len(digests) == 6

    here = cli(*SWEEP, "--experiment", "beside a cluster", "--jobs", "1")
    assert here.returncode == 0, here.stderr
    local = MlflowClient(uri)
    for run in json.loads(here.stdout)["runs"]:
        assert files(local, run["run_id"]) == files(client, digests[run["recipe_sha256"]])


@pytest.mark.slow
def test_a_cluster_trains_ones_own_network_where_its_code_is_that_of_the_sweep(
    server: str, cli: Cli, uri: str, brought: Path
) -> None:
    asked = ("sweep", "--network", "nets:Net", "--seeds", "0..1", "--epochs", "2", "--json")
    port = str(servers.free_port())
    address, elsewhere = f"127.0.0.1:{port}", brought / "elsewhere"
    elsewhere.mkdir()
    bring(elsewhere)
    with (
        dask("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"),
        dask(
            *("worker", f"tcp://{address}", "--no-dashboard", "--nthreads", "1", "--no-nanny"),
            folder=elsewhere,
        ),
        Client(f"tcp://{address}", timeout=60) as cluster,
    ):
        cluster.wait_for_workers(1, timeout=60)
        on = ("--executor", f"dask://{address}", "--experiment")
        there = cli(*asked, *on, "own", MLFLOW_TRACKING_URI=server)
        assert there.returncode == 0, there.stderr
        with (elsewhere / "blocks.py").open("a") as file:
            file.write("# other code\n")
        others = cli(*asked, *on, "own, otherwise", MLFLOW_TRACKING_URI=server)
    assert others.returncode == 1, others.stderr
    for run in json.loads(others.stdout)["runs"]:
        assert (run["state"], run["run_id"]) == ("REFUSED", None)
        assert run["why"].startswith("blocks.py: not as it was when the sweep began, or another than where")
    here = cli(*asked, "--experiment", "own", "--jobs", "1")
    local, remote = MlflowClient(uri), MlflowClient(server)
    digests = {run["recipe_sha256"]: run["run_id"] for run in json.loads(there.stdout)["runs"]}
    assert len(digests) == 2
    for run in json.loads(here.stdout)["runs"]:
        assert files(local, run["run_id"]) == files(remote, digests[run["recipe_sha256"]])


@pytest.mark.slow
def test_a_sweep_that_is_told_to_stop_leaves_no_run_in_training(server: str, tmp_path: Path) -> None:
    port = str(servers.free_port())
    address = f"127.0.0.1:{port}"
    with (
        dask("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"),
        dask("worker", f"tcp://{address}", "--no-dashboard", "--nthreads", "1", "--no-nanny"),
    ):
        await_workers(address, 1)
        options = ("--seeds", "0..2", "--epochs", "100000", "--checkpoint-every", "1epoch")
        sweep = start(SOURCE, "sweep", *options, "--executor", f"dask://{address}", uri=server)
        end = time.monotonic() + 90
        while not any(book.steps_done > 50 for book in shelf.every()):
            assert time.monotonic() < end, "the worker gets no run"
            assert sweep.poll() is None, sweep.communicate()
            time.sleep(0.02)
        sweep.send_signal(signal.SIGINT)
        sweep.communicate(timeout=120)
        assert sweep.returncode == 130
        (book,) = shelf.every()  # of the others, none was begun
        assert not book.is_held
        assert book.newest_checkpoint == book.steps_done < 400_000
        assert MlflowClient(server).get_run(book.run_id).info.status == "KILLED"


@pytest.mark.slow
def test_a_cluster_that_is_not_there_or_empty_is_told(server: str, cli: Cli) -> None:
    nobody = f"dask://127.0.0.1:{servers.free_port()}"
    done = cli("sweep", "--executor", nobody, MLFLOW_TRACKING_URI=server)
    assert done.returncode == 2
    assert f"executor is {nobody}, but no Dask scheduler answers there" in done.stderr
    port = str(servers.free_port())
    with dask("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"):
        done = cli("sweep", "--executor", f"dask://127.0.0.1:{port}", MLFLOW_TRACKING_URI=server)
    assert done.returncode == 2
    assert "has no worker" in done.stderr
