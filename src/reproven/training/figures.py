"""Figures, by matplotlib's object interface: values in, a `Figure` out. Nothing here has global state."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

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


def svg(figure: Figure) -> str:
    """A figure as an SVG element, for a page: what is black takes the colour of the text around it."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "reproven", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    _, start, rest = buffer.getvalue().partition("<svg ")
    style = 'style="max-width:100%;height:auto;fill:currentColor" '
    taken = {"#000000": "currentColor", "#333333": "currentColor", "#ffffff": "none"}
    return re.sub("|".join(taken), lambda found: taken[found[0]], f"{start}{style}{rest}")


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
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def class_counts(places: np.ndarray, classes: Sequence[str], label: str) -> Figure:
    """How often each class occurs.

    Args:
        places: The place of each row's class, (rows,).
        classes: Their names.
        label: The target's name.
    """
    figure, axes = _single(f"Target of {len(places)} rows", "rows", label)
    counts = np.bincount(places.astype(int), minlength=len(classes))
    bars = axes.barh(range(len(classes)), counts, color=_COLOURS[0])
    axes.bar_label(bars, padding=3, fontsize=8)
    axes.margins(x=0.1)
    axes.set_yticks(range(len(classes)), [_shortened(name) for name in classes])
    axes.invert_yaxis()
    axes.set_position((0.25, 0.13, 0.71, 0.77))
    return figure


def confusion(counts: Mapping[str, np.ndarray], classes: Sequence[str], label: str) -> Figure:
    """Which class is taken for which, a panel for each part of the rows.

    Each row of a panel is coloured by its shares, so that rare classes are seen as well as frequent ones.

    Args:
        counts: Rows of each class (down) that are told to be of each (across), (classes, classes), by part.
        classes: Their names.
        label: The target's name.
    """
    side = min(max(2.6, 0.45 * len(classes)), 9.0)
    margin, gap, bottom = 1.5, 0.4, 1.2
    width, height = margin + len(counts) * (side + gap), side + bottom + 0.45
    figure = Figure(figsize=(width, height), dpi=_DPI)
    names = [_shortened(name) for name in classes]
    has_numbers = len(classes) <= 12
    for place, (part, found) in enumerate(counts.items()):
        left = margin + place * (side + gap)
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        shares = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        axes.set_title(f"{part}, {found.sum()} rows", fontsize=10)
        axes.set_xlabel(f"predicted {label}")
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(classes)), names if place == 0 else [], fontsize=8)
        if place == 0:
            axes.set_ylabel(f"true {label}")
        for (row, column), count in np.ndenumerate(found if has_numbers else np.empty((0, 0))):
            colour = "white" if shares[row, column] > 0.6 else "0.2"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    return figure


def _shortened(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"


def loss_curve(losses: Sequence[float], label: str) -> Figure:
    """The training loss of every iteration; infinite ones are left out.

    The scale is logarithmic where losses span a power of ten: within one it would have no ticks.

    Args:
        losses: Loss of each step, in order.
        label: The loss and its unit.
    """
    figure, axes = _single("Training loss per iteration", "iteration", label)
    shown = _finite(losses)
    axes.plot(shown, color=_COLOURS[0], linewidth=1.2)
    _scale(axes, shown)
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
    axes = figure.add_axes((0.16, 0.46, 0.80, 0.47))
    below = figure.add_axes((0.16, 0.09, 0.80, 0.27), sharex=axes)
    axes.set_title("Training loss, recorded and replayed")
    axes.set_ylabel(label, fontsize=9)
    _overlay(axes, recorded, found)
    steps = min(len(recorded), len(found))
    apart = _finite(found)[:steps] - _finite(recorded)[:steps]
    below.plot(apart, color="0.2", linewidth=1)
    below.set_xlabel("iteration")
    below.set_ylabel("replayed − recorded\n(same unit)")
    if np.any(apart):
        below.set_title("Difference", fontsize=10)
    else:
        below.set_title("All differences are 0", fontsize=10)
        below.set_yticks([0])
    for each in (axes, below):
        each.grid(alpha=0.3)
        if first is not None:
            each.axvline(first, color="0.5", linewidth=1, linestyle=":")
    if first is not None:
        text = f"first difference: step {first}"
        axes.annotate(text, (first, 0.03), xycoords=("data", "axes fraction"), fontsize=8, rotation=90)
    return figure


def overlaid(recorded: Sequence[float], found: Sequence[float], first: int | None) -> Figure:
    """The losses of a run and of its replay on one another, small enough for a page that holds more.

    Args:
        recorded: Loss of each step in the record.
        found: Loss of each step in the replay.
        first: The step at which both runs first differ, marked by a line; None where they do not.
    """
    figure = Figure(figsize=(3.6, 2.3), layout="constrained")
    axes = figure.add_subplot()
    _overlay(axes, recorded, found)
    axes.set_xlabel("iteration")
    axes.set_ylabel("training loss")
    axes.grid(alpha=0.3)
    if first is not None:
        axes.axvline(first, color="0.5", linewidth=1, linestyle=":")
    return figure


def _overlay(axes: Axes, recorded: Sequence[float], found: Sequence[float]) -> None:
    axes.plot(_finite(recorded), color=_COLOURS[0], linewidth=4, alpha=0.4, label="recorded")
    axes.plot(_finite(found), color=_COLOURS[1], linewidth=1, label="replayed")
    _scale(axes, np.concatenate([_finite(recorded), _finite(found)]))
    axes.legend(loc="upper right")


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


def _scale(axes: Axes, losses: np.ndarray) -> None:
    positive = losses[losses > 0]
    if positive.size and positive.max() >= 10 * positive.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())


def _finite(losses: Sequence[float]) -> np.ndarray:
    return np.where(np.isfinite(losses), losses, np.nan)


def predicted_against_true(groups: Mapping[str, tuple[np.ndarray, np.ndarray]], label: str) -> Figure:
    """Predictions against observed values, with the diagonal on which both are equal.

    Args:
        groups: Observed and predicted values, each (rows,), by part.
        label: The target's name and unit.
    """
    figure, axes = _single("Predicted against true", f"true {label}", f"predicted {label}")
    _against(axes, groups)
    axes.legend(loc="upper left")
    return figure


def each_predicted_against_true(
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]], targets: Sequence[str]
) -> Figure:
    """Predictions against observed values, a panel for each of several targets.

    Args:
        groups: Observed and predicted values, each (rows, targets), by the rows' name.
        targets: Their names.
    """
    figure, panels = _panels(len(targets), "Predicted against true")
    for place, (axes, name) in enumerate(zip(panels, targets, strict=False)):
        _against(axes, {part: (y[:, place], found[:, place]) for part, (y, found) in groups.items()})
        axes.set_xlabel(f"true {_shortened(name)}")
        axes.set_ylabel(f"predicted {_shortened(name)}")
    panels[0].legend(loc="upper left", fontsize=8)
    return figure


def target_histograms(y: np.ndarray, targets: Sequence[str]) -> Figure:
    """How often each value of several targets occurs, in 20 bins each.

    Args:
        y: Targets, (rows, targets).
        targets: Their names.
    """
    figure, panels = _panels(len(targets), f"Targets of {len(y)} rows")
    for axes, name, values in zip(panels, targets, y.T, strict=False):
        found = histogram(values, bins=20)
        axes.stairs(found.counts, found.edges, fill=True, color=_COLOURS[0])
        axes.set_xlabel(_shortened(name))
        axes.set_ylabel("rows")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return figure


def _panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
    """Panels in rows of two, as many as are asked for, at most twelve."""
    count = min(count, 12)
    rows = -(-count // 2)
    figure = Figure(figsize=(_WIDTH, 0.5 + 2.9 * rows), dpi=_DPI, layout="constrained")
    figure.suptitle(title)
    panels = [figure.add_subplot(rows, 2, place + 1) for place in range(count)]
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure, panels


def _against(axes: Axes, groups: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Points by part, and the diagonal on which predicted and true are equal."""
    everything = np.concatenate([values for pair in groups.values() for values in pair])
    bounds = [float(everything.min()), float(everything.max())]
    axes.plot(bounds, bounds, color="0.6", linewidth=1)
    for name, (observed, predicted) in groups.items():
        style: Any = {"color": _OF_PARTS[name], "markersize": 5, "alpha": 0.6}
        axes.plot(observed, predicted, ".", label=f"{name} ({len(observed)} rows)", **style)


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
