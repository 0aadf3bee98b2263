"""Classes and several numbers as targets: trained, measured, served and proved as one number is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import torch
from mlflow import MlflowClient, pyfunc
from torch.nn import functional

from reproven import (
    Recipe,
    Trained,
    audit,
    compare,
    export,
    predict,
    promote,
    replay,
    resume,
    train,
)
from reproven.errors import DataError, InvalidInput
from reproven.tables import data
from reproven.tables.split import split
from reproven.training.evaluation import measured
from reproven.training.losses import loss_of
from reproven.values.metrics import more_is_better, usual_metric, worse_than_mean
from stopping import outcome, stopped

ROWS = 150
FLOWERS: dict[str, Any] = {
    "target": "kind",
    "preprocess": "auto",
    "optimizer": "adam",
    "lr": 0.02,
    "batch_size": 32,
}


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds of unequal number, which follow from a number with holes, a text and a date."""
    draw = np.random.default_rng(2)
    kind = draw.choice(["rose", "lily", "iris"], ROWS, p=[0.6, 0.3, 0.1])
    frame = pd.DataFrame(
        {
            "height": draw.normal(0, 1, ROWS) + 8 * (kind == "lily"),
            "colour": np.where(kind == "iris", "blue", draw.choice(["red", "white"], ROWS)).astype(object),
            "seen": pd.date_range("2025-03-01", periods=ROWS).strftime("%Y-%m-%d"),
            "kind": kind,
        }
    )
    frame.loc[::8, "height"] = np.nan
    frame.loc[::11, "colour"] = None
    path = tmp_path_factory.mktemp("flowers") / "flowers.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def picked(flowers: Path, uri: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPROVEN_STATE", str(tmp_path_factory.mktemp("state")))
        recipe = Recipe(data=str(flowers), epochs=30, **FLOWERS)
        return train(recipe, tracking_uri=uri, experiment="flowers")


def test_classes_are_learnt_and_told_in_the_store(picked: Trained, uri: str, client: MlflowClient) -> None:
    assert picked.metrics["test_accuracy"] > 0.8
    assert picked.warning is None
    run = client.get_run(picked.run_id)
    assert (run.data.params["task"], run.data.params["loss"]) == ("classification", "cross_entropy")
    counts = json.loads((Path(picked.artifact_uri) / "confusion.json").read_text())
    assert counts["classes"] == ["iris", "lily", "rose"]
    assert np.trace(counts["test"]) / np.sum(counts["test"]) == picked.metrics["test_accuracy"]
    model = client.get_logged_model(client.get_run(picked.run_id).outputs.model_outputs[0].model_id)
    assert model.model_type == "classifier"


def test_a_run_on_classes_is_true_and_travels(
    picked: Trained, flowers: Path, uri: str, own: str, tmp_path: Path
) -> None:
    assert replay(picked.run_id, tracking_uri=uri).verdict == "IDENTICAL"
    found = audit(picked.run_id, tracking_uri=uri)
    assert found.findings == ()
    assert "the logged model" in found.checked
    bundle = export(picked.run_id, tmp_path / "bundle", tracking_uri=uri)
    assert replay(str(bundle), data=str(flowers), tracking_uri=own).verdict == "IDENTICAL"


@pytest.mark.parametrize("name", ["schema", "fill", "code"])
def test_another_schema_or_encoding_is_named(name: str, picked: Trained, uri: str, tmp_path: Path) -> None:
    bundle = export(picked.run_id, tmp_path / "bundle", tracking_uri=uri)
    path = bundle / "standardisation.json"
    values: dict[str, Any] = json.loads(path.read_text())
    values[name] = values[name].replace("rose", "tulip") if name == "schema" else [0.5, *values[name][1:]]
    path.write_text(json.dumps(values))
    assert any(f"standardisation.json holds another {name}" in found for found in audit(str(bundle)).findings)


def test_every_form_predicts_classes_and_probabilities(picked: Trained, flowers: Path, uri: str) -> None:
    target, found = predict(picked.run_id, flowers, tracking_uri=uri)
    assert isinstance(found, pd.DataFrame)
    assert target == "kind"
    assert list(found.columns) == ["kind", "P(iris)", "P(lily)", "P(rose)"]
    shares = found.iloc[:, 1:]
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (shares.idxmax(axis=1) == "P(" + found["kind"] + ")").all()
    for form in ("state_dict", "registered"):
        assert np.array_equal(predict(picked.run_id, flowers, form, tracking_uri=uri)[1], found)
    assert picked.model_uri is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        served = pyfunc.load_model(picked.model_uri)
    assert served.predict(pd.read_csv(flowers)).equals(found)
    assert served.metadata.signature.outputs.input_names() == list(found.columns)
    strange = pd.read_csv(flowers).head(2).assign(colour="green", height=None, seen="2031-01-01")
    assert np.isfinite(served.predict(strange).iloc[:, 1:].to_numpy()).all()


def test_it_goes_on_in_the_middle_of_an_epoch(flowers: Path, uri: str) -> None:
    recipe = Recipe(data=str(flowers), epochs=10, **FLOWERS)
    whole = train(recipe, tracking_uri=uri, experiment="resumed flowers")
    book = stopped(recipe, 14, uri, checkpoint_every="5steps")
    again = resume(book.id, tracking_uri=uri)
    assert outcome(again) == outcome(whole)
    assert again.metrics == whole.metrics


def test_compare_and_promote_know_which_way_is_better(flowers: Path, own: str) -> None:
    recipes = [
        Recipe(data=str(flowers), epochs=epochs, seed=seed, **FLOWERS)
        for epochs in (1, 20)
        for seed in (1, 2)
    ]
    for recipe in recipes:
        train(recipe, tracking_uri=own, experiment="sorts", register_model="sorts", figures=False)
    found = compare(experiment="sorts", metric="test_accuracy", tracking_uri=own)
    assert found.comparison.groups[0].fields["epochs"] == "20"
    assert compare(experiment="sorts", tracking_uri=own).comparison.metric == "test_log_loss"
    promoted = promote(name="sorts", alias="champion", best_of="sorts", tracking_uri=own)
    assert promoted.version in ("3", "4")


@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_are_those_of_scikit_learn(classes: int) -> None:
    draw = np.random.default_rng(classes)
    observed = draw.integers(0, classes, 300)
    outputs = torch.from_numpy(draw.normal(size=(300, classes)) + 1.5 * np.eye(classes)[observed])
    probabilities = outputs.float().softmax(dim=1).round(decimals=2)  # so that some are equal
    probabilities /= probabilities.sum(dim=1, keepdim=True)
    p, told = probabilities.numpy(), probabilities.argmax(dim=1).numpy()
    areas = [sklearn.metrics.roc_auc_score(observed == place, p[:, place]) for place in range(classes)]
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(observed, told),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(observed, told),
        "macro_f1": sklearn.metrics.f1_score(observed, told, average="macro"),
        "log_loss": sklearn.metrics.log_loss(observed, p),
        "roc_auc": areas[1] if classes == 2 else np.mean(areas),
    }
    assert measured(observed, p) == pytest.approx(expected, rel=1e-6)


def test_a_class_that_does_not_occur_leaves_the_area_out() -> None:
    p = np.full((4, 3), 1 / 3, dtype=np.float32)
    assert "roc_auc" not in measured(np.array([0, 0, 1, 1]), p)


def test_each_class_gives_its_share_of_the_rows(flowers: Path) -> None:
    table = data.load(str(flowers), target="kind", preprocess="auto", impute="median")
    for size in (0.2, 0.37):
        dataset = split(table, test_size=size, seed=1, impute="median")
        counts = np.bincount(table.y.astype(int))
        held = np.bincount(table.y[dataset.test_rows].astype(int), minlength=3)
        assert len(dataset.test_rows) == np.ceil(size * ROWS)
        assert np.all(np.abs(held - counts * size) <= 1)
        assert sorted([*dataset.train_rows, *dataset.test_rows]) == list(range(ROWS))


def test_a_class_with_a_single_row_trains(tmp_path: Path) -> None:
    path = tmp_path / "rare.csv"
    pd.DataFrame({"x": range(10), "y": ["a"] * 9 + ["b"]}).to_csv(path, index=False)
    dataset = split(data.load(str(path), target="y"), test_size=0.5, seed=0)
    assert 9 in dataset.train_rows


@pytest.mark.parametrize(
    ("name", "arguments", "oracle"),
    [
        ("mse", {}, functional.mse_loss),
        ("l1", {}, functional.l1_loss),
        ("huber", {"delta": 0.5}, functional.huber_loss),
        ("smooth_l1", {"beta": 0.5}, functional.smooth_l1_loss),
    ],
)
def test_losses_of_numbers_are_torch_s(name: str, arguments: dict[str, float], oracle: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, y = torch.randn(50, 1, generator=generator), torch.randn(50, generator=generator)
    assert torch.equal(loss_of(name, arguments)(outputs, y), oracle(outputs[:, 0], y, **arguments))


def test_losses_of_classes_are_torch_s() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (50,), generator=generator)
    two, one = (torch.randn(50, width, generator=generator) for width in (2, 1))
    found = loss_of("cross_entropy", {"label_smoothing": 0.1})(two, y)
    assert torch.equal(found, functional.cross_entropy(two, y, label_smoothing=0.1))
    weight = torch.tensor(3.0)
    expected = functional.binary_cross_entropy_with_logits(one[:, 0], y.float(), pos_weight=weight)
    assert torch.equal(loss_of("bce_with_logits", {"pos_weight": 3.0})(one, y), expected)


def test_one_output_tells_two_classes(flowers: Path, uri: str) -> None:
    asked = {**FLOWERS, "target": "colour", "drop": ("kind",), "loss": "bce_with_logits"}
    frame = pd.read_csv(flowers)
    frame[frame.colour != "blue"].to_csv("two.csv", index=False)
    found = train(Recipe(data="two.csv", epochs=3, **asked), tracking_uri=uri, figures=False)
    forms = [predict(found.run_id, "two.csv", form, tracking_uri=uri)[1] for form in ("model", "state_dict")]
    assert np.array_equal(forms[0], forms[1])
    assert replay(found.run_id, tracking_uri=uri).verdict == "IDENTICAL"


def test_several_numbers_are_predicted_together(uri: str) -> None:
    draw = np.random.default_rng(3)
    frame = pd.DataFrame(draw.normal(size=(80, 3)), columns=list("abc"))
    frame["y"], frame["z"] = 1e5 + 2e4 * frame.a, 3 - frame.b
    frame.to_csv("two.csv", index=False)
    found = train(
        Recipe(data="two.csv", target="y,z", optimizer="adam", lr=0.02, epochs=60), tracking_uri=uri
    )
    assert found.metrics["test_r2"] > 0.8
    assert found.metrics["test_rmse.y"] > 100 > 1 > found.metrics["test_rmse.z"]
    of_each = (found.metrics["test_r2.y"], found.metrics["test_r2.z"])
    assert found.metrics["test_r2"] == sum(of_each) / 2
    target, predicted = predict(found.run_id, "two.csv", tracking_uri=uri)
    assert isinstance(predicted, pd.DataFrame)
    assert (target, list(predicted.columns)) == ("y,z", ["y", "z"])
    assert abs(predicted.y.mean() - frame.y.mean()) < 5e3
    assert np.array_equal(predict(found.run_id, "two.csv", "state_dict", tracking_uri=uri)[1], predicted)
    assert replay(found.run_id, tracking_uri=uri).verdict == "IDENTICAL"
    assert audit(found.run_id, tracking_uri=uri).findings == ()


def test_a_loss_that_does_not_fit_the_target_is_told_those_that_do(flowers: Path, uri: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"for which there are cross_entropy, bce_with_logits\. Try --loss"
    ):
        train(Recipe(data=str(flowers), loss="huber", **FLOWERS), tracking_uri=uri)
    with pytest.raises(InvalidInput, match="bce_with_logits, which tells two classes, but kind has 3"):
        train(Recipe(data=str(flowers), loss="bce_with_logits", **FLOWERS), tracking_uri=uri)
    with pytest.raises(DataError, match="the target seen holds dates"):
        train(Recipe(data=str(flowers), **{**FLOWERS, "target": "seen"}), tracking_uri=uri)


def test_patience_waits_for_a_better_log_loss(flowers: Path, uri: str) -> None:
    recipe = Recipe(data=str(flowers), epochs=60, validation_size=0.2, patience=2, **FLOWERS)
    found = train(recipe, tracking_uri=uri, figures=False)
    assert found.best_epoch is not None
    assert found.best_epoch < 60
    assert replay(found.run_id, tracking_uri=uri).verdict == "IDENTICAL"
    assert audit(found.run_id, tracking_uri=uri).findings == ()


def test_runs_are_compared_by_what_all_of_them_have() -> None:
    numbers, classes = {"test_rmse": 1.0, "validation_rmse": 1.0}, {"test_log_loss": 1.0}
    assert usual_metric([numbers, numbers]) == "validation_rmse"
    assert usual_metric([numbers, {"test_rmse": 2.0}]) == "test_rmse"
    assert usual_metric([classes]) == "test_log_loss"
    assert usual_metric([classes, numbers]) == usual_metric([]) == "test_rmse"


def test_guessing_is_said() -> None:
    told = worse_than_mean({"test_roc_auc": 0.48}, is_standardised=False)
    assert told is not None
    assert told.startswith("No better than guessing the classes of the test rows (test_roc_auc is 0.48)")
    assert worse_than_mean({"test_roc_auc": 0.9}, is_standardised=False) is None
    growing = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "r2")
    assert all(more_is_better(f"test_{name}") for name in growing)
    assert not any(more_is_better(f"test_{name}") for name in ("log_loss", "rmse", "mae"))
