"""The comparison: runs in groups, each group's spread over seeds, and what equal seeds say about two groups.

Runs come in as plain values and a `Comparison` comes out; whoever has a store makes the former, and words,
figures and pages are made from the latter. What a number counts is a seed, never a run: a repeated recipe, or
several settings that a group does not tell apart, would otherwise make certainty out of nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

from reproven.comparisons import params, significance
from reproven.errors import InvalidInput, name_among
from reproven.training.data import BUNDLED
from reproven.values.metrics import more_is_better

ALPHA = 0.05
_LARGEST = 1e100  # of a value; SQLite keeps an infinite one as 1.8e308
_ENDED = ("FINISHED", "FAILED", "KILLED")
_STATUS = {
    "FAILED": "it failed",
    "KILLED": "it was stopped before its end",
    "RUNNING": "it is still running",
    "SCHEDULED": "it has not begun",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A run that may be compared.

    Attributes:
        run_id: Its id.
        name: Its name.
        status: FINISHED, FAILED, KILLED, RUNNING or SCHEDULED.
        params: In their one spelling, as `params.canonical` makes it.
        metrics: The last value of each.
        recipe: Digest of its recipe; None where it trained none.
        split: Digest of the rows for training and testing.
        table: Digest of its table.
        commit: The commit of its code, marked where it differed.
        replay_of: The run that it replays; None where it is no replay.
        is_pruned: Whether a sweep stopped it.
    """

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    recipe: str | None
    split: str
    table: str
    commit: str
    replay_of: str | None = None
    is_pruned: bool = False

    @property
    def unit(self) -> str:
        """What pairs it with a run of another group: its seed, a stroke, and the seed of its split."""
        seed = self.params.get("seed", params.NOTHING)
        return f"{seed}/{self.params.get('split_seed', seed)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Runs that the fields do not tell apart.

    Attributes:
        label: What it is called.
        fields: The value of each field.
        run_ids: The runs that count, oldest first.
        lost: How many more have ended and do not count, by the reason.
        values: The metric by seed, as `seed/split_seed`; of several runs with one seed their mean.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two groups, compared on the seeds that both have.

    Attributes:
        a: A group's label; likewise `b`.
        differences: The metric of a minus that of b, by seed.
        mean: Mean difference; None where the groups share no seed.
        sd: The sample's standard deviation of the differences; None of one.
        low: Lower end of the 95 % interval of the mean difference; likewise `high`.
        p: Of the sign-flip test; `p_corrected` for the number of comparisons; None of fewer than two seeds.
        least: The least corrected p that so many seeds could have given beside the other comparisons.
        is_exact: Whether every assignment of signs was counted.
        better: The label of the group that is better by the test; None where no difference was found.
        also: Params that the groups' runs differ in beside the fields.
        refusal: Why the groups cannot be paired; None where they can.
    """

    a: str
    b: str
    differences: Mapping[str, float]
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    least: float | None = None
    is_exact: bool = True
    better: str | None = None
    also: tuple[str, ...] = ()
    refusal: str | None = None


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

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def of(candidates: Sequence[Candidate], *, by: Sequence[str] = (), metric: str = "test_rmse") -> Comparison:
    """Compares runs.

    Args:
        candidates: The runs, oldest first.
        by: The params that tell groups apart; none takes all that differ by choice.
        metric: What is compared, at each run's end.

    Raises:
        InvalidInput: A field is no param, or no run can be compared by this metric.
    """
    if problems := params.field_problems(by):
        raise InvalidInput(problems)
    left = {c.run_id: why for c in candidates if (why := _reason(c, metric))}
    counted = [c for c in candidates if c.run_id not in left]
    if not counted:
        raise InvalidInput([_nothing(candidates, left, metric)])
    trained = [c for c in candidates if c.recipe and not c.replay_of and c.status in _ENDED]
    spelled = [c.params for c in trained]
    chosen = params.choosing(spelled)
    fields = tuple(dict.fromkeys(by)) or tuple(chosen)
    growing = more_is_better(metric)
    together = _groups(trained, left, fields, metric)
    groups = sorted((group for group, _ in together), key=lambda group: _rank(group, growing=growing))
    members = {group.label: runs for group, runs in together}
    others = [name for name in chosen if name not in fields]
    pairs = _tested([_pair(a, b, members, others) for a, b in combinations(groups, 2)], growing=growing)
    return Comparison(
        metric=metric,
        more_is_better=growing,
        by=fields,
        groups=tuple(groups),
        pairs=tuple(pairs),
        differ=params.differing(spelled),
        follow=tuple(params.following(spelled)),
        equal=params.equal(spelled),
        left_out=tuple(
            Left(run_id=c.run_id, name=c.name, why=left[c.run_id]) for c in candidates if c.run_id in left
        ),
        notes=tuple(_notes(groups, counted, others, metric)),
    )


def _reason(run: Candidate, metric: str) -> str | None:
    """Why a run does not count; None where it does."""
    if run.replay_of:
        return f"it is a replay of {run.replay_of}"
    if run.recipe is None:
        return "it trained no recipe"
    if run.is_pruned:
        return "it was pruned"
    if run.status != "FINISHED":
        return _STATUS.get(run.status, f"it is {run.status}")
    if metric not in run.metrics:
        return f"it has no {metric}"
    value = run.metrics[metric]
    return None if abs(value) < _LARGEST else f"its {metric} is {value:g}"  # nan is not less either


def _nothing(candidates: Sequence[Candidate], left: Mapping[str, str], metric: str) -> str:
    finished = [c for c in candidates if c.status == "FINISHED" and c.recipe and not c.replay_of]
    if finished and not any(metric in c.metrics for c in finished):
        names = sorted({name for c in finished for name in c.metrics})
        return f"metric is {metric[:60]!r}, but no run has it. {name_among(metric, names)}"
    if not candidates:
        return "There is no run to compare. Train some: reproven train."
    return f"No run can be compared: {_times(Counter(left.values()))}. Give runs that are FINISHED."


def _times(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {why}" for why, count in reasons.items())


def _groups(
    trained: Sequence[Candidate], left: Mapping[str, str], fields: Sequence[str], metric: str
) -> list[tuple[Group, list[Candidate]]]:
    """The groups, each with its runs that count."""
    members: dict[tuple[str | None, ...], list[Candidate]] = {}
    for run in trained:
        members.setdefault(tuple(run.params.get(name) for name in fields), []).append(run)
    telling = [name for place, name in enumerate(fields) if len({key[place] for key in members}) > 1]
    found: list[tuple[Group, list[Candidate]]] = []
    named = Counter[str]()
    for runs in members.values():
        counted = [run for run in runs if run.run_id not in left]
        values = {unit: _value(some, metric) for unit, some in by_unit(counted).items()}
        numbers = list(values.values())
        label = params.label(runs[0].params, telling or fields)
        named[label] += 1
        group = Group(
            label=label if named[label] == 1 else f"{label} #{named[label]}",  # long values are cut
            fields={name: runs[0].params.get(name, params.NOTHING) for name in fields},
            run_ids=tuple(run.run_id for run in counted),
            lost=dict(Counter(left[run.run_id] for run in runs if run.run_id in left)),
            values=values,
            mean=math.fsum(numbers) / len(numbers) if numbers else None,
            sd=significance.deviation(numbers),
            low=min(numbers, default=None),
            high=max(numbers, default=None),
        )
        found.append((group, counted))
    return found


def by_unit(runs: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    """Runs by their seeds."""
    found: dict[str, list[Candidate]] = {}
    for run in runs:
        found.setdefault(run.unit, []).append(run)
    return found


def _value(runs: Sequence[Candidate], metric: str) -> float:
    """The one value of a seed: the mean over its recipes, each of which counts once."""
    by_recipe: dict[str | None, list[float]] = {}
    for run in runs:
        by_recipe.setdefault(run.recipe, []).append(run.metrics[metric])
    return _mean([_mean(values) for values in by_recipe.values()])


def _mean(values: Sequence[float]) -> float:
    """The mean; of equal values that very value, to the bit."""
    return values[0] if len(set(values)) == 1 else math.fsum(values) / len(values)


def _rank(group: Group, *, growing: bool) -> tuple[bool, float, str]:
    mean = 0.0 if group.mean is None else group.mean
    return (group.mean is None, -mean if growing else mean, group.label)


def _pair(a: Group, b: Group, members: Mapping[str, Sequence[Candidate]], others: Sequence[str]) -> Pair:
    """Two groups' differences on the seeds that they share, if each seed's rows are the same in both."""
    left, right = by_unit(members[a.label]), by_unit(members[b.label])
    shared = [unit for unit in a.values if unit in b.values]
    empty = [group.label for group in (a, b) if not group.values]
    refusal = f"no run of {empty[0]} counts" if empty else None if shared else "they share no seed"
    for unit in shared:
        runs = [*left[unit], *right[unit]]
        for what, values in (("tables", map(_rows, runs)), ("splits", (run.split for run in runs))):
            if refusal is None and len(set(values)) > 1:
                refusal = f"their {what} differ at seed {unit.partition('/')[0]}"
    if refusal:
        return Pair(a=a.label, b=b.label, differences={}, refusal=refusal)
    differences = {unit: a.values[unit] - b.values[unit] for unit in shared}
    numbers = list(differences.values())
    low, high = significance.interval(numbers) or (None, None)
    return Pair(
        a=a.label,
        b=b.label,
        differences=differences,
        mean=math.fsum(numbers) / len(numbers),
        sd=significance.deviation(numbers),
        low=low,
        high=high,
        also=tuple(name for name in others if _differs(name, left, right, shared)),
    )


def _rows(run: Candidate) -> tuple[str, str]:
    """What tells a table's rows and target: of a bundled one its name, whatever columns are left out."""
    name = run.params.get("data", "")
    return (name, run.params.get("target", "")) if name in BUNDLED else ("", run.table)


def _differs(
    name: str,
    left: Mapping[str, Sequence[Candidate]],
    right: Mapping[str, Sequence[Candidate]],
    shared: Sequence[str],
) -> bool:
    return any(
        {run.params.get(name) for run in left[unit]} != {run.params.get(name) for run in right[unit]}
        for unit in shared
    )


def _tested(pairs: Sequence[Pair], *, growing: bool) -> list[Pair]:
    """The pairs with their p-values, corrected for how many of them there are."""
    tests = {
        place: significance.sign_flips(list(pair.differences.values()))
        for place, pair in enumerate(pairs)
        if len(pair.differences) > 1
    }
    raw = [test.p for test in tests.values()]
    found = list(pairs)
    for number, ((place, test), p) in enumerate(zip(tests.items(), significance.corrected(raw), strict=True)):
        pair = pairs[place]
        least = significance.corrected([*raw[:number], test.least, *raw[number + 1 :]])[number]
        better = None
        if p < ALPHA and pair.mean:
            better = pair.a if (pair.mean > 0) == growing else pair.b
        about: Any = {"is_exact": test.is_exact, "better": better}
        found[place] = replace(pair, p=test.p, p_corrected=p, least=least, **about)
    return found


def _notes(
    groups: Sequence[Group], counted: Sequence[Candidate], others: Sequence[str], metric: str
) -> Iterator[str]:
    for group in groups:
        if lost := sum(group.lost.values()):
            total = f"{lost + len(group.run_ids)} runs"
            of_group = f" of {group.label}" if len(groups) > 1 else ""
            yield f"{lost} of {total}{of_group} do not count: {_times(group.lost)}."
    together = list(_in_groups(groups, counted))
    mixed = [n for n in others if any(len({run.params.get(n) for run in runs}) > 1 for runs in together)]
    if mixed:
        names = ", ".join(mixed)
        yield f"Runs of one group and seed that differ in {names} are averaged, so each seed counts once."
    repeated = [runs for runs in _by_recipe(counted).values() if len(runs) > 1]
    if repeated:
        more = sum(len(runs) - 1 for runs in repeated)
        what = "run repeats" if more == 1 else "runs repeat"
        yield f"{more} {what} the recipe of another; each recipe counts once."
    if any(len({run.metrics[metric] for run in runs}) > 1 for runs in repeated):
        yield f"Runs of one recipe differ in {metric}; their mean counts. `reproven replay` says why."
    commits = sorted({run.commit for run in counted if run.commit})
    if len(commits) > 1:
        states = ", ".join(commits)
        yield f"The runs come from {len(commits)} states of the code, which may differ too: {states}."


def _in_groups(groups: Sequence[Group], counted: Sequence[Candidate]) -> Iterable[list[Candidate]]:
    """The runs of each group and seed."""
    by_id = {run.run_id: run for run in counted}
    for group in groups:
        yield from by_unit(by_id[run_id] for run_id in group.run_ids).values()


def _by_recipe(runs: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for run in runs:
        found.setdefault(str(run.recipe), []).append(run)
    return found
