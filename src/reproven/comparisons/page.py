"""The page of a comparison: one HTML file that needs nothing else, and the figures in it.

Names and params come from a store that others write to: the template escapes all of them, and the page
forbids the browser to ask anything of any other place.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

from reproven.comparisons import words as words
from reproven.comparisons.group_figures import CaptionedFigure
from reproven.comparisons.groups import unit
from reproven.comparisons.overview import Comparison
from reproven.comparisons.pairs import Answer, Pair
from reproven.comparisons.params import NOTHING, shown
from reproven.pages.rendering import rendered
from reproven.store.summary import Summary
from reproven.values import amounts


def page(
    compared: Comparison,
    runs: Sequence[Summary],
    pictures: Iterable[CaptionedFigure],
    *,
    command: str,
    notes: Sequence[str] = (),
) -> str:
    """The page, as HTML.

    Args:
        compared: The comparison.
        runs: The runs that were asked for.
        pictures: The figures.
        command: The command line that makes it again.
        notes: What a reader must know beside the comparison's own notes.
    """
    header, *rows = words.table(compared)
    return rendered(
        "comparison.html",
        title=words.title(compared),
        sentences=words.sentences(compared),
        explanation=words.explanation(compared),
        notes=[*compared.notes, *notes],
        metric=compared.metric,
        header=header,
        rows=rows,
        pairs=[_pair(pair) for pair in compared.pairs],
        tables=_tables(compared),
        differ=words.differing(compared),
        follow=[(name, [shown(name, value) for value in compared.differ[name]]) for name in compared.follow],
        equal=[(name, shown(name, value)) for name, value in compared.equal.items()],
        figures=[_figure(picture) for picture in pictures],
        method=words.method(compared),
        runs=_runs(compared, runs),
        left_out=compared.left_out,
        command=command,
    )


def _tables(compared: Comparison) -> list[tuple[str, ...]]:
    """A header, and a row for each of several tables with what every group came to on it."""
    if compared.over_tables is None:
        return []
    rows = [
        (name, *(f"{group.values[name]:.4g}" for group in compared.groups))
        for name in compared.over_tables.tables
    ]
    return [("table", *(group.label for group in compared.groups)), *rows]


def _figure(picture: CaptionedFigure) -> dict[str, str]:
    data = base64.b64encode(picture.png).decode()
    return {"title": picture.title, "caption": picture.caption, "data": data}


def _pair(pair: Pair) -> dict[str, Any]:
    """A row of the table of pairs, as texts."""
    about = {"a": pair.a, "b": pair.b, "seeds": len(pair.differences), "better": pair.better}
    mean = NOTHING if pair.mean is None else amounts.amount(pair.mean, pair.sd)
    return {**about, "mean": mean, "answers": [_answer(pair, pair.on_new_data), _answer(pair, pair.on_table)]}


def _answer(pair: Pair, answer: Answer | None) -> tuple[str, str]:
    """An interval; and p as it is corrected, with what it was."""
    if answer is None:
        return NOTHING, NOTHING
    raw = amounts.significant(answer.p)
    p = NOTHING if answer.p_corrected is None else f"{amounts.significant(answer.p_corrected)} ({raw})"
    return words.interval(pair, answer), p


def _runs(compared: Comparison, runs: Sequence[Summary]) -> list[dict[str, Any]]:
    by_id = {run.run_id: run for run in runs}
    return [
        {
            "group": group.label,
            "name": by_id[run_id].name,
            "run_id": run_id,
            "recipe": by_id[run_id].recipe_sha256,
            "seeds": unit(by_id[run_id]),
            "value": f"{by_id[run_id].metrics[compared.metric]:.6g}",
        }
        for group in compared.groups
        for run_id in group.run_ids
    ]
