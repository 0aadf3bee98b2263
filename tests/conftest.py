"""What every test has: a store that is real and its own folder, and a global generator that must not move."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from bringing import bring, forgotten
from forging import sql
from programs import ROOT, SOURCE, run
from reproven import Recipe, Trained, export, train

__all__ = ["PATIENT", "QUICK", "ROOT", "Cli"]

#: The files that take longest, the longest first: begun last, one would keep a single processor busy.
LONGEST = (
    *("sweeps/test_sweep.py", "proof/test_replay.py", "test_docs.py", "cli/test_commands.py"),
    *("runs/test_resume.py", "test_project.py", "logbooks/test_delivery.py", "arithmetic/test_profiles.py"),
    *("sweeps/test_cluster.py", "test_promises.py", "comparisons/test_compare.py", "test_programs.py"),
    *("sweeps/test_sweep_killed.py", "own/test_own_networks.py", "own/test_arrays.py"),
    *("proof/test_promote.py", "test_examples.py", "logbooks/test_doctor.py"),
)
QUICK = Recipe(epochs=3)
#: It is best after 8 epochs of 3 steps each, and stops after 10.
PATIENT = Recipe(epochs=30, optimizer="adam", lr=0.3, seed=8, validation_size=0.2, patience=2)
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in an order drawn by a seed")


def pytest_configure() -> None:
    """Has processes that are started here end where they are interrupted, as a terminal's do.

    A shell has what it starts in the background ignore that, and with it all that this starts.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the files that take longest first, or all tests in any order."""
    if (seed := config.getoption("--shuffle")) is not None:
        random.Random(seed).shuffle(items)
        return
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(autouse=True)
def global_generator_stays() -> Iterator[None]:
    """Fails a test in which something draws from torch's global generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before), "torch's global generator was moved"


@pytest.fixture(autouse=True)
def path_stays() -> Iterator[None]:
    """Takes away what a test put on Python's path: MLflow puts there what came with a model that it loads."""
    before = [*sys.path]
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test in its own folder, with none of the user's MLflow settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPROVEN_STATE", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def brought(tmp_path: Path) -> Iterator[Path]:
    """The test's folder with networks and the like of a user's own, of which nothing is imported yet."""
    bring(tmp_path)
    with forgotten():
        yield tmp_path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with nothing in it; making one takes over a second, so others are copies of it."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


def store_in(folder: Path, empty_store: Path) -> str:
    """A new store whose artifacts lie beside it; its address."""
    uri = f"sqlite:///{shutil.copy(empty_store, folder / 'own.db')}"
    sql(uri, "UPDATE experiments SET artifact_location = ?", f"{folder}/mlruns/0")
    return uri


@pytest.fixture(scope="session")
def uri(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The store that the tests share."""
    return store_in(tmp_path_factory.mktemp("store"), empty_store)


@pytest.fixture
def own(empty_store: Path, tmp_path: Path) -> str:
    """A store of the test's own, which may be damaged."""
    return store_in(tmp_path, empty_store)


@pytest.fixture(scope="session")
def client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


@pytest.fixture(scope="session")
def artifact_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="session")
def trained(uri: str, client: MlflowClient, artifact_root: Path) -> Trained:
    """One run of three epochs, registered as `shared@champion`, for the tests that only look at it."""
    client.create_experiment("shared", artifact_location=str(artifact_root))
    return train(QUICK, tracking_uri=uri, experiment="shared", register_model="shared", alias="champion")


@pytest.fixture(scope="session")
def patient(uri: str) -> Trained:
    """One run whose patience ran out, for the tests that only look at it."""
    return train(PATIENT, tracking_uri=uri, experiment="patient", histogram_every=4)


@pytest.fixture(scope="session")
def files(trained: Trained) -> Path:
    """The artifacts of that run."""
    return Path(trained.artifact_uri)


@pytest.fixture(scope="session")
def bundle(trained: Trained, uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run as a bundle; whoever damages it takes a copy."""
    return export(trained.run_id, tmp_path_factory.mktemp("bundles") / "module", tracking_uri=uri)


@pytest.fixture
def cli(uri: str) -> Cli:
    """Runs `python src …` as a user does, in the test's folder, on the shared store."""

    def reproven(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run(SOURCE, *arguments, env={**os.environ, "MLFLOW_TRACKING_URI": uri, **environment})

    return reproven


@pytest.fixture
def fresh_cli(uri: str) -> Cli:
    """The same in a Python that has imported nothing: its start is what the test looks at."""

    def reproven(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "MLFLOW_TRACKING_URI": uri, **environment}
        return run(SOURCE, *arguments, env=variables, fresh=True)

    return reproven


@pytest.fixture
def emulator() -> None:
    if shutil.which("qemu-x86_64") is None:
        assert "CI" not in os.environ, "CI installs qemu-user"
        pytest.skip("needs qemu-x86_64 (Debian: qemu-user)")
