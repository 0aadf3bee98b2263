"""Tracking: what every training leaves in the store, from before its first step to its manifest.

train and replay share it. It knows no verdict and logs no model.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from reproven import artifacts, environment, figures, manifest, page
from reproven.environment import CodeState
from reproven.errors import StoreError
from reproven.histograms import Histogram, as_json, weight_histograms
from reproven.record import Inputs, Step
from reproven.recording import Recording
from reproven.run import IMAGES, ORIGIN, PREFIX, RECIPE_TAG, SEAL, Run
from reproven.sender import Sender
from reproven.store import Store
from reproven.trial import Trial

#: Passes steps through, told how many there will be: a progress bar does its work in between.
Watch = Callable[[Iterable[Step], int], Iterable[Step]]


def describe(run: Run, made: Trial, inputs: Inputs, code: CodeState | None, folder: Path) -> None:
    """Writes and uploads everything that is known before the first step.

    Args:
        run: Where to.
        made: The trial.
        inputs: Its inputs.
        code: The running code, with its patch.
        folder: The run's files.
    """
    recipe, dataset = made.recipe, made.dataset
    run.describe(
        params={k: v for k, v in recipe.to_dict().items() if k != "data_sha256" and v not in ((), {})},
        tags={
            f"{PREFIX}version": environment.package_version("reproven"),
            RECIPE_TAG: recipe.sha256,
            f"{PREFIX}data.sha256": dataset.table.sha256,
            f"{PREFIX}split.sha256": dataset.split_sha256,
            ORIGIN: dataset.table.origin,
        },
    )
    run.log_code_state(code)
    run.log_dataset(dataset)
    if code is not None and code.dirty:
        artifacts.write_bytes(folder / artifacts.PATCH, code.patch_bytes)
    for name, text in inputs.texts().items():
        artifacts.write_text(folder / name, text)
    artifacts.write_standardisation(folder / artifacts.STANDARDISATION, dataset)
    run.upload(folder)


def follow(run: Run, recording: Recording, folder: Path, *, histogram_every: int, watch: Watch) -> None:
    """Trains, sends metrics and images meanwhile, and writes and uploads what came out, however it ended.

    Args:
        run: Where to.
        recording: What is trained.
        folder: The run's files.
        histogram_every: Epochs between two histograms; the first and the last weights always have one.
        watch: Passes the steps through.
    """
    made = recording.made
    histograms: dict[int, dict[str, Histogram]] = {}
    sender = Sender(run)

    def look_at_weights(epoch: int) -> None:
        histograms[epoch] = found = weight_histograms(made.state.network)
        sender.call(partial(_send_image, run, found, epoch))

    try:
        with sender:
            look_at_weights(0)
            for step in watch(recording.steps(), made.total_steps):
                sender.put({"train_loss": step.loss}, step=step.step)
                if step.ends_epoch and recording.failure is None:
                    epoch = step.epoch + 1
                    sender.put(recording.errors, step=epoch)
                    if epoch % histogram_every == 0 or epoch == made.recipe.epochs:
                        look_at_weights(epoch)
    finally:
        with contextlib.suppress(StoreError):  # what went wrong first is what is raised
            _write_outcome(folder, recording, histograms, sender.rows)
            run.upload(folder)


def _send_image(run: Run, found: Mapping[str, Histogram], epoch: int) -> None:
    figure = figures.weights({"": found}, f"Weights after {epoch} epochs")
    run.log_image(figures.pixels(figure), key="weights", step=epoch)


def _write_outcome(
    folder: Path, recording: Recording, histograms: dict[int, dict[str, Histogram]], rows: list[page.Row]
) -> None:
    """The record's texts, metrics, histograms and their figures."""
    outcome, label = recording.outcome(), recording.made.dataset.table.target_label
    for name, text in outcome.texts().items():
        artifacts.write_text(folder / name, text)
    artifacts.write_text(folder / page.METRICS, page.rows_text(rows))
    artifacts.write_json(folder / artifacts.HISTOGRAMS, as_json(histograms))
    curve = figures.loss_curve([step.loss for step in outcome.steps], f"mean squared error, {label}²")
    artifacts.write_bytes(folder / artifacts.FIGURES / "train_loss.png", figures.png(curve))
    first, last = min(histograms), max(histograms)
    moments = {f"after {epoch} epochs": histograms[epoch] for epoch in (first, last)}
    weights = figures.weights(moments, f"Weights after {first} and after {last} epochs")
    artifacts.write_bytes(folder / artifacts.FIGURES / "weights.png", figures.png(weights))


def close(store: Store, run: Run, folder: Path) -> str:
    """Writes the run's page and the manifest of all its files; returns the seal. Nothing may follow it.

    Args:
        store: The run's store.
        run: The run, which then ends at the time that its page says.
        folder: The run's files as they were uploaded; images, which the store alone has, come from there.
    """
    run.end_time = int(time.time() * 1000)
    status = "FAILED" if run.failed else "FINISHED"
    said = replace(store.page(run.id), status=status, end_time=run.end_time)
    artifacts.write_text(folder / page.PAGE, said.text())
    with tempfile.TemporaryDirectory(prefix="reproven-") as copy:
        images = manifest.take(store.files(run.id, Path(copy), IMAGES), f"{IMAGES}/")
    meant = manifest.take(folder)
    whole = manifest.Manifest(dict(sorted({**images.files, **meant.files}.items())))
    seal = manifest.write(folder, whole)
    run.upload(folder)
    run.describe(params={}, tags={SEAL: seal})
    return seal
