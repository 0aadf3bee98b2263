"""train: what a run holds in a real store, and what happens when training fails."""

from __future__ import annotations

import csv
import json
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from conftest import QUICK
from forging import Stopped, stop_before
from reproven import Recipe, Study, Trained, replay, sweep, train, weights
from reproven.errors import DataError, InvalidInput, StoreError
from reproven.files.digests import tensor_digests, tensor_sha256
from reproven.logbooks import shelf
from reproven.networks import MLPModule, Regressor
from reproven.recipes.blueprint import Blueprint
from reproven.store.registry import Registry
from reproven.store.store import Store
from reproven.training.prepared import prepare
from reproven.values.steps import Step, all_weights_sha256
from stopping import interrupted


def test_every_batch_and_epoch_is_a_metric(trained: Trained, client: MlflowClient) -> None:
    expected = list(prepare(QUICK).steps())
    history = client.get_metric_history(trained.run_id, "train_loss")
    assert [(m.step, m.value) for m in history] == [(s.step, s.loss) for s in expected]
    for name in ("train_rmse", "train_mae", "train_r2", "test_rmse", "test_mae", "test_r2"):
        values = client.get_metric_history(trained.run_id, name)
        assert [m.step for m in values] == [1, 2, 3]
        assert values[-1].value == trained.metrics[name]


def test_params_tags_and_description_tell_the_run(trained: Trained, client: MlflowClient) -> None:
    run = client.get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    params = {"variant": "module", "hidden": "10,10", "lr": "0.001", "seed": "12", "split_seed": "12"}
    assert params.items() <= run.data.params.items()
    assert not {"alpha", "drop", "layer_lr", "data_sha256"} & set(run.data.params)
    recipe = Recipe.from_json((Path(trained.artifact_uri) / "recipe.json").read_text())
    assert run.data.tags["reproven.recipe.sha256"] == recipe.sha256
    assert run.data.tags["reproven.data.sha256"] == recipe.data_sha256
    assert len(run.data.tags["reproven.split.sha256"]) == 64
    assert "**module** network" in run.data.tags["mlflow.note.content"]
    assert "test_rmse" in run.data.tags["mlflow.note.content"]


def test_both_parts_of_the_table_are_dataset_inputs(trained: Trained, client: MlflowClient) -> None:
    inputs = client.get_run(trained.run_id).inputs.dataset_inputs
    rows = {i.tags[0].value: json.loads(i.dataset.profile)["num_rows"] for i in inputs}
    assert rows == {"training": 404, "testing": 102}
    assert {i.dataset.name for i in inputs} == {"boston"}
    assert len({i.dataset.digest for i in inputs}) == 2


def test_losses_are_kept_to_the_bit(files: Path) -> None:
    rows = list(csv.DictReader((files / "losses.csv").read_text().splitlines()))
    expected = list(prepare(QUICK).steps())
    assert [float(row["loss"]) for row in rows] == [s.loss for s in expected]
    assert [struct.unpack(">f", bytes.fromhex(row["float32"]))[0] for row in rows] == [
        s.loss for s in expected
    ]
    assert [(int(r["step"]), int(r["epoch"]), int(r["batch"])) for r in rows] == [
        (s.step, s.epoch, s.batch) for s in expected
    ]


def test_weights_are_named_from_the_first_to_the_last(files: Path) -> None:
    inputs = json.loads((files / "inputs.json").read_text())
    outcome = json.loads((files / "outcome.json").read_text())
    rows = list(csv.DictReader((files / "weights.csv").read_text().splitlines()))
    prepared = prepare(QUICK)
    network = prepared.state.network
    assert inputs["initial_weights"] == tensor_digests(network.state_dict())
    epochs = []
    for step, row in zip(prepared.steps(), rows, strict=True):
        digests = tensor_digests(network.state_dict())
        assert row == {"step": str(step.step), **{name: digest[:16] for name, digest in digests.items()}}
        if step.ends_epoch:
            epochs.append(all_weights_sha256(digests.values()))
    assert outcome["epoch_weights"] == epochs
    saved = torch.load(files / "state_dict.pth")
    assert outcome["final_weights"] == {name: tensor_sha256(tensor) for name, tensor in saved.items()}


def test_histograms_are_data(files: Path) -> None:
    found = json.loads((files / "histograms.json").read_text())
    assert list(found) == ["0", "1", "2", "3"]
    prepared = prepare(QUICK)
    for epoch in ("0", "3"):
        for name, parameter in prepared.state.network.named_parameters():
            values = parameter.detach().numpy().astype(np.float64)
            counts, edges = np.histogram(values, bins=30)
            assert found[epoch][name] == {"counts": counts.tolist(), "edges": edges.tolist()}
        for _ in prepared.steps():
            pass


def test_figures_and_images_can_be_looked_at(files: Path) -> None:
    names = {path.name for path in (files / "figures").iterdir()}
    assert names == {"target.png", "train_loss.png", "weights.png", "predicted.png"}
    for path in [*(files / "figures").iterdir(), *(files / "images").glob("*.png")]:
        with Image.open(path) as image:
            assert min(image.size) >= 300
            assert len(set(image.convert("L").resize((50, 50)).tobytes())) > 10  # not blank
    for path in (files / "images").glob("*.png"):  # which the UI shows on a click, the other in its charts
        with Image.open(path) as image, Image.open(path.with_name(f"{path.stem}+compressed.webp")) as shown:
            assert shown.size == image.size
            assert 400 <= shown.width <= 500  # the UI's charts are as wide, so that words keep their size
            assert shown.convert("RGB").tobytes() == image.convert("RGB").tobytes()
    steps = {path.name.split("+")[2] for path in (files / "images").glob("weights+step+*.png")}
    assert steps == {"0", "1", "2", "3"}


def test_histograms_come_as_often_as_asked(uri: str) -> None:
    run = train(Recipe(epochs=5), tracking_uri=uri, experiment="often", histogram_every=2)
    found = json.loads((Path(run.artifact_uri) / "histograms.json").read_text())
    assert list(found) == ["0", "2", "4", "5"]


def test_the_state_dict_is_the_notebook_s(files: Path) -> None:
    with torch.random.fork_rng():
        network = MLPModule(13, (10, 10))
    network.load_state_dict(torch.load(files / "state_dict.pth"))


def test_a_logged_model_has_signature_example_and_pins(
    trained: Trained, client: MlflowClient, uri: str, tmp_path: Path
) -> None:
    import mlflow.models

    version = client.get_model_version_by_alias("shared", "champion")
    assert str(version.version) == trained.version
    assert version.run_id == trained.run_id
    folder = Registry(Store(uri)).files(str(trained.model_uri), tmp_path)
    model = mlflow.models.Model.load(folder)
    assert model.signature.inputs.input_names()[:2] == ["CRIM", "ZN"]
    assert model.load_input_example(str(folder)).shape == (3, 13)
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert pins[0] == "torch==2.13.0"
    assert all("==" in pin and "+" not in pin for pin in pins)


def test_a_loss_that_becomes_infinite_fails_the_run_and_keeps_what_there_is(
    uri: str, client: MlflowClient
) -> None:
    outcome = train(Recipe(lr=10.0), tracking_uri=uri, experiment="failing")
    assert outcome.failure
    assert "The loss became inf at step 2 (epoch 0, batch 2)." in outcome.failure
    assert "learning rate is too large" in outcome.failure
    run = client.get_run(outcome.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["reproven.failure"] == outcome.failure
    assert [m.step for m in client.get_metric_history(outcome.run_id, "train_loss")] == [0, 1]
    losses = (Path(outcome.artifact_uri) / "losses.csv").read_text().splitlines()
    assert losses[-1] == "2,0,2,inf,7f800000"
    assert outcome.model_uri is None


def test_weights_that_become_infinite_in_the_last_step_fail_the_run(uri: str) -> None:
    recipe = Recipe(lr=1e30, epochs=1, batch_size=506, test_size=0)
    outcome = train(recipe, tracking_uri=uri, experiment="failing")
    assert outcome.failure
    assert "The weights became infinite at step 0" in outcome.failure


@pytest.mark.parametrize(("error", "status"), [(Stopped, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_is_stopped_says_so_and_keeps_its_losses(
    uri: str, client: MlflowClient, error: type[BaseException], status: str
) -> None:
    name = f"stopped by {error.__name__}"
    with interrupted(error):
        train(QUICK, tracking_uri=uri, experiment=name, watch=stop_before(5, error))
    (run,) = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    assert run.info.status == status
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 5
    book = shelf.find(run.info.run_id)
    assert book is not None
    assert book.steps_done == 5


@pytest.fixture
def active(uri: str, client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.ActiveRun]:
    """The block of a user's own run, in an experiment of its own; it is ended by the user alone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    known = client.get_experiment_by_name("around")
    place = known.experiment_id if known else client.create_experiment("around")
    with mlflow.start_run(experiment_id=place) as run:
        before = client.get_run(run.info.run_id).to_dictionary()
        yield run
        assert mlflow.active_run() is run
        assert client.get_run(run.info.run_id).to_dictionary() == before


def test_a_run_within_an_active_one_is_shown_under_it(
    active: mlflow.ActiveRun, uri: str, client: MlflowClient, bundle: Path
) -> None:
    above, place = active.info.run_id, active.info.experiment_id
    made = [
        train(QUICK).run_id,
        weights(Blueprint(network="conv"), tracking_uri=uri).run_id,
        sweep(Study(base={"epochs": "1", "lr": "1e9"}), jobs=1).run_id,
        replay(str(bundle)).replay,
    ]
    for run in map(client.get_run, map(str, made)):
        assert run.data.tags["mlflow.parentRunId"] == above
        assert run.info.experiment_id == place
    named = client.get_run(train(QUICK, experiment="elsewhere").run_id)
    assert named.data.tags["mlflow.parentRunId"] == above
    assert client.get_experiment(named.info.experiment_id).name == "elsewhere"


def test_a_run_that_has_another_parent_or_store_is_not_shown_under_the_active_one(
    active: mlflow.ActiveRun, trained: Trained, client: MlflowClient, tmp_path: Path
) -> None:
    given = client.get_run(train(QUICK, parent=trained.run_id).run_id)
    assert given.data.tags["mlflow.parentRunId"] == trained.run_id
    other = f"sqlite:///{tmp_path}/other.db"
    apart = MlflowClient(other).get_run(train(QUICK, tracking_uri=other).run_id)
    assert "mlflow.parentRunId" not in apart.data.tags
    assert train(QUICK, offline=True).offline


def test_a_long_run_can_be_watched(uri: str, client: MlflowClient) -> None:
    seen = threading.Event()

    def watch(steps: Iterable[Step], total: int) -> Iterable[Step]:
        for step in steps:
            yield step
            if step.step == 3:
                until = time.monotonic() + 90
                while time.monotonic() < until and not seen.is_set():
                    found = client.get_experiment_by_name("watched")
                    run = client.search_runs([found.experiment_id])[0]
                    if len(client.get_metric_history(run.info.run_id, "train_loss")) >= 3:
                        seen.set()
                    time.sleep(0.1)

    train(Recipe(epochs=10), tracking_uri=uri, experiment="watched", watch=watch)
    assert seen.is_set()


def test_nothing_is_created_for_bad_input(uri: str, client: MlflowClient) -> None:
    bad: list[tuple[type[Exception], Recipe, dict[str, str]]] = [
        (DataError, Recipe(data="gone.csv"), {}),
        (DataError, Recipe(data_sha256="0" * 64), {}),
        (InvalidInput, QUICK, {"alias": "champion"}),
        (InvalidInput, QUICK, {"register_model": "a/b"}),
        (InvalidInput, QUICK, {"register_model": "a", "alias": "v1"}),
    ]
    if not torch.cuda.is_available():
        bad.append((InvalidInput, Recipe(device="cuda"), {}))
    for error, recipe, names in bad:
        with pytest.raises(error):
            train(recipe, tracking_uri=uri, experiment="never", **names)  # type: ignore[arg-type]
    assert client.get_experiment_by_name("never") is None


def test_an_argument_of_a_wrong_type_is_told_the_type() -> None:
    name: Any = "boston"
    often: Any = {"histogram_every": 0, "checkpoint_every": 3}
    with pytest.raises(InvalidInput) as caught:
        train(name, **often)
    assert caught.value.problems == (
        "histogram_every is 0, but must be a whole number from 1 to 2147483647. Try histogram_every=10.",
        "checkpoint_every is 3, but must be a whole number of steps or epochs. In Python its type is str. "
        "Try checkpoint_every='100steps'.",
        "recipe is of type str, but must be a Recipe. Try Recipe().",
    )


def test_a_table_that_is_not_the_one_asked_for_is_refused() -> None:
    with pytest.raises(DataError, match=r"boston has the digest 4863dfa9.* but the recipe wants 0000"):
        prepare(Recipe(data_sha256="0" * 64))


def test_one_s_own_table_is_trained_on(uri: str, tmp_path: Path, client: MlflowClient) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    frame["price"] = frame.a * 2 + frame.b
    frame["id"] = [f"row {i}" for i in range(60)]
    frame.to_csv(tmp_path / "houses.csv", index=False)
    recipe = Recipe(data=str(tmp_path / "houses.csv"), target="price", drop=("id",), epochs=2)
    outcome = train(recipe, tracking_uri=uri, experiment="own")
    kept = Recipe.from_json((Path(outcome.artifact_uri) / "recipe.json").read_text())
    assert (kept.data, kept.target, kept.drop) == ("houses.csv", "price", ("id",))
    tags = client.get_run(outcome.run_id).data.tags
    assert tags["reproven.data.origin"] == str(tmp_path / "houses.csv")


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Cannot .* in the store sqlite:///.*/file/mlflow\.db"):
        train(QUICK, tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db")


@pytest.mark.parametrize("uri", ["file:{}/runs", "file://{}/runs", "{}/runs", "runs"])
def test_a_store_of_files_is_refused_also_where_mlflow_is_told_to_allow_it(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with pytest.raises(StoreError, match=r"is a folder of files, .* --tracking-uri sqlite:///mlflow\.db"):
        train(QUICK, tracking_uri=uri.format(tmp_path))
    assert not list(tmp_path.glob("runs*"))


def test_a_password_is_not_told() -> None:
    with pytest.raises(StoreError) as caught:
        Store("ftp://me:secret@127.0.0.1/x")
    assert "secret" not in str(caught.value)
    assert "ftp://127.0.0.1/x" in str(caught.value)


def test_the_regressor_takes_raw_columns(files: Path) -> None:
    from reproven import revive
    from reproven.tables import data
    from reproven.tables.split import split

    table = data.load("boston")
    regressor = revive(files / "model.pth")
    assert isinstance(regressor, Regressor)
    assert regressor.features == table.features
    dataset = split(table, test_size=0.2, seed=12)
    X, _ = dataset.tensors(dataset.test_rows)
    raw = torch.from_numpy(table.X[dataset.test_rows])
    assert torch.equal(regressor.standardise(raw), X)
