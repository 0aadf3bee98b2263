"""A target of a large scale is trained on standardised, and everything that is said of it keeps its unit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from reproven import Recipe, Trained, audit, export, replay, resume, revive, train
from reproven.errors import RevivalError
from reproven.files.models import read_torch
from reproven.networks import MLPModule, Regressor, unset
from reproven.serving import ServedModel
from reproven.store.tags import DESCRIPTION
from reproven.values.metrics import worse_than_mean
from stopping import outcome, stopped

ROWS = 120
HOUSES = {"target": "price", "optimizer": "adam", "lr": 0.01}


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prices of some hundred thousand, which follow from the columns but for some noise."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"size": draw.normal(120, 40, ROWS), "age": draw.integers(0, 100, ROWS)})
    frame["price"] = 2200 * frame["size"] - 500 * frame["age"] + draw.normal(200_000, 10_000, ROWS)
    path = tmp_path_factory.mktemp("houses") / "houses.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def sold(houses: Path, uri: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPROVEN_STATE", str(tmp_path_factory.mktemp("state")))
        recipe = Recipe(data=str(houses), epochs=150, **HOUSES)  # type: ignore[arg-type]
        return train(recipe, tracking_uri=uri, experiment="houses")


def test_own_tables_are_standardised_and_the_notebook_s_are_not() -> None:
    assert Recipe(data="houses.csv").standardise_target is None  # until its target is known
    assert Recipe(data="houses.csv", task="regression").standardise_target is True
    assert Recipe(data="houses.csv", task="classification").standardise_target is False
    assert Recipe(data="houses.csv", standardise_target=False).standardise_target is False
    assert Recipe(data="boston").standardise_target is Recipe(data="diabetes").standardise_target is False
    assert Recipe(standardise_target=True).standardise_target is True


def test_a_recipe_from_before_there_was_such_a_field_means_the_target_as_it_is() -> None:
    held: dict[str, Any] = {"data": "houses.csv", "data_sha256": "0" * 64, "task": "regression"}
    plain = Recipe(**held, standardise_target=False)
    assert "standardise_target" not in plain.to_json()
    assert Recipe.from_json(plain.to_json()) == plain
    scaled = Recipe(**held)
    assert json.loads(scaled.to_json())["standardise_target"] is True
    assert Recipe.from_json(scaled.to_json()) == scaled
    assert scaled.sha256 != plain.sha256


def test_errors_and_predictions_are_in_the_target_s_unit_and_the_loss_is_not(
    sold: Trained, houses: Path, uri: str, client: MlflowClient
) -> None:
    assert sold.metrics["test_r2"] > 0.9
    assert 5_000 < sold.metrics["test_rmse"] < 40_000
    assert sold.metrics["train_loss"] < 1
    assert sold.warning is None
    frame = pd.read_csv(houses)
    raw = torch.from_numpy(frame[["size", "age"]].to_numpy(dtype=float))
    forms = ("model", "state_dict", "registered")
    found = [revive(sold.run_id, form, tracking_uri=uri)(raw) for form in forms]
    assert all(torch.equal(one, found[0]) for one in found)
    assert abs(found[0].mean().item() - frame["price"].mean()) < 10_000
    served = ServedModel(revive(sold.run_id, "registered", tracking_uri=uri))
    assert np.array_equal(served.predict(frame), found[0].detach().numpy())
    assert client.get_run(sold.run_id).data.params["standardise_target"] == "true"


def test_a_run_on_a_standardised_target_is_true_and_travels(
    sold: Trained, houses: Path, uri: str, tmp_path: Path
) -> None:
    assert replay(sold.run_id, tracking_uri=uri).verdict == "IDENTICAL"
    assert audit(sold.run_id, tracking_uri=uri).findings == ()
    bundle = export(sold.run_id, tmp_path / "bundle", tracking_uri=uri)
    assert replay(str(bundle), data=str(houses), tracking_uri=uri).verdict == "IDENTICAL"


def test_it_goes_on_in_the_middle_of_an_epoch(houses: Path, uri: str) -> None:
    recipe = Recipe(data=str(houses), epochs=150, batch_size=32, **HOUSES)  # type: ignore[arg-type]
    whole = train(recipe, tracking_uri=uri)
    book = stopped(recipe, 20, uri, checkpoint_every="7steps")
    again = resume(book.id, tracking_uri=uri)
    assert outcome(again) == outcome(whole)
    assert again.metrics == whole.metrics


@pytest.mark.parametrize("name", ["target_mean", "target_scale"])
def test_another_scale_of_the_target_is_named(name: str, sold: Trained, uri: str, tmp_path: Path) -> None:
    bundle = export(sold.run_id, tmp_path / "bundle", tracking_uri=uri)
    path = bundle / "standardisation.json"
    values: dict[str, Any] = json.loads(path.read_text())
    values[name] *= 1.001
    path.write_text(json.dumps(values))
    assert any(f"standardisation.json holds another {name}" in found for found in audit(str(bundle)).findings)


def test_a_saved_model_has_both_or_none(tmp_path: Path) -> None:
    mean, scale = (torch.ones(2, dtype=torch.float64) for _ in range(2))
    unit = [torch.tensor(3.0, dtype=torch.float64) for _ in range(2)]
    model = Regressor(unset(MLPModule, 2, (3,)), mean, scale, ("a", "b"), "y", *unit)
    torch.save(model, tmp_path / "model.pth")
    assert isinstance(again := read_torch(tmp_path / "model.pth"), Regressor)
    assert torch.equal(again(torch.ones(5, 2)), model.eval()(torch.ones(5, 2)))
    del model._buffers["target_scale"]
    torch.save(model, tmp_path / "half.pth")
    with pytest.raises(RevivalError, match="target_mean and target_scale are not one float64 number each"):
        read_torch(tmp_path / "half.pth")
    model.register_buffer("target_scale", torch.ones(2, dtype=torch.float64))
    torch.save(model, tmp_path / "two.pth")
    with pytest.raises(RevivalError, match="target_mean and target_scale are not one float64 number each"):
        read_torch(tmp_path / "two.pth")


def test_worse_than_the_mean_is_said_with_its_likely_cause(
    houses: Path, uri: str, client: MlflowClient
) -> None:
    recipe = Recipe(data=str(houses), target="price", standardise_target=False, lr=1e-9, epochs=1)
    found = train(recipe, tracking_uri=uri)
    assert found.warning is not None
    assert found.warning.startswith("Worse than predicting the mean of the test rows (test_r2 is -")
    assert found.warning.endswith("Try --standardise-target true, or more --epochs.")
    assert f"**{found.warning}**" in client.get_run(found.run_id).data.tags[DESCRIPTION]


@pytest.mark.parametrize(
    ("values", "is_standardised", "words"),
    [
        ({"test_r2": -2.0, "train_r2": 0.5}, False, "it learnt its training rows alone"),
        ({"test_r2": -2.0, "train_r2": -0.5}, True, "it has not learnt its training rows either"),
        ({"train_r2": -0.5}, False, "rows either, and its target is trained on as it is"),
    ],
)
def test_each_cause_has_its_words(values: dict[str, float], is_standardised: bool, words: str) -> None:
    assert re.search(words, worse_than_mean(values, is_standardised=is_standardised) or "")


def test_nothing_is_said_of_a_model_that_is_better_or_cannot_be_told() -> None:
    assert worse_than_mean({"test_r2": 0.0, "train_r2": 0.1}, is_standardised=False) is None
    assert worse_than_mean({"test_rmse": 3.0}, is_standardised=True) is None
