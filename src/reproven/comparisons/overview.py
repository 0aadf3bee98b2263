"""The comparison: runs in groups, each group's spread over seeds, and what equal seeds say about two groups.

Runs come in as plain values and a `Comparison` comes out; whoever has a store makes the former, and words,
figures and pages are made from the latter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reproven.comparisons import params
from reproven.comparisons.across import Across, across, is_relative
from reproven.comparisons.groups import Group, Members, by_recipe, by_unit, gathered, grouped
from reproven.comparisons.pairs import Pair, paired, rows_of
from reproven.errors import InvalidInput, name_among
from reproven.store.summary import Summary
from reproven.values.metrics import more_is_better

_LARGEST = 1e100  # of a value; SQLite keeps an infinite one as 1.8e308
_ENDED = ("FINISHED", "FAILED", "KILLED")
_STATUS = {
    "FAILED": "it failed",
    "KILLED": "it was stopped before its end",
    "RUNNING": "it is still running",
    "SCHEDULED": "it has not begun",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A run that is left out.

    Attributes:
        run_id: Its id.
        name: Its name.
        why: The reason, as words that follow a colon.
    """

    run_id: str
    name: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What runs say beside one another.

    Attributes:
        metric: What is compared.
        more_is_better: Whether the greatest is the best.
        by: The fields that tell the groups apart.
        groups: The best first; those without a value last.
        pairs: Every two groups, in the groups' order.
        differ: The params that differ, seeds apart, with all their values.
        follow: Those of them that only follow from another.
        equal: The params that all runs have alike.
        left_out: The runs that do not count.
        notes: What a reader must know to judge the numbers, in sentences.
        over_tables: What the groups come to over several tables, which then are counted in place of seeds
            and pairs; None where all runs have one table.
    """

    metric: str
    more_is_better: bool
    by: tuple[str, ...]
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    differ: Mapping[str, Sequence[str]]
    follow: tuple[str, ...]
    equal: Mapping[str, str]
    left_out: tuple[Left, ...]
    notes: tuple[str, ...]
    over_tables: Across | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def of(
    runs: Sequence[Summary], *, by: Sequence[str] = (), metric: str = "test_rmse", rope: str | None = None
) -> Comparison:
    """Compares runs.

    Args:
        runs: The runs, their params in their one spelling as `params.canonical` makes it, oldest first.
        by: The params that tell groups apart; none takes all that differ by choice.
        metric: What is compared, at each run's end.
        rope: The largest difference that is practically none, as `params.width_of` reads it.

    Raises:
        InvalidInput: A field is no param, the region is none, or no run can be compared by this metric.
    """
    if problems := [*params.field_problems(by), *params.rope_problems(rope)]:
        raise InvalidInput(problems)
    left = {run.run_id: why for run in runs if (why := _reason(run, metric))}
    if all(run.run_id in left for run in runs):
        raise InvalidInput([_nothing(runs, left, metric)])
    trained = [run for run in runs if run.recipe_sha256 and not run.replay_of and run.status in _ENDED]
    spelled = [run.params for run in trained]
    chosen = params.choosing(spelled)
    growing = more_is_better(metric)
    width = params.width_of(rope) if rope is not None else None
    names = _tables([run for run in trained if run.run_id not in left])
    over = _over_tables(trained, left, tuple(dict.fromkeys(by)) or _within(trained, chosen), names, metric)
    if over is not None:
        fields, groups, members, common = over
        if width is not None and is_relative(metric) and not str(rope).endswith("%"):
            raise InvalidInput([f"rope is {rope}, but tables differ in unit: give percent. Try --rope 2%."])
        found = across(common, metric=metric, growing=growing, width=width)
        groups.sort(key=lambda group: found.ranks[group.label])
    else:
        fields, found = tuple(dict.fromkeys(by)) or tuple(chosen), None
        groups, members = grouped(trained, left, fields, metric)
    others = [name for name in chosen if name not in fields]
    return Comparison(
        metric=metric,
        more_is_better=growing,
        by=fields,
        groups=tuple(groups),
        pairs=tuple(paired(groups, members, others, metric=metric, growing=growing, width=width))
        if found is None
        else (),
        differ=params.differing(spelled),
        follow=tuple(params.following(spelled)),
        equal=params.equal(spelled),
        left_out=tuple(
            Left(run_id=run.run_id, name=run.name, why=left[run.run_id]) for run in runs if run.run_id in left
        ),
        notes=(*_not_counted(groups, found), *_notes(groups, members, others, metric)),
        over_tables=found,
    )


def _tables(runs: Sequence[Summary]) -> dict[tuple[str, str], str]:
    """The tables of some runs, each by a name that no other has."""
    found: dict[tuple[str, str], str] = {}
    for run in runs:
        name = run.params.get("data", "")
        is_taken = name in found.values() and rows_of(run) not in found
        found.setdefault(rows_of(run), f"{name} {run.table_sha256[:8]}" if is_taken else name)
    return found


def _within(runs: Sequence[Summary], chosen: Sequence[str]) -> tuple[str, ...]:
    """The fields that tell runs of one table apart, of some table at least."""
    by_table = gathered(runs, rows_of).values()
    return tuple(
        name for name in chosen if any(len({run.params.get(name) for run in some}) > 1 for some in by_table)
    )


def _over_tables(
    runs: Sequence[Summary],
    left: Mapping[str, str],
    fields: tuple[str, ...],
    names: Mapping[tuple[str, str], str],
    metric: str,
) -> tuple[tuple[str, ...], list[Group], Members, dict[str, dict[str, float]]] | None:
    """The groups that fields make of runs on several tables; None where these are not several.

    Returns:
        The fields, the groups, their members, and the values on the tables that count: that all groups have,
        in the same splits.
    """
    if len(names) < 2 or not fields or set(fields) & {"data", "target", "data_sha256"}:
        return None
    groups, members = grouped(runs, left, fields, metric, count=lambda run: names[rows_of(run)])
    groups = [group for group in groups if group.values]
    splits = [
        {
            (names[rows], frozenset(run.split_sha256 for run in some))
            for rows, some in gathered(members[group.label], rows_of).items()
        }
        for group in groups
    ]
    shared = {name for name, _ in set.intersection(*splits)} if splits else set()
    tables = [name for name in names.values() if name in shared]
    if len(groups) < 2 or len(tables) < 2:
        return None
    common = {group.label: {name: group.values[name] for name in tables} for group in groups}
    return fields, groups, members, common


def _not_counted(groups: Sequence[Group], found: Across | None) -> Iterator[str]:
    if found is None:
        return
    for name in dict.fromkeys(name for group in groups for name in group.values):
        if name not in found.tables:
            yield f"{name} does not count: not all groups have it, in the same splits."


def _reason(run: Summary, metric: str) -> str | None:
    """Why a run does not count; None where it does."""
    if run.replay_of:
        return f"it is a replay of {run.replay_of}"
    if run.recipe_sha256 is None:
        return "it trained no recipe"
    if run.pruned is not None:
        return "it was pruned"
    if run.status != "FINISHED":
        return _STATUS.get(run.status, f"it is {run.status}")
    if metric not in run.metrics:
        return f"it has no {metric}"
    value = run.metrics[metric]
    return None if abs(value) < _LARGEST else f"its {metric} is {value:g}"  # nan is not less either


def _nothing(runs: Sequence[Summary], left: Mapping[str, str], metric: str) -> str:
    finished = [run for run in runs if run.status == "FINISHED" and run.recipe_sha256 and not run.replay_of]
    if finished and not any(metric in run.metrics for run in finished):
        names = sorted({name for run in finished for name in run.metrics})
        return f"metric is {metric[:60]!r}, but no run has it. {name_among(metric, names)}"
    if not runs:
        return "There is no run to compare. Train some: reproven train."
    return f"No run can be compared: {_times(Counter(left.values()))}. Give runs that are FINISHED."


def _times(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {why}" for why, count in reasons.items())


def _notes(groups: Sequence[Group], members: Members, others: Sequence[str], metric: str) -> Iterator[str]:
    for group in groups:
        if lost := sum(group.lost.values()):
            total = f"{lost + len(group.run_ids)} runs"
            of_group = f" of {group.label}" if len(groups) > 1 else ""
            yield f"{lost} of {total}{of_group} do not count: {_times(group.lost)}."
    counted = [run for runs in members.values() for run in runs]
    by_table = [some for runs in members.values() for some in gathered(runs, rows_of).values()]
    together = [runs for some in by_table for runs in by_unit(some).values()]
    mixed = [n for n in others if any(len({run.params.get(n) for run in runs}) > 1 for runs in together)]
    if mixed:
        names = ", ".join(mixed)
        yield f"Runs of one group and seed that differ in {names} are averaged, so each seed counts once."
    repeated = [runs for runs in by_recipe(counted).values() if len(runs) > 1]
    if repeated:
        more = sum(len(runs) - 1 for runs in repeated)
        what = "run repeats" if more == 1 else "runs repeat"
        yield f"{more} {what} the recipe of another; each recipe counts once."
    if any(len({run.metrics[metric] for run in runs}) > 1 for runs in repeated):
        yield f"Runs of one recipe differ in {metric}; their mean counts. `reproven replay` says why."
    states = {
        "the code, which may differ too": {run.code for run in counted},
        "the user's own files, which differ": {run.own_sha256[:12] for run in counted},
    }
    for what, known in ((what, sorted(found - {""})) for what, found in states.items()):
        if len(known) > 1:
            yield f"The runs come from {len(known)} states of {what}: {', '.join(known)}."
