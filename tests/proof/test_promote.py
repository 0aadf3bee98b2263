"""An alias moves to a run that is sound and still true, and to no other; and it moves back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from conftest import Cli
from forging import flip, sql
from reproven import Recipe, promote, roll_back, train
from reproven.errors import InvalidInput, StoreError

RECIPE = Recipe(epochs=2)


def test_an_alias_moves_to_a_run_that_is_true_and_back(own: str) -> None:
    first = train(RECIPE, tracking_uri=own, register_model="mlp", alias="champion")
    second = train(Recipe(epochs=3), tracking_uri=own)
    found = promote(second.run_id, name="mlp", alias="champion", tracking_uri=own)
    assert (found.moved, found.version, found.before, found.verdict) == (True, "2", "1", "IDENTICAL")
    client = MlflowClient(own)
    version = client.get_model_version_by_alias("mlp", "champion")
    assert (version.run_id, str(version.version)) == (second.run_id, "2")
    seal = client.get_run(second.run_id).data.tags["reproven.seal"]
    assert (version.tags["reproven.verdict"], version.tags["reproven.seal"]) == ("IDENTICAL", seal)
    assert float(version.tags["reproven.metric.test_rmse"]) == second.metrics["test_rmse"]
    again = promote(second.run_id, name="mlp", alias="champion", tracking_uri=own)
    assert (again.version, again.before) == ("2", "2")  # no second version
    back = roll_back(name="mlp", alias="champion", tracking_uri=own)
    assert (back.version, back.before) == ("1", "2")
    assert client.get_model_version_by_alias("mlp", "champion").run_id == first.run_id
    with pytest.raises(InvalidInput, match="points at version 1, and at none before it"):
        roll_back(name="mlp", alias="champion", tracking_uri=own)
    with pytest.raises(InvalidInput, match="has no alias 'challenger', so there is nothing to roll back"):
        roll_back(name="mlp", alias="challenger", tracking_uri=own)


def test_an_alias_stays_where_a_run_is_not_true_unless_it_is_forced(own: str, cli: Cli) -> None:
    train(RECIPE, tracking_uri=own, register_model="mlp", alias="champion")
    damaged = train(Recipe(epochs=3), tracking_uri=own)
    flip(Path(damaged.artifact_uri) / "state_dict.pth", 8 * 2500)
    arguments = ("promote", damaged.run_id, "--name", "mlp")
    done = cli(*arguments, MLFLOW_TRACKING_URI=own)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "mlp@champion still points at version 1"
    assert "state_dict.pth has changed" in lines[1]
    assert any(line.startswith("  Its replay ") and " says TAMPERED. " in line for line in lines)
    client = MlflowClient(own)
    assert len(client.search_model_versions("name = 'mlp'")) == 1
    done = cli(*arguments, "--force", "--json", MLFLOW_TRACKING_URI=own)
    assert done.returncode == 0
    assert json.loads(done.stdout)["moved"]
    version = client.get_model_version_by_alias("mlp", "champion")
    assert (version.run_id, version.tags["reproven.verdict"]) == (damaged.run_id, "TAMPERED")
    assert "state_dict.pth has changed" in version.tags["reproven.forced"]


def test_the_best_of_an_experiment_is_chosen_by_held_out_error(own: str) -> None:
    runs = [train(Recipe(epochs=n), tracking_uri=own, experiment="many") for n in (1, 3, 2)]
    by_error = {run.metrics["test_rmse"]: run.run_id for run in runs}
    found = promote(best_of="many", name="mlp", alias="champion", tracking_uri=own)
    assert found.run_id == by_error[min(by_error)]
    by_r2 = {run.metrics["test_r2"]: run.run_id for run in runs}
    found = promote(best_of="many", metric="test_r2", name="mlp", alias="r2", tracking_uri=own)
    assert found.run_id == by_r2[max(by_r2)]
    with pytest.raises(StoreError, match=r"has the metric 'test_rsme'\. Did you mean test_rmse"):
        promote(best_of="many", metric="test_rsme", name="mlp", alias="champion", tracking_uri=own)


@pytest.mark.slow
def test_the_best_is_chosen_by_validation_rows_where_all_have_them(own: str) -> None:
    recipes = [Recipe(epochs=1, lr=0.002, validation_size=0.2, seed=seed) for seed in (3, 6)]
    runs = [train(recipe, tracking_uri=own, experiment="many") for recipe in recipes]
    by_validation, by_test = (
        min(runs, key=lambda run: run.metrics[name]) for name in ("validation_rmse", "test_rmse")
    )
    assert by_validation.run_id != by_test.run_id
    found = promote(best_of="many", name="mlp", alias="champion", tracking_uri=own)
    assert found.run_id == by_validation.run_id
    assert found.estimate == (
        "The test rows took no part in the choice: its test_rmse of "
        f"{by_validation.metrics['test_rmse']:.6g} is an honest estimate."
    )
    found = promote(best_of="many", metric="test_rmse", name="mlp", alias="t", tracking_uri=own)
    assert (found.run_id, found.estimate) == (by_test.run_id, None)


def test_an_edited_metric_does_not_make_a_champion(own: str) -> None:
    run = train(RECIPE, tracking_uri=own)
    statement = "UPDATE latest_metrics SET value = 0.1 WHERE key = 'test_rmse' AND run_uuid = ?"
    sql(own, statement, run.run_id)
    sql(
        own,
        "UPDATE metrics SET value = 0.1 WHERE key = 'test_rmse' AND step = 2 AND run_uuid = ?",
        run.run_id,
    )
    found = promote(run.run_id, name="mlp", alias="champion", tracking_uri=own)
    assert (found.moved, found.version) == (False, None)
    assert "The metric test_rmse, step 2, is 0.1 in the store" in found.objections[0]


def test_what_cannot_be_promoted_is_told(own: str) -> None:
    failed = train(Recipe(epochs=1, lr=10.0), tracking_uri=own)
    with pytest.raises(StoreError, match="has logged no model"):
        promote(failed.run_id, name="mlp", alias="champion", tracking_uri=own)
    with pytest.raises(InvalidInput, match="run or best_of must be given, and not both"):
        promote(name="mlp", alias="champion", tracking_uri=own)
    with pytest.raises(StoreError, match="holds no finished training run"):
        promote(best_of="Default", name="mlp", alias="champion", tracking_uri=own)
