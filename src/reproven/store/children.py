"""Nested runs: a sweep's run in a store, the runs below it, and the user's own run around all."""

from __future__ import annotations

import mlflow

from reproven.store.address import run_of_mlflow
from reproven.store.open_run import asking
from reproven.store.store import Store, address
from reproven.store.summary import Summary
from reproven.store.tags import PARENT, PREFIX, RECIPE_TAG

SWEEP = f"{PREFIX}sweep.sha256"  # on a sweep's run: the digest of its study
CONTINUED = f"{PREFIX}sweep.continued"  # on a sweep's run: the one that has its runs now


def enclosing(store: Store) -> tuple[str | None, str]:
    """The run under which new ones are shown: the one that the user has made MLflow's active run here.

    It is only looked at. None is active for us where it is in another store, or where `mlflow run` made a run
    that is to be taken on.

    Returns:
        Its id, None for none; and the name of the experiment for runs that name none.
    """
    active = mlflow.active_run()
    if active is None or address(None) != store.uri or run_of_mlflow() is not None:
        return None, "Default"
    return active.info.run_id, store.snapshot(active.info.run_id).experiment


def sweeps(store: Store, experiment: str, sha256: str) -> list[Summary]:
    """The runs of earlier sweeps of a study, the newest first.

    Args:
        store: Where.
        experiment: The experiment's name; it need not be there.
        sha256: The study's digest.
    """
    if not store.has_experiment(experiment):
        return []
    return store.search(experiment, f"tags.`{SWEEP}` = '{sha256}'")


def children(store: Store, parent: str) -> list[Summary]:
    """The runs below a run that trained a recipe and are no replay, the oldest first."""
    query = f"tags.`{PARENT}` = '{parent}' AND tags.`{RECIPE_TAG}` LIKE '%'"
    found = store.search(store.snapshot(parent).experiment, query)
    return [run for run in reversed(found) if run.replay_of is None]


def settled(store: Store, parent: str) -> dict[str, Summary]:
    """Of each recipe below a run the first run that came to its end, by the recipe's digest."""
    kept: dict[str, Summary] = {}
    for run in children(store, parent):
        if run.recipe_sha256 is not None and run.seal is not None:
            kept.setdefault(run.recipe_sha256, run)
    return kept


def discard_doubles(store: Store, parent: str) -> int:
    """Discards the other runs of recipes that are `settled`, and returns how many there were.

    They are what attempts left that were cut off, on a machine that was lost, say. To be called only when
    nobody trains below the run any more.
    """
    kept = settled(store, parent)
    doubles = [
        run.run_id
        for run in children(store, parent)
        if run.recipe_sha256 in kept and kept[run.recipe_sha256].run_id != run.run_id
    ]
    for run_id in doubles:
        discard(store, run_id)
    return len(doubles)


def discard(store: Store, run_id: str) -> None:
    """Moves a run to MLflow's bin, from which `mlflow runs restore` brings it back."""
    with asking(f"discard the run {run_id}", store.uri):
        store.client.delete_run(run_id)


def take_over(store: Store, parent: str, others: list[Summary]) -> None:
    """Shows the runs below other runs of a sweep below this one."""
    for other in others:
        if other.run_id != parent:
            for run in children(store, other.run_id):
                store.tag(run.run_id, {PARENT: parent})
            store.tag(other.run_id, {CONTINUED: parent})


def curve(store: Store, run_id: str, metric: str) -> tuple[float, ...]:
    """The values of a metric of a run, by their steps."""
    with asking(f"read the metric {metric} of the run {run_id}", store.uri):
        found = store.client.get_metric_history(run_id, metric)
    return tuple(row.value for row in sorted(found, key=lambda row: row.step))
