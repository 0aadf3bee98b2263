"""Figures of a comparison: groups of runs beside one another. Values in, a `Figure` out, as in `figures`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from reproven.comparisons.groups import Group, gathered
from reproven.comparisons.overview import Comparison
from reproven.training.figures import png
from reproven.training.histograms import Histogram

MOST = 8  # groups in a figure, lines in a panel
_MOST_PANELS = 6
_MOST_ROWS = 20  # parameters
_MOST_JOINED = 4  # groups between which lines join the same seed
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#8c6d1f")
_DPI = 130
_WIDTH = 7.5  # inches
_LARGEST = 1e100  # a value that is drawn
_BESIDE: Any = {"fontsize": 8, "rotation": 0, "ha": "right", "va": "center"}
_WITHIN: Any = {"xycoords": "axes fraction", "fontsize": 6, "va": "top", "color": "0.35"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How one run went, as its files tell it.

    Attributes:
        group: Its group's label.
        rest: What tells its group from others beside the learning rates.
        rates: Its learning rates, as words.
        losses: The training loss of each step.
        errors: The metric after each epoch that has it, by the epochs completed.
        histograms: Of its last weights, by parameter.
    """

    group: str
    rest: str
    rates: str
    losses: Sequence[float]
    errors: Mapping[int, float]
    histograms: Mapping[str, Histogram] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionedFigure:
    """A figure as it is kept.

    Attributes:
        title: Stands above it.
        caption: Stands under it, and in its place where it cannot be seen.
        png: The content of its file.
    """

    title: str
    caption: str
    png: bytes


def pictures(
    compared: Comparison, courses: Sequence[Course], labels: Mapping[str, str]
) -> dict[str, CaptionedFigure]:
    """The figures of a comparison by their files' names; one that has nothing to show is left out.

    Args:
        compared: The comparison.
        courses: How the runs of the best groups went, the best group first.
        labels: What stands at the axes, for `metric` and `loss`.
    """
    measured = [group for group in compared.groups if group.values]
    groups = measured[:MOST]
    joined = " Grey lines join the same seed." if 1 < len(groups) <= _MOST_JOINED else ""
    drawn = {"error": ("At the end", f"{_BOXES}{joined}", boxes(groups, labels["metric"]))}
    if some := [course for course in courses if course.errors]:
        drawn["epochs"] = ("After every epoch", _EPOCHS, errors(some, labels["metric"]))
    if some := [course for course in courses if course.losses]:
        drawn["loss"] = ("Training loss", _LOSS, losses(some, labels["loss"]))
    if some := [course for course in courses if course.histograms]:
        drawn["weights"] = ("Weights at the end", _WEIGHTS, weights(some))
    only = f" The best {len(groups)} of {len(measured)} groups." if len(groups) < len(measured) else ""
    return {
        name: CaptionedFigure(title=title, caption=f"{caption}{only}", png=png(figure))
        for name, (title, caption, figure) in drawn.items()
    }


_BOXES = (
    "Each point is a seed. The box holds the middle half of them, the line in it is their median, the "
    "whiskers reach the least and the greatest."
)
_EPOCHS = (
    "Lines are means over the runs of a setting, bands reach from the least to the greatest. Where learning "
    "rates differ, they are the lines, and whatever else tells groups apart has a panel each."
)
_LOSS = "Mean over the runs of each group, step by step; the band reaches from the least to the greatest."
_WEIGHTS = (
    "Each line is one run's histogram, by density. Parameters stand in one row by their place in the "
    "network, and all of a row share an axis."
)


def losses(courses: Sequence[Course], label: str) -> Figure:
    """The training loss of every step: each group's mean over its runs, and a band from least to greatest.

    Args:
        courses: The runs of the groups, the best group first.
        label: The loss and its unit.
    """
    groups = gathered(courses, lambda course: course.group)
    figure, axes = _with_legend(list(groups), 3.8)
    for runs, colour in zip(groups.values(), _COLOURS, strict=False):
        length = min(len(run.losses) for run in runs)
        values = np.array([run.losses[:length] for run in runs], dtype=np.float64)
        _band(axes, np.arange(length), values, colour)
    _logarithmic(axes)
    axes.set_xlabel("step")
    axes.set_ylabel(verbatim(label))
    return figure


def errors(courses: Sequence[Course], label: str) -> Figure:
    """The metric after every epoch: a line for each setting of the learning rates, its band over the runs.

    Groups that differ in more than their rates have a panel each, since a rate means another thing in each;
    where all have the same rates, the groups are the lines of one panel.

    Args:
        courses: The runs of the groups, the best group first.
        label: The metric and its unit.
    """
    by_rates = len({course.rates for course in courses}) > 1
    panel_of: Callable[[Course], str] = (lambda course: course.rest) if by_rates else (lambda course: "")
    line_of: Callable[[Course], str] = (lambda c: c.rates) if by_rates else (lambda c: c.group)
    panels = dict(list(gathered(courses, panel_of).items())[:_MOST_PANELS])
    shown = [course for runs in panels.values() for course in runs]
    names = list(gathered(shown, line_of))[:MOST]
    figure, grid = _panels(list(panels), names)
    for axes, runs in zip(grid, panels.values(), strict=True):
        for name, lines in gathered(runs, line_of).items():
            if name in names:
                _course(axes, lines, _COLOURS[names.index(name)])
        axes.set_xlabel("epoch")
    if all(value > 0 for course in shown for value in course.errors.values()):  # R² may be less
        for axes in grid:
            _logarithmic(axes)
    for axes in grid[::2]:
        axes.set_ylabel(verbatim(label))
    return figure


def _course(axes: Axes, runs: Sequence[Course], colour: str) -> None:
    epochs = sorted(set.intersection(*(set(run.errors) for run in runs)))
    values = np.array([[run.errors[epoch] for epoch in epochs] for run in runs], dtype=np.float64)
    _band(axes, np.array(epochs), values, colour)


def boxes(groups: Sequence[Group], label: str) -> Figure:
    """The metric of every seed as a point, and each group's box: quartiles, median, least and greatest.

    Of a few groups, lines join the points of the same seed.

    Args:
        groups: The best first, each with a value at least.
        label: The metric and its unit.
    """
    height = 1.1 + 0.5 * len(groups)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(groups))[::-1]
    values = [list(group.values.values()) for group in groups]
    style: Any = {"whis": (0, 100), "orientation": "horizontal", "showcaps": False, "widths": 0.5}
    drawn = axes.boxplot(values, positions=places, patch_artist=True, medianprops={"color": "black"}, **style)
    for box, colour in zip(drawn["boxes"], _COLOURS, strict=False):
        box.set(facecolor=colour, alpha=0.35, edgecolor=colour)
    if len(groups) <= _MOST_JOINED:
        for unit in dict.fromkeys(unit for group in groups for unit in group.values):
            joined = [(g.values[unit], y) for g, y in zip(groups, places, strict=True) if unit in g.values]
            axes.plot(*zip(*joined, strict=True), color="0.55", linewidth=0.6, zorder=2.5)
    for numbers, place, colour in zip(values, places, _COLOURS, strict=False):
        axes.plot(numbers, [place] * len(numbers), "o", color=colour, markersize=4.5, zorder=3)
    axes.set_yticks(places, [wrapped(group.label, 34) for group in groups])
    axes.set_ylim(-0.6, len(groups) - 0.4)
    axes.set_xlabel(verbatim(label))
    grid_lines(axes, "x")
    lowest, highest = min(map(min, values)), max(map(max, values))
    if lowest > 0 and highest > 20 * lowest:
        axes.set_xscale("log")
    return figure


def weights(courses: Sequence[Course]) -> Figure:
    """Histograms of the last weights: a column for each group, a row for each parameter, a line for each run.

    Parameters stand beside each other by their place, since both networks name them otherwise. All of a row
    share an axis; each histogram is the share of its values in a bin, divided by the bin's width.

    Args:
        courses: The runs of the groups, the best group first, each with histograms.
    """
    groups = gathered(courses, lambda course: course.group)
    most = max(len(run.histograms) for runs in groups.values() for run in runs)
    rows = min(most, _MOST_ROWS)
    size = (max(_WIDTH, 1.3 + 1.55 * len(groups)), 0.7 + 1.05 * rows)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    grid: Any = figure.subplots(rows, len(groups), sharex="row", squeeze=False)
    names: dict[tuple[int, int], str] = {}
    for column, (name, runs) in enumerate(groups.items()):
        grid[0, column].set_title(wrapped(name, 24), fontsize=9)
        parameters = [sorted(run.histograms.items(), key=_in_place) for run in runs]
        for row in range(rows):
            found = [some[row] for some in parameters if row < len(some)]
            _histograms(grid[row, column], (one for _, one in found), _COLOURS[column])
            names[row, column] = verbatim("\n".join(dict.fromkeys(name[:40] for name, _ in found)))
            if column == 0:
                grid[row, 0].set_ylabel(names[row, 0].replace(".", "\n"), **_BESIDE)
            elif names[row, column] != names[row, 0]:
                grid[row, column].annotate(names[row, column], (0.03, 0.96), **_WITHIN)
    only = f", the first {rows} of {most}" if rows < most else ""
    figure.supxlabel(f"value of the parameter{only}", fontsize=9)
    return figure


def _histograms(axes: Axes, found: Iterable[Histogram], colour: str) -> None:
    for one in found:
        counts, edges = _coarse(one)
        widths = np.diff(edges)
        density = counts / np.where(widths > 0, widths, 1) / max(1, counts.sum())
        axes.stairs(density, edges, color=colour, linewidth=0.8, alpha=0.7)
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=7)
    axes.margins(x=0.02)
    axes.set_ylim(bottom=0)


def _coarse(found: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges with as few bins as the values fill, so that several seeds can be told apart."""
    values = sum(found.counts)
    wanted = max(5, round(1.5 * values**0.5))
    together = -(-len(found.counts) // wanted) if values > 2 else 1  # of one value the place is known
    starts = np.arange(0, len(found.counts), together)
    counts = np.add.reduceat(np.asarray(found.counts, dtype=np.float64), starts)
    return counts, np.asarray([*(found.edges[start] for start in starts), found.edges[-1]])


def _in_place(item: tuple[str, Histogram]) -> list[str | int]:
    """Sorts parameters by their layers' numbers: hidden2 stands before hidden10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", item[0])]


def _band(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str) -> None:
    """Mean over the rows, and a band from the least to the greatest.

    Args:
        axes: Where to.
        x: (columns,).
        values: (rows, columns).
        colour: Of both.
    """
    values = np.where(np.abs(values) < _LARGEST, values, np.nan)
    marker = "." if len(x) < 3 else ""
    axes.plot(x, values.mean(axis=0), color=colour, linewidth=1.4, marker=marker)
    if len(values) > 1:
        axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0)


def _with_legend(names: Sequence[str], height: float) -> tuple[Figure, Axes]:
    figure, grid = _panels([""], names, height=height)
    return figure, grid[0]


def _panels(titles: Sequence[str], names: Sequence[str], height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each title, two in a row, and a legend below that holds long names."""
    across = min(2, len(titles))
    down = -(-len(titles) // across)
    columns = 1 if max(map(len, names)) > 48 else 2 if max(map(len, names)) > 24 else 3
    lines = sum(1 + len(name) // 60 for name in names) / columns
    figure = Figure(figsize=(_WIDTH, (height if down == 1 else 2.6 * down) + 0.4 + 0.19 * lines), dpi=_DPI)
    figure.set_layout_engine("constrained")
    found: Any = figure.subplots(down, across, sharey=True, squeeze=False)
    grid: list[Axes] = list(found.flat)
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(wrapped(title, 44), fontsize=10)
        grid_lines(axes, "both")
    handles = [
        grid[0].plot([], [], color=colour, linewidth=1.6, label=wrapped(name, 60))[0]
        for name, colour in zip(names, _COLOURS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8.5, frameon=False)
    return figure, grid[: len(titles)]


def _logarithmic(axes: Axes) -> None:
    """A logarithmic axis of values, with plain numbers on it where they span little."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if low > 0 and high / low < 100:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def grid_lines(axes: Axes, axis: Any) -> None:
    axes.grid(alpha=0.3, axis=axis)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def wrapped(text: str, width: int) -> str:
    """A text in lines, broken where it has a space or a comma."""
    lines = [""]
    for part in re.findall(r"[^ ,]*[ ,]?", text):
        if len(lines[-1]) + len(part.rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += part
    return verbatim("\n".join(line.rstrip() for line in lines))


def verbatim(text: str) -> str:
    """A text that holds no formula: a name that comes from a store may look like one."""
    return text.replace("$", r"\$")
