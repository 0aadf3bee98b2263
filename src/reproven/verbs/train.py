"""train: one recipe becomes one tracked run, with its model, its histograms and its exact losses."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reproven import artifacts, environment, figures, pickles, tracking, trial
from reproven.errors import InvalidInput
from reproven.recipe import Recipe
from reproven.recording import Recording, inputs_of
from reproven.registration import registration_problems
from reproven.run import DESCRIPTION, PREFIX, Run, without_credentials
from reproven.store import Store
from reproven.tracking import Watch
from reproven.trial import Trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What became of a run.

    Attributes:
        run_id: The run's id.
        experiment_id: The experiment that it is in.
        tracking_uri: The store that it is in.
        artifact_uri: Where its files are.
        metrics: The last value of each metric; train_loss is the last batch's.
        model_uri: The logged model; None where training failed.
        version: The registered version; None where none was asked for.
        failure: Why it failed; None where it did not.
    """

    run_id: str
    experiment_id: str
    tracking_uri: str
    artifact_uri: str
    metrics: dict[str, float]
    model_uri: str | None = None
    version: str | None = None
    failure: str | None = None


def train(
    recipe: Recipe,
    *,
    tracking_uri: str | None = None,
    experiment: str = "Default",
    run_name: str | None = None,
    histogram_every: int | None = None,
    require_clean: bool = False,
    register_model: str | None = None,
    alias: str | None = None,
    watch: Watch = lambda steps, total: steps,
) -> Trained:
    """Trains a recipe and tracks it whole.

    Args:
        recipe: What to train; its `data` may be a path.
        tracking_uri: Where to track; None takes MLflow's own choice.
        experiment: The experiment's name; an adopted run (`mlflow run`) stays in its own.
        run_name: None names the run by variant, optimizer and the recipe's digest.
        histogram_every: Epochs between two histograms of the weights; None takes a third of the epochs.
        require_clean: Refuses to run code that differs from its commit.
        register_model: Registers the model under this name.
        alias: Points this alias at the registered version.
        watch: Passes the steps through.

    Returns:
        The run, FINISHED or, after a loss that is not finite, FAILED with `failure` set.

    Raises:
        InvalidInput: The names for the registry or the device cannot be used, or the code is not clean.
        DataError: The table cannot be trained on. Like the above, before a run is created.
        StoreError: The store refuses.
    """
    if problems := registration_problems(register_model, alias):
        raise InvalidInput(problems)
    code = environment.code_state()
    if require_clean:
        environment.require_clean(code)
    made = trial.prepare(recipe)
    inputs = inputs_of(made, environment.code(code), environment.describe())
    name = run_name or f"{recipe.variant}-{recipe.optimizer}-{made.recipe.sha256[:8]}"
    store = Store(tracking_uri)
    with (
        store.run(experiment=experiment, name=name) as run,
        tempfile.TemporaryDirectory(prefix="reproven-") as temporary,
    ):
        folder = Path(temporary)
        target = figures.target_histogram(made.dataset.table.y, made.dataset.table.target_label)
        artifacts.write_bytes(folder / artifacts.FIGURES / "target.png", figures.png(target))
        tracking.describe(run, made, inputs, code, folder)
        recording = Recording(made)
        every = histogram_every or math.ceil(recipe.epochs / 3)
        tracking.follow(run, recording, folder, histogram_every=every, watch=watch)
        model_uri = version = None
        if recording.failure:
            run.failed = True
            run.describe(params={}, tags={f"{PREFIX}failure": recording.failure})
        else:
            model_uri = _write_model(run, made, folder)
            version = run.register(model_uri, register_model, alias) if register_model else None
        run.describe(params={}, tags={DESCRIPTION: _description(recording, run.id)})
        tracking.close(store, run, folder)
        return Trained(
            run_id=run.id,
            experiment_id=run.info.experiment_id,
            tracking_uri=without_credentials(store.uri),
            artifact_uri=run.info.artifact_uri,
            metrics=recording.metrics,
            model_uri=model_uri,
            version=version,
            failure=recording.failure,
        )


def _write_model(run: Run, made: Trial, folder: Path) -> str:
    """Both forms of the model as artifacts, and the MLflow model; returns its URI."""
    label = made.dataset.table.target_label
    predicted = figures.predicted_against_true(made.predictions(), label)
    artifacts.write_bytes(folder / artifacts.FIGURES / "predicted.png", figures.png(predicted))
    regressor = made.regressor()
    pickles.write_model(folder, regressor)
    run.upload(folder)
    example = made.dataset.frame(made.dataset.train_rows[:3])[list(regressor.features)]
    return run.log_model(regressor, example, step=made.total_steps)


def _description(recording: Recording, run_id: str) -> str:
    """The run page's text, in Markdown."""
    made, failure = recording.made, recording.failure
    recipe, table = made.recipe, made.dataset.table
    rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in sorted(recording.metrics.items()))
    layers = f"```\n{made.state.network}\n```"
    outcome = f"**Failed.** {failure}" if failure else f"| metric | last value |\n|---|---|\n{rows}"
    back = (
        ""
        if failure
        else f"```\nreproven predict {run_id} TABLE.csv\n```\n```python\nreproven.revive('{run_id}')\n```\n"
    )
    return (
        f"**{recipe.variant}** network, **{recipe.optimizer}**, {recipe.epochs} epochs of batches of "
        f"{recipe.batch_size}, seed {recipe.seed}, on **{table.name}**: {len(table.y)} rows, "
        f"{len(made.dataset.train_rows)} for training, predicting {table.target_label}.\n\n"
        f"{outcome}\n\n{layers}\n\n{back}\n"
        f"Recipe `{recipe.sha256}`\n\nTable `{table.sha256}`\n"
    )
