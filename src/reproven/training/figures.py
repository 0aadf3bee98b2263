"""Figures, by matplotlib's object interface: values in, a `Figure` out. Nothing here has global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from reproven.training.histograms import Histogram, histogram

_COLOURS = ("#1f77b4", "#d95f02")
_OF_PARTS = {"train": _COLOURS[0], "test": _COLOURS[1], "validation": "#1b9e77"}
_DPI = 100
_WIDTH = 7.0  # inches


def _single(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, 4.5), dpi=_DPI)
    axes = figure.add_axes((0.11, 0.13, 0.85, 0.77))
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def png(figure: Figure) -> bytes:
    """A figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    return buffer.getvalue()


def pixels(figure: Figure) -> np.ndarray:
    """A figure as an image, (height, width, 4) uint8."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def target_histogram(y: np.ndarray, label: str) -> Figure:
    """How often each value of the target occurs, in 20 bins.

    Args:
        y: Target, (rows,).
        label: Its name and unit.
    """
    figure, axes = _single(f"Target of {len(y)} rows", label, "rows")
    found = histogram(y, bins=20)
    axes.stairs(found.counts, found.edges, fill=True, color=_COLOURS[0])
    return figure


def loss_curve(losses: Sequence[float], label: str) -> Figure:
    """The training loss of every iteration, on a logarithmic scale; infinite ones are left out.

    Args:
        losses: Loss of each step, in order.
        label: The loss and its unit.
    """
    figure, axes = _single("Training loss per iteration", "iteration", label)
    axes.plot(_finite(losses), color=_COLOURS[0], linewidth=1.2)
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    return figure


def two_losses(recorded: Sequence[float], found: Sequence[float], label: str, first: int | None) -> Figure:
    """The losses of a run and of its replay, and below them their difference.

    Args:
        recorded: Loss of each step in the record.
        found: Loss of each step in the replay.
        label: The loss and its unit.
        first: The step at which both runs first differ, marked by a line; None where they do not.
    """
    figure = Figure(figsize=(_WIDTH, 6), dpi=_DPI)
    axes = figure.add_axes((0.13, 0.46, 0.83, 0.47))
    below = figure.add_axes((0.13, 0.09, 0.83, 0.27), sharex=axes)
    axes.set_title("Training loss, recorded and replayed")
    axes.set_ylabel(label)
    axes.plot(_finite(recorded), color=_COLOURS[0], linewidth=2.4, label="recorded")
    axes.plot(_finite(found), color=_COLOURS[1], linewidth=1, linestyle="--", label="replayed")
    axes.set_yscale("log")
    steps = min(len(recorded), len(found))
    apart = _finite(found)[:steps] - _finite(recorded)[:steps]
    below.plot(apart, color="0.2", linewidth=1)
    below.set_xlabel("iteration")
    below.set_ylabel("replayed − recorded\n(same unit)")
    below.set_title("All differences are 0" if not np.any(apart) else "Difference", fontsize=10)
    for each in (axes, below):
        each.grid(alpha=0.3)
        if first is not None:
            each.axvline(first, color="0.5", linewidth=1, linestyle=":")
    if first is not None:
        text = f"first difference: step {first}"
        axes.annotate(text, (first, 0.03), xycoords=("data", "axes fraction"), fontsize=8, rotation=90)
    axes.legend(loc="upper right")
    return figure


def search(values: Sequence[float | None], label: str, *, more_is_better: bool) -> Figure:
    """What came of each point of a search, in the order in which they were proposed, and the best so far.

    Args:
        values: The metric of each point; None where a run of it failed or was pruned.
        label: The metric.
        more_is_better: Whether the greatest is the best.
    """
    figure, axes = _single("Search, point by point", "points proposed", label)
    numbers = np.array([np.nan if value is None else value for value in values])
    places = np.arange(1, len(numbers) + 1)
    best = (np.fmax if more_is_better else np.fmin).accumulate(numbers)
    axes.step(places, best, where="post", color=_COLOURS[1], linewidth=1.5, label="best so far")
    axes.plot(places, numbers, "o", color=_COLOURS[0], markersize=5, label="a point, mean over its seeds")
    if (lost := places[np.isnan(numbers)]).size:
        bottom = axes.get_xaxis_transform()
        axes.plot(
            lost, np.full(lost.size, 0.02), "x", color="0.4", transform=bottom, label="failed or pruned"
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    return figure


def _finite(losses: Sequence[float]) -> np.ndarray:
    return np.where(np.isfinite(losses), losses, np.nan)


def predicted_against_true(groups: Mapping[str, tuple[np.ndarray, np.ndarray]], label: str) -> Figure:
    """Predictions against observed values, with the diagonal on which both are equal.

    Args:
        groups: Observed and predicted values, each (rows,), by part.
        label: The target's name and unit.
    """
    figure, axes = _single("Predicted against true", f"true {label}", f"predicted {label}")
    everything = np.concatenate([values for pair in groups.values() for values in pair])
    bounds = [float(everything.min()), float(everything.max())]
    axes.plot(bounds, bounds, color="0.6", linewidth=1)
    for name, (observed, predicted) in groups.items():
        style: Any = {"color": _OF_PARTS[name], "markersize": 5, "alpha": 0.6}
        axes.plot(observed, predicted, ".", label=f"{name} ({len(observed)} rows)", **style)
    axes.legend(loc="upper left")
    return figure


def weights(found: Mapping[str, Mapping[str, Histogram]], title: str, *, width: float = _WIDTH) -> Figure:
    """Histograms of every parameter, one above the other on one axis of values.

    Each is as high as its fullest bin, whose count stands beside it: the shapes are to be compared, and a
    bias has fewer values than a weight.

    Args:
        found: Histograms by parameter, by the moment's name; the second moment lies over the first.
        title: Stands above.
        width: Inches.
    """
    names = list(next(iter(found.values())))
    height = 1.2 + 0.55 * len(names)
    figure = Figure(figsize=(width, height), dpi=_DPI)
    axes = figure.add_axes((1.68 / width, 0.55 / height, 1 - 2.38 / width, 1 - 0.95 / height))
    axes.set_title(title)
    axes.set_xlabel("value of the parameter")
    for (moment, histograms), colour in zip(found.items(), _COLOURS, strict=False):
        for row, name in enumerate(reversed(names)):
            _ridge(axes, histograms[name], row, colour, moment if row == 0 else None)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.15, len(names) + 0.1)
    last = list(found.values())[-1]
    for row, name in enumerate(reversed(names)):
        note = f"{max(last[name].counts)} of {sum(last[name].counts)}"
        axes.annotate(note, (1.01, row), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
    axes.annotate("fullest bin", (1.01, 1), xycoords="axes fraction", fontsize=8, va="bottom")
    if len(found) > 1:
        axes.legend(fontsize=8, loc="upper right")
    return figure


def _ridge(axes: Axes, found: Histogram, row: int, colour: str, label: str | None) -> None:
    heights = row + 0.85 * np.asarray(found.counts) / max(1, *found.counts)
    axes.stairs(heights, found.edges, baseline=row, fill=True, alpha=0.45, color=colour, label=label)
