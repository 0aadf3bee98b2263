"""Pictures: the figures of one run as files in its folder, drawn while it is trained or any time later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproven.files.disk import write_bytes
from reproven.files.names import FIGURES
from reproven.store.images import write_image
from reproven.tables.data import Table
from reproven.training import figures
from reproven.training.histograms import from_json

if TYPE_CHECKING:
    from reproven.training.evaluation import Predictions

LOSSES, WEIGHTS, TARGET, PREDICTED = FILES = tuple(
    f"{FIGURES}/{name}.png" for name in ("train_loss", "weights", "target", "predicted")
)

_WIDTH_IN_UI = 5.0  # inches: 500 pixels, and the UI's charts are little narrower, so that words stay legible


def target(table: Table) -> bytes:
    """How the target is distributed, as the content of the file `TARGET`."""
    if table.classes:
        return figures.png(figures.class_counts(table.y, table.classes, table.target_label))
    if len(table.targets) > 1:
        return figures.png(figures.target_histograms(table.y, table.targets))
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


def predictions(folder: Path, predicted: Predictions, table: Table) -> None:
    """Predictions against observed values; of classes, which is taken for which.

    Args:
        folder: Of the run's artifacts.
        predicted: Observed and predicted values by part.
        table: What they are of.
    """
    if table.classes:
        from reproven.training.evaluation import confusion

        counts = {part: confusion(*pair) for part, pair in predicted.items()}
        figure = figures.confusion(counts, table.classes, table.target_label)
    elif len(table.targets) > 1:
        figure = figures.each_predicted_against_true(predicted, table.targets)
    else:
        figure = figures.predicted_against_true(predicted, table.target_label)
    _write(folder, PREDICTED, figure)


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
