"""draw: the figures that a run of a sweep was spared are drawn from its record, and put beside its files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from reproven.errors import InvalidInput, RecordError, RevivalError
from reproven.files import disk
from reproven.files.names import HISTOGRAMS, MODEL
from reproven.files.texts import json_object
from reproven.logbooks import pictures
from reproven.proof.audit import place_of_table
from reproven.proof.evidence import Evidence, gather
from reproven.runs.revive import revive
from reproven.store import children
from reproven.store.store import Store
from reproven.store.tags import HAS_IMAGES, RECIPE_TAG
from reproven.tables import data
from reproven.tables.split import Dataset, dataset_of
from reproven.values.metrics import loss_label
from reproven.values.run_ids import EXAMPLE, listed, run_id_in

if TYPE_CHECKING:
    from reproven.training.evaluation import Predictions

DRAWN, THERE, REFUSED = "drawn", "there", "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """What became of one run's figures.

    Attributes:
        run_id: The run.
        state: `drawn`; `there` already; or `refused`.
        words: Why they were refused.
    """

    run_id: str
    state: str
    words: str = ""


def draw(
    runs: Sequence[str],
    *,
    experiment: str | None = None,
    table: str | None = None,
    tracking_uri: str | None = None,
) -> Iterator[Drawn]:
    """Draws the figures of runs that have none.

    Args:
        runs: Run ids, or `runs:/…`; a sweep's run stands for the runs below it.
        experiment: Also all training runs of this experiment.
        table: Where the runs' table is, if not where it was.
        tracking_uri: Their store; None takes MLflow's own choice.

    Yields:
        Each run, once its figures are beside its files.

    Raises:
        InvalidInput: No run is given, or it is no run id.
        StoreError: There is no such run or experiment, or the store refuses.
    """
    named = listed(runs, "runs", EXAMPLE)
    store = Store(tracking_uri)
    wanted = [one for run in named for one in _meant(store, run_id_in(run))]
    wanted += [run.run_id for run in store.training_runs(experiment)] if experiment else []
    if not wanted:
        raise InvalidInput(["There is no run to draw. Give a run id, or --experiment NAME."])
    for run_id in dict.fromkeys(wanted):
        try:
            with gather(run_id, cache(partial(Store, tracking_uri))) as found:
                yield _drawn(found, store, table)
        except (RecordError, RevivalError) as error:
            yield Drawn(run_id=run_id, state=REFUSED, words=str(error))


def _meant(store: Store, run_id: str) -> list[str]:
    if RECIPE_TAG in store.tags(run_id):
        return [run_id]
    return [run.run_id for run in children.children(store, run_id)]


def _drawn(found: Evidence, store: Store, table: str | None) -> Drawn:
    if (found.folder / pictures.LOSSES).is_file():
        return Drawn(run_id=found.source, state=THERE)
    record = found.record
    recipe = record.inputs.recipe
    place = place_of_table(record, found, table)
    if place is None:
        raise RecordError(f"The table {recipe.data} is not where it was. Say where it is with --data.")
    known = data.load(place, sha256=recipe.data_sha256, **recipe.of_table)
    dataset = dataset_of(recipe, known)
    kept = json_object(HISTOGRAMS, found.text(HISTOGRAMS))
    names = list(record.outcome.final_weights)  # in the network's order
    histograms = {int(at): {name: h[name] for name in names} for at, h in kept.items()}
    moments = {row.step: row.timestamp for row in found.rows if row.key == "train_rmse"}
    with tempfile.TemporaryDirectory(prefix="reproven-") as temporary:
        folder = Path(temporary)
        disk.write_bytes(folder / pictures.TARGET, pictures.target(known))
        losses = [step.loss for step in record.outcome.steps]
        label = loss_label(
            str(recipe.loss), known.target_label, is_standardised=bool(recipe.standardise_target)
        )
        epochs_at = record.outcome.epochs_at
        pictures.outcome(folder, losses, histograms, label, epochs_at=epochs_at)
        if MODEL in found.manifest.files:
            pictures.predictions(folder, _predictions(found, dataset, recipe.profile), known)
        for at, histogram in histograms.items():
            moment = moments.get(at, found.snapshot.start_time)
            pictures.weights(folder, at, epochs_at(at), moment, histogram, owner=found.source)
        run = store.open(found.source)
        run.upload(folder)
        run.describe(params={}, tags=HAS_IMAGES)
    return Drawn(run_id=found.source, state=DRAWN)


def _predictions(found: Evidence, dataset: Dataset, profile: str | None) -> Predictions:
    """Observed and predicted values by part, from the run's model."""
    from reproven.files.front import predicted

    model, X = revive(found.folder / MODEL), dataset.table.X
    return {
        part: (dataset.observed[part], predicted(model, X[rows], profile))
        for part, rows in dataset.parts.items()
    }
