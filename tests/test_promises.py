"""What README promises, end to end: one test a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from conftest import ROOT, Cli
from forging import flip
from reproven import Recipe, Trained, audit, export, import_, predict, replay, seal, tensors, train
from reproven.tables import data
from servers import started


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps the artifacts."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def server(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that keeps the artifacts."""
    store = f"sqlite:///{tmp_path_factory.mktemp('server')}/served.db"
    serve = ("server", "--backend-store-uri", store, "--artifacts-destination", str(kept), "--workers", "1")
    with started(*serve, ping="health", uri="") as address:
        yield address


def test_everything_works_through_a_server_that_keeps_the_artifacts(
    server: str, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    uri = server
    run = train(Recipe(epochs=2), tracking_uri=uri, register_model="served", alias="champion").run_id
    assert replay(run, tracking_uri=uri).verdict == "IDENTICAL"
    found = audit(run, tracking_uri=uri)
    assert (found.findings, found.notes) == ((), ())
    assert "the registered model served, version 1" in found.checked
    folder = export(run, tmp_path / "bundle", tracking_uri=uri)
    again = import_(folder, again=True, tracking_uri=uri)
    assert seal(again, tracking_uri=uri) == seal(run, tracking_uri=uri) == found.seal
    (file,) = kept.rglob(f"{run}/artifacts/state_dict.pth")
    flip(file, 8 * 2500)
    verdict = replay(run, tracking_uri=uri)
    assert verdict.verdict == "TAMPERED"
    assert "state_dict.pth has changed" in verdict.reasons[0]
    assert list((tmp_path / "copies").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "copies", "state"}


def ask(address: str, rows: dict[str, object]) -> list[float]:
    body = json.dumps({"dataframe_split": rows}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        predictions: list[float] = json.load(answer)["predictions"]
        return predictions


def test_a_served_model_answers_with_the_same_numbers(trained: Trained, uri: str, cli: Cli) -> None:
    boston = data.load("boston")
    frame = pd.DataFrame(boston.X, columns=list(boston.features))
    frame.to_csv("boston.csv", index=False)
    answer = cli("predict", "models:/shared@champion", "boston.csv", "--json")
    expected = json.loads(answer.stdout)["predictions"]
    rows: dict[str, object] = {"columns": list(frame.columns), "data": boston.X.tolist()}
    serve = ("models", "serve", "-m", "models:/shared@champion", "--env-manager", "local")
    with started(*serve, ping="ping", uri=uri) as address:
        assert ask(f"{address}/invocations", rows) == expected
        assert ask(f"{address}/invocations", {**rows, "data": boston.X[7:8].tolist()}) == expected[7:8]


def test_a_server_holds_the_same_run_and_model(
    server: str, trained: Trained, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    registered = ("--register-model", "remote", "--alias", "champion")
    done = cli("train", "--epochs", "3", "--json", *registered, MLFLOW_TRACKING_URI=server)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["metrics"] == pytest.approx(trained.metrics)  # portable, and native arithmetic
    history = MlflowClient(tracking_uri=server).get_metric_history(found["run_id"], "train_loss")
    assert len(history) == 12
    (model,) = MlflowClient(tracking_uri=server).search_logged_models(
        [found["experiment_id"]], f"metrics.test_rmse < 30 AND source_run_id = '{found['run_id']}'"
    )
    assert {m.key: m.value for m in model.metrics} == {
        name: value for name, value in found["metrics"].items() if name != "train_loss"
    }
    boston = data.load("boston")
    pd.DataFrame(boston.X, columns=list(boston.features)).to_csv("boston.csv", index=False)
    _, expected = predict(found["run_id"], "boston.csv", tracking_uri=server)
    for source, form in ((found["run_id"], "state_dict"), ("models:/remote@champion", None)):
        _, predictions = predict(source, "boston.csv", form, tracking_uri=server)
        assert np.array_equal(predictions, expected)
    weights = tensors(found["run_id"], tracking_uri=server)
    whole = tensors("models:/remote@champion", tracking_uri=server)
    assert all(torch.equal(whole[f"network.{name}"], tensor) for name, tensor in weights.items())
    assert list((tmp_path / "copies").iterdir()) == []


def test_mlflow_s_own_loaders_give_the_same_numbers_and_leave_the_run_sound(
    trained: Trained, uri: str
) -> None:
    boston = data.load("boston")
    frame = pd.DataFrame(boston.X, columns=list(boston.features))
    frame.to_csv("boston.csv", index=False)
    _, expected = predict(trained.run_id, "boston.csv", tracking_uri=uri)
    code = (
        "import sys, mlflow, numpy, pandas, torch\n"
        "frame = pandas.read_csv('boston.csv').astype(float)\n"
        "served = mlflow.pyfunc.load_model('models:/shared@champion').predict(frame)\n"
        "module = mlflow.pytorch.load_model('models:/shared@champion')\n"
        "numpy.save('served.npy', served)\n"
        "numpy.save('module.npy', module(torch.tensor(frame.to_numpy())).detach().numpy())\n"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True)
    assert np.array_equal(np.load("served.npy"), expected)
    assert np.array_equal(np.load("module.npy"), expected)
    assert audit(trained.run_id, tracking_uri=uri).findings == ()  # Python kept no bytecode in it


def test_a_row_alone_is_predicted_as_in_its_table() -> None:
    """In native arithmetic it holds wherever MKL is told to give every CPU the same bits."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        "from itertools import product\n"
        "from reproven import Recipe\n"
        "from reproven.arithmetic.profiles import PROFILES\n"
        "from reproven.files.front import predicted\n"
        "from reproven.training.prepared import prepare\n"
        "for hidden, profile in product(((10, 10), (50,), (7, 3, 5)), PROFILES):\n"
        "    made = prepare(Recipe(hidden=hidden, epochs=2, profile=profile))\n"
        "    for _ in made.steps(): pass\n"
        "    X = made.dataset.table.X\n"
        "    whole = predicted(made.model(), X, profile)\n"
        "    for rows in (1, 2, 3, 16, 300):\n"
        "        for start in range(0, len(X), 37):\n"
        "            part = predicted(made.model(), X[start : start + rows], profile)\n"
        "            assert (part == whole[start : start + rows]).all(), (hidden, rows, start)\n"
    )
    arithmetic = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **arithmetic}, check=True)


def test_importing_the_package_imports_neither_torch_nor_mlflow() -> None:
    code = "import reproven, sys; assert not {'torch', 'mlflow'} & set(sys.modules); reproven.train"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_functions_and_classes() -> None:
    import reproven

    assert all(getattr(reproven, name) is not None for name in reproven.__all__)
    assert callable(reproven.train)
    assert callable(reproven.revive)
