"""Early stopping: training ends when no epoch was better for long enough, with the best one's weights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conftest import PATIENT
from reproven import Recipe
from reproven.training.history import History
from reproven.training.prepared import prepare
from reproven.values.metrics import Best
from reproven.values.record import Outcome


def trained(recipe: Recipe) -> tuple[History, Outcome]:
    history = History(prepare(recipe))
    for _ in history.train():
        pass
    history.keep_best()
    return history, history.outcome()


def test_the_weights_that_are_kept_are_those_of_a_run_that_ends_with_the_best_epoch() -> None:
    history, found = trained(PATIENT)
    assert (len(found.epoch_weights), found.best_epoch) == (10, 8)
    _, shorter = trained(replace(PATIENT, patience=None, epochs=8))
    assert (shorter.best_epoch, shorter.steps) == (None, found.steps[: len(shorter.steps)])
    assert found.final_weights == shorter.final_weights
    assert found.predictions == shorter.predictions
    assert found.errors == shorter.errors
    assert history.metrics["validation_rmse"] == shorter.errors["validation_rmse"]
    assert list(history.train()) == []  # it is over


def test_patience_that_never_runs_out_keeps_the_best_of_all_epochs() -> None:
    _, found = trained(replace(PATIENT, patience=100, epochs=9))
    assert (len(found.epoch_weights), found.best_epoch) == (9, 8)
    _, last = trained(replace(PATIENT, epochs=8))
    assert (last.best_epoch, last.final_weights) == (8, found.final_weights)


def test_a_training_that_fails_ends_as_it_is() -> None:
    recipe = Recipe(lr=0.1, momentum=0.5, seed=8, validation_size=0.2, patience=5)
    history, found = trained(recipe)
    assert history.failure is not None
    assert history.best is not None
    assert (history.best.epoch, len(found.epoch_weights), found.best_epoch) == (1, 2, None)
    assert found.errors["validation_rmse"] > history.best.errors["validation_rmse"]
    assert found.predictions == {}


@pytest.mark.parametrize(
    ("metric", "values", "epoch", "stops"),
    [
        ("validation_rmse", (3.0,), 1, False),
        ("validation_rmse", (3.0, 2.0, 2.0), 2, False),  # equal is not better
        ("validation_rmse", (3.0, 2.0, 2.0, 2.5), 2, True),
        ("validation_rmse", (3.0, 3.5, 2.0, 2.5), 3, False),
        ("validation_r2", (0.1, 0.2, 0.2, 0.1), 2, True),
        ("validation_r2", (0.1, 0.05, 0.2), 3, False),
    ],
)
def test_the_first_of_the_best_epochs_counts(
    metric: str, values: tuple[float, ...], epoch: int, stops: bool
) -> None:
    best = Best(metric=metric, patience=2)
    for value in values:
        best = best.after({metric: value})
    assert (best.epoch, best.epochs, best.has_waited) == (epoch, len(values), stops)
    assert best.errors == {metric: values[epoch - 1]}
