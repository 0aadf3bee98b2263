"""What every test has: a store that is real and its own folder, and a global generator that must not move."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from programs import ROOT, SOURCE, run
from reproven import Recipe, Trained, export, train

__all__ = ["QUICK", "ROOT", "Cli"]

QUICK = Recipe(epochs=3)
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def global_generator_stays() -> Iterator[None]:
    """Fails a test in which something draws from torch's global generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before), "torch's global generator was moved"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test in its own folder, with none of the user's MLflow settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPROVEN_STATE", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store; making one takes over a second, so the tests share it."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    MlflowClient(tracking_uri=uri).search_experiments()
    return uri


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
