"""Intervals: the figure of paired differences, with what both questions say of their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reproven.comparisons.group_figures import CaptionedFigure, grid_lines, verbatim, wrapped
from reproven.comparisons.overview import Comparison
from reproven.comparisons.pairs import Answer, Pair
from reproven.training.figures import png

_MOST = 12  # pairs that are drawn
_NEW_DATA, _TABLE, _SEED = "#0072b2", "#d55e00", "0.55"


def pictures(compared: Comparison, labels: Mapping[str, str]) -> dict[str, CaptionedFigure]:
    """The figure by its file's name, where there is something to show.

    Args:
        compared: The comparison.
        labels: What stands at the axes, for `metric`.
    """
    pairs = [pair for pair in compared.pairs if pair.on_table is not None and not pair.is_equal]
    if not pairs:
        return {}
    best = compared.groups[0].label
    shown = sorted(pairs, key=lambda pair: best not in (pair.a, pair.b))[:_MOST]
    only = f" {len(shown)} of {len(pairs)} pairs, the best group's first." if len(shown) < len(pairs) else ""
    figure = png(intervals(shown, labels["metric"]))
    return {"intervals": CaptionedFigure(title="Differences", caption=f"{_CAPTION}{only}", png=figure)}


_CAPTION = (
    "Each grey point is the difference of two groups at one seed; bars are 95 % intervals of the mean "
    "difference, of each question its own. One that reaches over 0 leaves open which group is better."
)


def intervals(pairs: Sequence[Pair], label: str) -> Figure:
    """Each pair's differences as points, one a seed, and the 95 % intervals of their mean.

    Args:
        pairs: Such as have an interval, in the order in which they stand.
        label: The metric and its unit.
    """
    figure = Figure(figsize=(7.5, 1.5 + 0.62 * len(pairs)), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(pairs))[::-1]
    for pair, place in zip(pairs, places, strict=True):
        values = list(pair.differences.values())
        axes.plot(values, [place] * len(values), "o", color=_SEED, markersize=3, zorder=2)
        if pair.on_new_data is not None:
            _bar(axes, pair, pair.on_new_data, place + 0.2, _NEW_DATA)
        if pair.on_table is not None:
            _bar(axes, pair, pair.on_table, place - 0.2, _TABLE)
        if pair.practical is not None:
            _region(axes, pair.practical.width, place)
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    axes.set_yticks(places, [f"{wrapped(pair.a, 40)}\n− {wrapped(pair.b, 40)}" for pair in pairs], fontsize=8)
    axes.set_ylim(-0.6, len(pairs) - 0.4)
    axes.set_xlabel(f"difference of {verbatim(label)}")
    grid_lines(axes, "x")
    _explain(figure, axes, pairs)
    return figure


def _bar(axes: Axes, pair: Pair, answer: Answer, place: float, colour: str) -> None:
    axes.plot([answer.low, answer.high], [place, place], color=colour, linewidth=2.4, zorder=3)
    axes.plot([pair.mean or 0.0], [place], "D", color=colour, markersize=5, zorder=4)


def _region(axes: Axes, width: float, place: float) -> None:
    low, high = place - 0.4, place + 0.4
    axes.fill_betweenx([low, high], -width, width, color="0.85", linewidth=0, zorder=0)


def _explain(figure: Figure, axes: Axes, pairs: Sequence[Pair]) -> None:
    """A legend of what is drawn, and of nothing else."""
    style: Any = {"linewidth": 2.4, "marker": "D", "markersize": 5}
    lines = [axes.plot([], [], "o", color=_SEED, markersize=3, label="a seed")[0]]
    if any(pair.on_new_data for pair in pairs):
        lines += axes.plot([], [], color=_NEW_DATA, label="mean, for new data like this", **style)
    if any(pair.on_table for pair in pairs):
        lines += axes.plot([], [], color=_TABLE, label="mean, on this table", **style)
    if any(pair.practical for pair in pairs):
        lines += [axes.fill_between([], [], [], color="0.85", label="practically none")]  # type: ignore[list-item]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), fontsize=8.5, frameon=False)
