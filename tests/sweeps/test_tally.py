"""What the rounds of a sweep have brought, and what the next ones are told of it."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient

from reproven import Trained
from reproven.recipes.recipe import Recipe
from reproven.store.store import Store
from reproven.sweeps.jobs import Job, Tracking, jobs_of
from reproven.sweeps.parent import Parent
from reproven.sweeps.proposals import Curve, Score
from reproven.sweeps.results import FAILED, FINISHED, PRUNED
from reproven.sweeps.study import Point, Study
from reproven.sweeps.tally import Tally
from reproven.training.completed import Completed, completed
from sweeping import study


def complete(recipe: Recipe) -> Completed:
    return completed(recipe)


def jobs(asked: Study, *rates: str, tally: Tally) -> list[Job]:
    points: list[Point] = [{"lr": rate} for rate in rates]
    tracking = Tracking(tracking_uri="", experiment="", parent="")
    return jobs_of(asked, points, complete=complete, tracking=tracking, curves=tally.curves)


def test_runs_stand_in_the_order_in_which_they_came_up_each_once_and_later_ones_are_told_of_them() -> None:
    asked = study("lr=1e-3,1e-2,1e-1", seeds=(1, 2), pruner="median")
    tally = Tally(study=asked)
    first = jobs(asked, "1e-2", "1e-3", tally=tally)
    assert [(job.point["lr"], job.recipe.seed) for job in first] == [
        ("1e-2", 1),
        ("1e-2", 2),
        ("1e-3", 1),
        ("1e-3", 2),
    ]
    assert all(job.earlier == () and job.recipe.profile == "portable" for job in first)
    assert tally.new(first) == first
    ended = [
        job.child(FINISHED, metrics={"test_rmse": float(n)}, curve=(9.0, float(n)))
        for n, job in enumerate(first)
    ]
    by_digest = {child.recipe_sha256: child for child in reversed(ended)}  # they end in another order
    assert tally.add(first, by_digest) == [Score(value=0.5, last=0.5), Score(value=2.5, last=2.5)]
    assert list(tally.runs.values()) == ended

    second = jobs(asked, "1e-3", "1e-1", tally=tally)  # the first of them once more
    assert second[0].earlier == (Curve((9.0, 0.0)), Curve((9.0, 2.0)))
    assert tally.new(second) == second[2:]
    more = {
        second[2].sha256: second[2].child(PRUNED, metrics={"test_rmse": 7.0}, curve=(7.0,)),
        second[3].sha256: second[3].child(FAILED, why="The loss became inf"),
    }
    assert tally.add(second, more) == [
        Score(value=2.5, last=2.5),
        Score(value=None, pruned=True, last=7.0),
    ]
    assert list(tally.runs.values()) == [*ended, *more.values()]
    assert tally.curves[1][-1] == Curve((7.0,), pruned=True)
    assert tally.curves[2] == [Curve((9.0, 1.0)), Curve((9.0, 3.0)), Curve((9.0, 3.0))]
    assert [score.last for score in tally.scores] == [0.5, 2.5, 2.5, 7.0]


def test_the_curve_of_a_run_with_patience_ends_with_its_last_epoch(
    patient: Trained, uri: str, client: MlflowClient
) -> None:
    """Its store has the best epoch's errors once more, which no pruner saw."""
    base: Any = {"epochs": 30, "optimizer": "adam", "lr": 0.3, "validation_size": 0.2, "patience": 2}
    asked, store = Study(base=base, seeds=(8,), pruner="median"), Store(uri)
    tracking = Tracking(tracking_uri=uri, experiment="patient", parent="")
    (job,) = jobs_of(asked, [{}], complete=complete, tracking=tracking, curves={})
    run, found = store.open(patient.run_id), store.summary(patient.run_id)
    parent = Parent(study=asked, sha256=asked.sha256, store=store, experiment="patient", run=run, earlier=())
    child = parent.child_of(job, found)
    *curve, kept = [row.value for row in client.get_metric_history(patient.run_id, "validation_rmse")]
    assert (list(child.curve), child.metrics["validation_rmse"]) == (curve, kept)
    assert (len(curve), curve[7]) == (10, kept)
