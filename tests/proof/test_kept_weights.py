"""A run with patience: what it shows last is of the weights that it keeps, and a lie about these is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from forging import edit, reseal
from reproven import Trained, audit, export, replay


def test_the_last_values_in_the_store_are_those_of_the_weights_that_are_kept(
    patient: Trained, client: MlflowClient
) -> None:
    run = client.get_run(patient.run_id)
    outcome = json.loads((Path(patient.artifact_uri) / "outcome.json").read_text())
    assert patient.best_epoch == outcome["best_epoch"] == int(run.data.tags["reproven.best_epoch"]) == 8
    shown = {name: value for name, value in run.data.metrics.items() if name != "train_loss"}
    assert shown == outcome["errors"] == {n: v for n, v in patient.metrics.items() if n != "train_loss"}
    history = {m.step: m.value for m in client.get_metric_history(patient.run_id, "validation_rmse")}
    assert list(history) == list(range(1, 12))
    assert history[11] == history[8] == min(history.values())
    assert "keeps the weights after 8, the best by validation_rmse" in run.data.tags["mlflow.note.content"]
    histograms = json.loads((Path(patient.artifact_uri) / "histograms.json").read_text())
    assert sorted(map(int, histograms)) == [0, 4, 8, 10, 11]
    assert histograms["11"] == histograms["8"] != histograms["10"]


def test_the_model_has_the_errors_of_each_part_and_says_when_its_weights_stood(
    patient: Trained, client: MlflowClient
) -> None:
    run = client.get_run(patient.run_id)
    contexts = {one.tags[0].value: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert set(contexts) == {"training", "validation", "testing"}
    (output,) = run.outputs.model_outputs
    assert output.step == 24
    model = client.get_logged_model(output.model_id)
    about = {metric.key: metric.dataset_digest for metric in model.metrics}
    assert about["validation_rmse"] == contexts["validation"] != contexts["training"] == about["train_rmse"]
    assert len(about) == 9


def test_it_is_sound_and_replays(patient: Trained, uri: str) -> None:
    found = replay(patient.run_id, tracking_uri=uri)
    assert found.verdict == "IDENTICAL", found.report
    assert "weights after epochs (10)" in found.report[0]
    for run_id in (patient.run_id, str(found.replay)):
        assert audit(run_id, tracking_uri=uri).findings == ()


def _metric(step: int, value: str) -> Callable[[str], str]:
    """Has metrics.csv say another validation_rmse."""

    def change(text: str) -> str:
        rows = [line.split(",") for line in text.splitlines()]
        for row in rows:
            if row[:2] == ["validation_rmse", str(step)]:
                row[3] = value
        return "".join(",".join(row) + "\n" for row in rows)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_metric(10, "0.5"), "By metrics.csv the best weights stood after 10 epochs, and not after 8."),
        (_metric(2, "0.5"), "By metrics.csv training had to stop after 4 epochs, and not after 10."),
        (_metric(11, "0.5"), "The outcome's validation_rmse is "),
        (
            lambda text: text.replace("validation_rmse,3,", "validation_rmse,13,"),
            "metrics.csv lacks the validation_rmse after 3 epochs.",
        ),
    ],
)
def test_a_best_epoch_that_the_metrics_do_not_show_is_told(
    change: Callable[[str], str], words: str, patient: Trained, uri: str, tmp_path: Path
) -> None:
    bundle = export(patient.run_id, tmp_path / "bundle", tracking_uri=uri)
    path = bundle / "metrics.csv"
    path.write_text(change(path.read_text()))
    reseal(bundle)
    findings = audit(str(bundle)).findings
    assert any(finding.startswith(words) for finding in findings), findings


def test_another_best_epoch_is_told(patient: Trained, uri: str, tmp_path: Path) -> None:
    bundle = export(patient.run_id, tmp_path / "bundle", tracking_uri=uri)
    edit(bundle / "outcome.json", lambda value: value.update(best_epoch=10))
    reseal(bundle)
    assert audit(str(bundle)).findings == (
        "recipe.json says 30 epochs and a patience of 2, but losses.csv has 10 whole ones, and outcome.json "
        "says that weights after 10 epochs were kept. "
        "The last step of the best epoch in weights.csv is not what outcome.json says of the final weights. "
        "The best epoch in outcome.json is not what it says of the final weights.",
    )
    edit(bundle / "outcome.json", lambda value: value.update(best_epoch=8))
    edit(bundle / "run.json", lambda value: value["tags"].update({"reproven.best_epoch": "9"}))
    reseal(bundle)
    assert audit(str(bundle)).findings == ("The record says 8, but run.json says reproven.best_epoch 9.",)
