"""train: one recipe becomes one tracked run, with its model, its histograms and its exact losses."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from reproven import artifacts, environment, figures, trial
from reproven.digests import weight_digests, weights_sha256
from reproven.environment import CodeState
from reproven.errors import InvalidInput, StoreError
from reproven.histograms import Histogram, as_json, weight_histograms
from reproven.recipe import Recipe
from reproven.registration import registration_problems
from reproven.store import DESCRIPTION, PREFIX, Run, Sender, Store, without_credentials
from reproven.training import Step, unstable
from reproven.trial import Trial

#: Passes steps through, told how many there will be: a progress bar does its work in between.
Watch = Callable[[Iterable[Step], int], Iterable[Step]]


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


@dataclass
class _Log:
    """What training has left behind so far: it only grows."""

    steps: list[Step]
    histograms: dict[int, dict[str, Histogram]]  # by epochs completed
    metrics: dict[str, float]
    initial_weights: dict[str, str] = field(default_factory=dict)  # digests by name
    weights_by_epoch: list[str] = field(default_factory=list)  # digest of all, after each epoch
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
    every = histogram_every or math.ceil(recipe.epochs / 3)
    name = run_name or f"{recipe.variant}-{recipe.optimizer}-{made.recipe.sha256[:8]}"
    store = Store(tracking_uri)
    with (
        store.run(experiment=experiment, name=name) as run,
        tempfile.TemporaryDirectory(prefix="reproven-") as folder,
    ):
        _describe(run, made, code, Path(folder) / "before")
        log = _Log([], {}, {})
        try:
            with Sender(run) as sender:
                _train(made, log, sender, run, every=every, watch=watch)
        finally:
            with contextlib.suppress(StoreError):  # what went wrong first is what is raised
                _write_log(made, log, Path(folder) / "log")
                run.upload(Path(folder) / "log")
        model_uri = version = None
        if log.failure:
            run.failed = True
            run.describe(params={}, tags={f"{PREFIX}failure": log.failure})
        else:
            model_uri = _write_model(run, made, log, Path(folder) / "model")
            version = run.register(model_uri, register_model, alias) if register_model else None
        run.describe(params={}, tags={DESCRIPTION: _description(made, log, run.id)})
        return Trained(
            run_id=run.id,
            experiment_id=run.info.experiment_id,
            tracking_uri=without_credentials(store.uri),
            artifact_uri=run.info.artifact_uri,
            metrics=log.metrics,
            model_uri=model_uri,
            version=version,
            failure=log.failure,
        )


def _describe(run: Run, made: Trial, code: CodeState | None, folder: Path) -> None:
    """Everything that is known before the first step."""
    recipe, dataset = made.recipe, made.dataset
    tags = {
        "version": environment.package_version("reproven"),
        "recipe.sha256": recipe.sha256,
        "data.sha256": dataset.table.sha256,
        "split.sha256": dataset.split_sha256,
        "data.origin": dataset.table.origin,
    }
    run.describe(
        params={k: v for k, v in recipe.to_dict().items() if k != "data_sha256" and v not in ((), {})},
        tags={f"{PREFIX}{key}": value for key, value in tags.items()},
    )
    run.log_code_state(code)
    if code is not None and code.dirty:
        artifacts.write_bytes(folder / artifacts.PATCH, code.patch.encode(errors="surrogateescape"))
    run.log_dataset(dataset)
    artifacts.write_bytes(folder / artifacts.RECIPE, recipe.to_json().encode())
    artifacts.write_json(folder / artifacts.ENVIRONMENT, environment.describe())
    artifacts.write_standardisation(folder / artifacts.STANDARDISATION, dataset)
    artifacts.write_bytes(
        folder / "figures" / "target.png",
        figures.png(figures.target_histogram(dataset.table.y, dataset.table.target_label)),
    )
    run.upload(folder)


def _train(made: Trial, log: _Log, sender: Sender, run: Run, *, every: int, watch: Watch) -> None:
    """Pulls the steps, and sends and keeps what they bring."""

    def look_at_weights(epoch: int) -> None:
        log.histograms[epoch] = found = weight_histograms(made.state.network)
        sender.call(partial(_send_image, run, found, epoch))

    log.initial_weights = weight_digests(made.state.network)
    look_at_weights(0)
    for step in watch(made.steps(), made.total_steps):
        log.steps.append(step)
        sender.put({"train_loss": step.loss}, step=step.step)
        if not math.isfinite(step.loss):
            log.failure = _failure(f"The loss became {step.loss}", log.steps, made.recipe.lr)
            return
        log.metrics["train_loss"] = step.loss
        if step.ends_epoch:
            epoch = step.epoch + 1
            found = made.errors()
            if not all(math.isfinite(value) for value in found.values()):
                log.failure = _failure("The weights became infinite", log.steps, made.recipe.lr)
                return
            log.metrics |= found
            log.weights_by_epoch.append(weights_sha256(made.state.network))
            sender.put(found, step=epoch)
            if epoch % every == 0 or epoch == made.recipe.epochs:
                look_at_weights(epoch)


def _failure(what: str, steps: list[Step], lr: float) -> str:
    step, losses = steps[-1], [step.loss for step in steps]
    where = f"at step {step.step} (epoch {step.epoch}, batch {step.batch})"
    return f"{what} {where}. {unstable(losses)} Try --lr {lr / 10:g}."


def _send_image(run: Run, found: Mapping[str, Histogram], epoch: int) -> None:
    figure = figures.weights({"": found}, f"Weights after {epoch} epochs")
    run.log_image(figures.pixels(figure), key="weights", step=epoch)


def _write_log(made: Trial, log: _Log, folder: Path) -> None:
    """The exact losses and the histograms, of a failed run too."""
    artifacts.write_losses(folder / artifacts.LOSSES, log.steps)
    artifacts.write_json(folder / artifacts.HISTOGRAMS, as_json(log.histograms))
    artifacts.write_json(folder / artifacts.WEIGHTS, _digests(made, log))
    label = f"mean squared error, {made.dataset.table.target_label}²"
    curve = figures.loss_curve([step.loss for step in log.steps], label)
    artifacts.write_bytes(folder / "figures" / "train_loss.png", figures.png(curve))
    first, last = min(log.histograms), max(log.histograms)
    moments = {f"after {epoch} epochs": log.histograms[epoch] for epoch in (first, last)}
    weights = figures.weights(moments, f"Weights after {first} and after {last} epochs")
    artifacts.write_bytes(folder / "figures" / "weights.png", figures.png(weights))


def _digests(made: Trial, log: _Log) -> dict[str, Any]:
    """What says whether another run's weights are the same, from the first to the last."""
    return {
        "initial": log.initial_weights,
        "epochs": log.weights_by_epoch,
        "final": weight_digests(made.state.network),
    }


def _write_model(run: Run, made: Trial, log: _Log, folder: Path) -> str:
    """Both forms of the model as artifacts, and the MLflow model; returns its URI."""
    label = made.dataset.table.target_label
    predicted = figures.predicted_against_true(made.predictions(), label)
    artifacts.write_bytes(folder / "figures" / "predicted.png", figures.png(predicted))
    regressor = made.regressor()
    artifacts.write_model(folder, regressor)
    run.upload(folder)
    example = made.dataset.frame(made.dataset.train_rows[:3])[list(regressor.features)]
    return run.log_model(regressor, example, step=len(log.steps))


def _description(made: Trial, log: _Log, run_id: str) -> str:
    """The run page's text, in Markdown."""
    recipe, table = made.recipe, made.dataset.table
    rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in sorted(log.metrics.items()))
    layers = f"```\n{made.state.network}\n```"
    outcome = f"**Failed.** {log.failure}" if log.failure else f"| metric | last value |\n|---|---|\n{rows}"
    back = (
        ""
        if log.failure
        else f"```\nreproven predict {run_id} TABLE.csv\n```\n```python\nreproven.revive('{run_id}')\n```\n"
    )
    return (
        f"**{recipe.variant}** network, **{recipe.optimizer}**, {recipe.epochs} epochs of batches of "
        f"{recipe.batch_size}, seed {recipe.seed}, on **{table.name}**: {len(table.y)} rows, "
        f"{len(made.dataset.train_rows)} for training, predicting {table.target_label}.\n\n"
        f"{outcome}\n\n{layers}\n\n{back}\n"
        f"Recipe `{recipe.sha256}`\n\nTable `{table.sha256}`\n"
    )
