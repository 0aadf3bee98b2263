"""The page of a comparison: one HTML file that needs nothing else, and the figures in it.

Names and params come from a store that others write to: the template escapes all of them, and the page
forbids the browser to ask anything of any other place.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from reproven import comparison_figures as figures
from reproven import comparison_words as words
from reproven.comparison import Candidate, Comparison, Pair
from reproven.comparison_figures import MOST, Course
from reproven.grouping import NOTHING, shown

#: What a browser may load for the page: pictures that are in it, and its own style.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_TITLES = {
    "error": "Error at the end",
    "learning": "Error after every epoch",
    "loss": "Training loss",
    "weights": "Weights at the end",
}


def figures_of(
    compared: Comparison, courses: Sequence[Course], labels: Mapping[str, str]
) -> dict[str, tuple[Figure, str]]:
    """The figures of a comparison with their captions, by name; one that has nothing to show is left out.

    Args:
        compared: The comparison.
        courses: How the runs of the best groups went.
        labels: What stands at the axes, for `metric` and `loss`.
    """
    groups = [group for group in compared.groups if group.values][:MOST]
    more = sum(bool(group.values) for group in compared.groups) - len(groups)
    only = f" The best {len(groups)} groups of {len(groups) + more}." if more else ""
    with_losses = [course for course in courses if course.losses]
    with_errors = [course for course in courses if course.errors]
    joined = " Grey lines join the same seed." if 1 < len(groups) <= figures.MOST_JOINED else ""
    found = {"error": (figures.boxes(groups, labels["metric"]), f"{_BOXES}{joined}{only}")}
    if with_errors:
        found["learning"] = (figures.errors(with_errors, labels["metric"]), f"{_LEARNING}{only}")
    if with_losses:
        found["loss"] = (figures.losses(with_losses, labels["loss"]), f"{_LOSS}{only}")
    if any(course.histograms for course in courses):
        found["weights"] = (figures.weights(courses), f"{_WEIGHTS}{only}")
    return found


_BOXES = (
    "Each point is a seed. The box holds the middle half of them, the line in it is their median, the "
    "whiskers reach the least and the greatest."
)
_LEARNING = (
    "Lines are means over the runs of a setting, bands reach from the least to the greatest. Learning rates "
    "are the lines where they differ, and then whatever else tells the groups apart has a panel each."
)
_LOSS = "Mean over the runs of each group, step by step; the band reaches from the least to the greatest."
_WEIGHTS = (
    "Each line is one run's histogram, by density. Parameters stand in one row by their place in the "
    "network, and all of a row share an axis."
)


def page(
    compared: Comparison,
    candidates: Sequence[Candidate],
    pictures: Mapping[str, bytes],
    captions: Mapping[str, str],
    *,
    command: str,
    notes: Sequence[str] = (),
) -> str:
    """The page, as HTML.

    Args:
        compared: The comparison.
        candidates: The runs that were asked for.
        pictures: The content of a PNG file, by the figure's name.
        captions: What stands under each.
        command: The command line that makes it again.
        notes: What a reader must know beside the comparison's own notes.
    """
    header, *rows = words.table(compared)
    template = _templates().get_template("comparison.html")
    return template.render(
        policy=POLICY,
        title=words.title(compared),
        sentences=words.sentences(compared),
        explanation=words.explanation(compared),
        notes=[*compared.notes, *notes],
        metric=compared.metric,
        header=header,
        rows=rows,
        pairs=[_pair(pair) for pair in compared.pairs],
        differ=words.differing(compared),
        follow=[(name, [shown(name, value) for value in compared.differ[name]]) for name in compared.follow],
        equal=[(name, shown(name, value)) for name, value in compared.equal.items()],
        figures=[_figure(name, content, captions[name]) for name, content in pictures.items()],
        method=words.method(compared),
        runs=_runs(compared, candidates),
        left_out=compared.left_out,
        command=command,
    )


def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("reproven"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _figure(name: str, content: bytes, caption: str) -> dict[str, str]:
    return {"title": _TITLES[name], "data": base64.b64encode(content).decode(), "caption": caption}


def _pair(pair: Pair) -> dict[str, Any]:
    """A row of the table of pairs, as texts."""
    about = {"a": pair.a, "b": pair.b, "seeds": len(pair.differences), "better": pair.better}
    if pair.mean is None:
        return {**about, "mean": NOTHING, "interval": NOTHING, "p": NOTHING, "corrected": NOTHING}
    return {
        **about,
        "mean": words.amount(pair.mean, pair.sd),
        "interval": words.interval(pair, 1) or NOTHING,
        "p": NOTHING if pair.p is None else words.chance(pair.p),
        "corrected": NOTHING if pair.p_corrected is None else words.chance(pair.p_corrected),
    }


def _runs(compared: Comparison, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    by_id = {run.run_id: run for run in candidates}
    return [
        {
            "group": group.label,
            "name": by_id[run_id].name,
            "run_id": run_id,
            "recipe": by_id[run_id].recipe,
            "seeds": by_id[run_id].unit,
            "value": f"{by_id[run_id].metrics[compared.metric]:.6g}",
        }
        for group in compared.groups
        for run_id in group.run_ids
    ]
