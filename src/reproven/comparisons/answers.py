"""Answers: the figures of what tests say, of pairs on one table and of groups over several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reproven.comparisons.across import Across
from reproven.comparisons.group_figures import CaptionedFigure, grid_lines, verbatim, wrapped
from reproven.comparisons.overview import Comparison
from reproven.comparisons.pairs import Answer, Pair
from reproven.training.figures import png

_MOST = 12  # pairs that are drawn
_NEW_DATA, _TABLE, _SEED = "#0072b2", "#d55e00", "0.55"


def pictures(compared: Comparison, labels: Mapping[str, str]) -> dict[str, CaptionedFigure]:
    """The figure by its file's name, where there is something to show: of ranks where tables are compared.

    Args:
        compared: The comparison.
        labels: What stands at the axes, for `metric`.
    """
    if (drawn := figure(compared, labels["metric"])) is None:
        return {}
    if compared.over_tables is not None:
        return {"ranks": CaptionedFigure(title="Mean ranks", caption=_RANKS, png=png(drawn))}
    pairs = len(_with_intervals(compared))
    only = f" {_MOST} of {pairs} pairs, the best group's first." if pairs > _MOST else ""
    return {"intervals": CaptionedFigure(title="Differences", caption=f"{_CAPTION}{only}", png=png(drawn))}


def figure(compared: Comparison, label: str) -> Figure | None:
    """What there is to show: mean ranks where tables are compared, else intervals; None where there are none.

    Args:
        compared: The comparison.
        label: The metric and its unit.
    """
    if compared.over_tables is not None:
        return mean_ranks(compared.over_tables)
    pairs = _with_intervals(compared)
    return intervals(pairs[:_MOST], label) if pairs else None


def _with_intervals(compared: Comparison) -> list[Pair]:
    """The pairs that have one, the best group's first."""
    best = compared.groups[0].label
    pairs = [pair for pair in compared.pairs if pair.on_table is not None and not pair.is_equal]
    return sorted(pairs, key=lambda pair: best not in (pair.a, pair.b))


_CAPTION = (
    "Each grey point is the difference of two groups at one seed; bars are 95 % intervals of the mean "
    "difference, of each question its own. One that reaches over 0 leaves open which group is better."
)


_RANKS = (
    "The mean rank of each group over the tables, 1 the best. A bar joins groups of which no two are told "
    "apart (Wilcoxon's test, corrected by Holm's method)."
)


def mean_ranks(found: Across) -> Figure:
    """The critical-difference diagram: groups on a line of mean ranks, bars over those not told apart.

    Source: Demšar (2006), JMLR 7, figure 1; that bars stand for tests of pairs: Benavoli, Corani & Mangili
        (2016), JMLR 17.
    """
    names = sorted(found.ranks, key=lambda name: found.ranks[name])
    bars = _alike(names, found)
    below = 0.5 + 0.3 * len(bars)
    figure = Figure(figsize=(7.5, 0.9 + 0.25 * (len(names) + len(bars))), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    most, half = len(names), -(-len(names) // 2)
    margin = 0.08 * (most - 1)
    for place, name in enumerate(names):
        is_left = place < half
        height = below + 0.45 * (place if is_left else most - 1 - place)
        edge, side = (1 - margin, "right") if is_left else (most + margin, "left")
        rank = found.ranks[name]
        axes.plot([rank, rank, edge], [0, -height, -height], color="black", linewidth=0.8)
        text = f"{wrapped(name, 26)} ({rank:.2f})"
        axes.text(edge, -height, f"{text} " if is_left else f" {text}", ha=side, va="center", fontsize=9)
    for number, (first, last) in enumerate(bars):
        ends = found.ranks[first] - margin / 4, found.ranks[last] + margin / 4
        axes.plot(ends, [-0.25 - 0.3 * number] * 2, color=_NEW_DATA, linewidth=3.5, solid_capstyle="butt")
    axes.plot([1, most], [0, 0], color="black", linewidth=1.6)
    axes.set_xlim(1 - 8 * margin, most + 8 * margin)  # room for names on both sides
    axes.set_ylim(-below - 0.45 * half, 0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(1, most + 1))
    axes.set_xlabel(f"mean rank over {len(found.tables)} tables")
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _alike(names: Sequence[str], found: Across) -> list[tuple[str, str]]:
    """The first and the last of each longest run of groups, by rank, of which no two are told apart."""
    apart = {frozenset((pair.a, pair.b)) for pair in found.pairs if pair.better is not None}
    runs: list[tuple[int, int]] = []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and all(
            frozenset((names[last + 1], other)) not in apart for other in names[first : last + 1]
        ):
            last += 1
        if last > first and not any(last <= end for _, end in runs):
            runs.append((first, last))
    return [(names[first], names[last]) for first, last in runs]


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
