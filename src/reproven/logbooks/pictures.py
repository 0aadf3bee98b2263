"""Pictures: the figures of one run as files in its folder, drawn while it is trained or any time later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reproven.files.disk import write_bytes
from reproven.files.names import FIGURES
from reproven.store.images import write_image
from reproven.training import figures
from reproven.training.data import Table
from reproven.training.histograms import from_json

LOSSES, WEIGHTS, TARGET, PREDICTED = FILES = tuple(
    f"{FIGURES}/{name}.png" for name in ("train_loss", "weights", "target", "predicted")
)

_WIDTH_IN_UI = 5.0  # inches: 500 pixels, and the UI's charts are little narrower, so that words stay legible
Observed = Mapping[str, tuple[np.ndarray, np.ndarray]]


def target(table: Table) -> bytes:
    """How the target is distributed, as the content of the file `TARGET`."""
    return figures.png(figures.target_histogram(table.y, table.target_label))


def outcome(
    folder: Path,
    losses: Sequence[float],
    histograms: Mapping[int, Any],
    label: str,
    *,
    epochs_at: Callable[[int], int],
) -> None:
    """The loss of every step, and the weights before the first and at the end.

    Args:
        folder: Of the run's artifacts.
        losses: Loss of each step.
        histograms: Of every parameter, as JSON values, by their place.
        label: The loss and its unit.
        epochs_at: As an `Outcome` has it.
    """
    _write(folder, LOSSES, figures.loss_curve(losses, label))
    ends = {epochs_at(place): from_json(histograms[place]) for place in (min(histograms), max(histograms))}
    first, last = min(ends), max(ends)
    moments = {f"after {epochs} epochs": found for epochs, found in ends.items()}
    _write(folder, WEIGHTS, figures.weights(moments, f"Weights after {first} and after {last} epochs"))


def predictions(folder: Path, predicted: Observed, label: str) -> None:
    """Predictions against observed values.

    Args:
        folder: Of the run's artifacts.
        predicted: Observed and predicted values, (rows,) each, by part.
        label: The target's name and unit.
    """
    _write(folder, PREDICTED, figures.predicted_against_true(predicted, label))


def weights(folder: Path, place: int, epochs: int, moment: int, found: Any, owner: str) -> None:
    """The histograms of one moment as an image, for the UI to show over time.

    Args:
        folder: Of the run's artifacts.
        place: The step that the UI shows it at.
        epochs: Completed.
        moment: When, in milliseconds since 1970.
        found: The histograms of every parameter, as JSON values.
        owner: Makes the image's name unique.
    """
    figure = figures.weights({"": from_json(found)}, f"Weights after {epochs} epochs", width=_WIDTH_IN_UI)
    pixels = figures.pixels(figure)
    write_image(folder, pixels, key="weights", step=place, timestamp=moment, owner=owner)


def _write(folder: Path, path: str, figure: Any) -> None:
    write_bytes(folder / path, figures.png(figure))
