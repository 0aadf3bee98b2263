"""Pairs: what the seeds that two groups share say about the two, if each seed's rows are the same in both.

They are asked two questions. On this table: given its rows, do the two differ? For new data like it: would
they on other rows? The second needs splits that differ, and a test that knows what these share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from reproven.comparisons import significance
from reproven.comparisons.groups import Group, Members, by_unit, gathered
from reproven.comparisons.significance import Practical
from reproven.recipes.choices import BUNDLED
from reproven.store.summary import Summary

ALPHA = 0.05
#: What a metric's name begins with, and the part that it is measured on, by MLflow's word for it.
_PARTS = {"test_": "testing", "validation_": "validation"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a test says to one of the two questions.

    Attributes:
        low: Lower end of the 95 % interval of the mean difference; likewise `high`.
        high: Its upper end.
        p: Two-sided p-value; `p_corrected` for the number of comparisons.
        p_corrected: None of groups that are equal to the bit.
        least: The least corrected p that so many seeds could have given beside the other comparisons.
        is_exact: Whether p was counted or computed, and not drawn.
        better: The label of the group that is better by the test; None where no difference was found.
    """

    low: float
    high: float
    p: float
    p_corrected: float | None = None
    least: float = 0.0
    is_exact: bool = True
    better: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two groups, compared on the seeds that both have.

    Attributes:
        a: A group's label; likewise `b`.
        differences: The metric of a minus that of b, by seed.
        counts_as: The first groups that are equal to a and to b to the bit, sorted: pairs that have the same
            are one comparison.
        mean: Mean difference; None where the groups share no seed.
        sd: The sample's standard deviation of the differences; None of one.
        by_split: The mean of the differences of each split that the seeds have.
        ratio: Rows that are tested on, divided by those trained on; None where the store does not say.
        on_table: Given this table's rows, and where all seeds share one split, given that; None of one seed.
        on_new_data: For new data like this; None where all seeds share one split.
        practical: How probable a difference on new data is that matters, above for a; None where nobody
            asked.
        needed: Splits that would tell a difference of this size on new data; None where no number would.
        also: Params that the groups' runs differ in beside the fields.
        refusal: Why the groups cannot be paired; None where they can.
    """

    a: str
    b: str
    differences: Mapping[str, float]
    counts_as: tuple[str, ...] = ()
    mean: float | None = None
    sd: float | None = None
    by_split: tuple[float, ...] = ()
    ratio: float | None = None
    on_table: Answer | None = None
    on_new_data: Answer | None = None
    practical: Practical | None = None
    needed: int | None = None
    also: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def answer(self) -> Answer | None:
        """To the question that matters: of new data where splits differ, else of this split."""
        return self.on_new_data or self.on_table

    @property
    def better(self) -> str | None:
        """The label of the group that is better by that; None where no difference was found."""
        return self.answer.better if self.answer else None

    @property
    def is_equal(self) -> bool:
        """Whether the two are equal to the bit."""
        return not any(self.differences.values())


def comparisons(pairs: Iterable[Pair]) -> int:
    """How many comparisons some pairs are: such as were tested, each once."""
    return len({pair.counts_as for pair in pairs if pair.answer is not None and not pair.is_equal})


def paired(
    groups: Sequence[Group],
    members: Members,
    others: Sequence[str],
    *,
    metric: str,
    growing: bool,
    width: Callable[[float], float] | None = None,
) -> list[Pair]:
    """Every two groups, in the groups' order, tested.

    Args:
        groups: The groups.
        members: The runs of each that count.
        others: The params, beside those that tell groups apart, that differ by choice.
        metric: What is compared.
        growing: Whether more of it is better.
        width: From the size of the metric to the largest difference that is practically none.
    """
    first = {group.label: next(one.label for one in groups if one.values == group.values) for group in groups}
    found = [
        replace(
            _pair(a, b, members, others, metric), counts_as=tuple(sorted((first[a.label], first[b.label])))
        )
        for a, b in combinations(groups, 2)
    ]
    if width is not None:
        found = [
            _weighed(pair, width(_size(a, b, pair)), growing=growing)
            for pair, (a, b) in zip(found, combinations(groups, 2), strict=True)
        ]
    for question in ("on_table", "on_new_data"):
        found = _corrected(found, question, growing=growing)
    return found


def _pair(
    a: Group,
    b: Group,
    members: Members,
    others: Sequence[str],
    metric: str,
) -> Pair:
    """Two groups' differences on the seeds that they share, if each seed's rows are the same in both."""
    left, right = by_unit(members[a.label]), by_unit(members[b.label])
    shared = [unit for unit in a.values if unit in b.values]
    runs = {unit: [*left[unit], *right[unit]] for unit in shared}
    if refusal := _refusal(a, b, runs):
        return Pair(a=a.label, b=b.label, differences={}, refusal=refusal)
    differences = {unit: a.values[unit] - b.values[unit] for unit in shared}
    of_split = gathered(shared, lambda unit: runs[unit][0].split_sha256)
    means = [significance.mean([differences[unit] for unit in units]) for units in of_split.values()]
    pair = Pair(
        a=a.label,
        b=b.label,
        differences=differences,
        mean=significance.mean(list(differences.values())),
        sd=significance.deviation(list(differences.values())),
        by_split=tuple(means),
        ratio=_ratio([run for unit in shared for run in runs[unit]], metric),
        on_table=_on_table(list(differences.values())),
        also=tuple(name for name in others if _differs(name, left, right, shared)),
    )
    if pair.ratio is None or len(means) < 2:
        return pair
    found = significance.resampled(means, pair.ratio)
    spread = significance.deviation(means) or 0.0
    return replace(
        pair,
        on_new_data=Answer(low=found.low, high=found.high, p=found.p),
        needed=significance.splits_needed(found.mean, spread, pair.ratio, ALPHA) if found.mean else None,
    )


def _size(a: Group, b: Group, pair: Pair) -> float:
    """How large the metric is over the seeds that are paired."""
    values = [abs(group.values[unit]) for group in (a, b) for unit in pair.differences]
    return significance.mean(values) if values else 0.0


def _weighed(pair: Pair, width: float, *, growing: bool) -> Pair:
    if pair.on_new_data is None or pair.ratio is None:
        return pair
    gains = [one if growing else -one for one in pair.by_split]
    return replace(pair, practical=significance.practical(gains, pair.ratio, width))


def _on_table(differences: Sequence[float]) -> Answer | None:
    differences = sorted(differences)  # in whatever order the runs ended
    ends = significance.interval(differences)
    if ends is None:
        return None
    test = significance.sign_flips(differences)
    return Answer(low=ends[0], high=ends[1], p=test.p, least=test.least, is_exact=test.is_exact)


def _ratio(runs: Sequence[Summary], metric: str) -> float | None:
    """Rows that the metric is measured on, divided by those trained on."""
    part = next((part for start, part in _PARTS.items() if metric.startswith(start)), "")
    measured = [run.rows.get(part, 0) for run in runs]
    trained = [run.rows.get("training", 0) for run in runs]
    return sum(measured) / sum(trained) if all(measured) and all(trained) else None


def _refusal(a: Group, b: Group, shared: Mapping[str, Sequence[Summary]]) -> str | None:
    """Why two groups cannot be paired; None where they can.

    Args:
        a: A group; likewise `b`.
        b: The other.
        shared: The runs of both, by the seeds that both have.
    """
    if empty := [group.label for group in (a, b) if not group.values]:
        return f"no run of {empty[0]} counts"
    if not shared:
        return "they share no seed"
    for unit, runs in shared.items():
        for what, values in (("tables", map(rows_of, runs)), ("splits", (run.split_sha256 for run in runs))):
            if len(set(values)) > 1:
                return f"their {what} differ at seed {unit.partition('/')[0]}"
    return None


def rows_of(run: Summary) -> tuple[str, str]:
    """What tells a table's rows and target: of a bundled one its name, whatever columns are left out."""
    name = run.params.get("data", "")
    return (name, run.params.get("target", "")) if name in BUNDLED else ("", run.table_sha256)


def _differs(
    name: str,
    left: Mapping[str, Sequence[Summary]],
    right: Mapping[str, Sequence[Summary]],
    shared: Sequence[str],
) -> bool:
    return any(
        {run.params.get(name) for run in left[unit]} != {run.params.get(name) for run in right[unit]}
        for unit in shared
    )


def _corrected(pairs: Sequence[Pair], question: str, *, growing: bool) -> list[Pair]:
    """The pairs with the p-values of a question corrected for how many of them ask it, and what is better.

    Groups that are equal to the bit need no test, and count for none; pairs of such groups with another are
    one comparison.
    """
    asking = [pair for pair in pairs if not pair.is_equal and getattr(pair, question) is not None]
    raw = {pair.counts_as: getattr(pair, question).p for pair in asking}
    p_corrected = dict(zip(raw, significance.corrected(list(raw.values())), strict=True))
    found = list(pairs)
    for place, pair in enumerate(pairs):
        if pair not in asking:
            continue
        answer, p = getattr(pair, question), p_corrected[pair.counts_as]
        lucky = raw | {pair.counts_as: answer.least}
        least = significance.corrected(list(lucky.values()))[list(lucky).index(pair.counts_as)]
        better = None
        if p < ALPHA and pair.mean:
            better = pair.a if (pair.mean > 0) == growing else pair.b
        found[place] = replace(pair, **{question: replace(answer, p_corrected=p, least=least, better=better)})
    return found
