"""Groups: runs that some params do not tell apart, and what each group came to over its seeds.

What a number counts is a seed, never a run: a repeated recipe, or several settings that a group does not tell
apart, would otherwise make certainty out of nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from reproven.comparisons import params, significance
from reproven.store.summary import Summary
from reproven.values.metrics import more_is_better

_T = TypeVar("_T")
_K = TypeVar("_K")


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Runs that the fields do not tell apart.

    Attributes:
        label: What it is called.
        fields: The value of each field.
        run_ids: The runs that count, oldest first.
        lost: How many more have ended and do not count, by the reason.
        values: The metric by seed, as `seed/split_seed`; of several runs with one seed their mean. Where
            runs are compared over tables, by table.
        mean: Over the seeds; None where there is none.
        sd: The sample's standard deviation over the seeds; None of one seed.
        low: The least value; likewise `high`.
    """

    label: str
    fields: Mapping[str, str]
    run_ids: tuple[str, ...]
    lost: Mapping[str, int]
    values: Mapping[str, float]
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None


#: Of each group the runs that count, by its label.
Members = Mapping[str, Sequence[Summary]]


def grouped(
    runs: Sequence[Summary],
    lost: Mapping[str, str],
    fields: Sequence[str],
    metric: str,
    count: Callable[[Summary], str] | None = None,
) -> tuple[list[Group], Members]:
    """The groups, the best first and those without a value last; and of each the runs that count.

    Args:
        runs: The runs that ended, oldest first.
        lost: Why some of them do not count, by run id.
        fields: The params that tell groups apart.
        metric: What is compared, at each run's end.
        count: What is counted; None for seeds.
    """
    alike = gathered(runs, lambda run: tuple(run.params.get(name) for name in fields))
    telling = [name for place, name in enumerate(fields) if len({key[place] for key in alike}) > 1]
    groups, members, named = [], {}, Counter[str]()
    for some in alike.values():
        label = params.label(some[0].params, telling or fields)
        named[label] += 1
        if named[label] > 1:  # long values are cut
            label = f"{label} #{named[label]}"
        members[label] = [run for run in some if run.run_id not in lost]
        groups.append(
            _group(
                label,
                fields={name: some[0].params.get(name, params.NOTHING) for name in fields},
                counted=members[label],
                lost=Counter(lost[run.run_id] for run in some if run.run_id in lost),
                metric=metric,
                count=count or unit,
            )
        )
    growing = more_is_better(metric)
    return sorted(groups, key=lambda group: _rank(group, growing=growing)), members


def _group(
    label: str,
    *,
    fields: Mapping[str, str],
    counted: Sequence[Summary],
    lost: Mapping[str, int],
    metric: str,
    count: Callable[[Summary], str],
) -> Group:
    values = {counts: _value(some, metric) for counts, some in gathered(counted, count).items()}
    numbers = list(values.values())
    return Group(
        label=label,
        fields=fields,
        run_ids=tuple(run.run_id for run in counted),
        lost=dict(lost),
        values=values,
        mean=significance.mean(numbers) if numbers else None,
        sd=significance.deviation(numbers),
        low=min(numbers, default=None),
        high=max(numbers, default=None),
    )


def gathered(items: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    """The items that have the same key, by that key; keys and items in the order in which they come."""
    found: dict[_K, list[_T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def unit(run: Summary) -> str:
    """What pairs a run with one of another group: seed, seed of the split and fold, by strokes."""
    seed = run.params.get("seed", params.NOTHING)
    parts = (seed, run.params.get("split_seed", seed), *run.params.get("fold", "").split("/")[:1])
    return "/".join(filter(None, parts))


def by_unit(runs: Iterable[Summary]) -> dict[str, list[Summary]]:
    """Runs by their seeds."""
    return gathered(runs, unit)


def by_recipe(runs: Iterable[Summary]) -> dict[str | None, list[Summary]]:
    """Runs by their recipes."""
    return gathered(runs, lambda run: run.recipe_sha256)


def _value(runs: Sequence[Summary], metric: str) -> float:
    """The one value of a seed: the mean over its recipes, each of which counts once."""
    return significance.mean(
        [significance.mean([run.metrics[metric] for run in some]) for some in by_recipe(runs).values()]
    )


def _rank(group: Group, *, growing: bool) -> tuple[bool, float, str]:
    mean = 0.0 if group.mean is None else group.mean
    return (group.mean is None, -mean if growing else mean, group.label)
