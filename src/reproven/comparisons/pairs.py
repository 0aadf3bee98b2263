"""Pairs: what the seeds that two groups share say about the two, if each seed's rows are the same in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from reproven.comparisons import significance
from reproven.comparisons.groups import Group, Members, by_unit
from reproven.recipes.choices import BUNDLED
from reproven.store.summary import Summary

ALPHA = 0.05


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


def paired(groups: Sequence[Group], members: Members, others: Sequence[str], *, growing: bool) -> list[Pair]:
    """Every two groups, in the groups' order, tested.

    Args:
        groups: The groups.
        members: The runs of each that count.
        others: The params, beside those that tell groups apart, that differ by choice.
        growing: Whether more of the metric is better.
    """
    return _tested([_pair(a, b, members, others) for a, b in combinations(groups, 2)], growing=growing)


def _pair(a: Group, b: Group, members: Members, others: Sequence[str]) -> Pair:
    """Two groups' differences on the seeds that they share, if each seed's rows are the same in both."""
    left, right = by_unit(members[a.label]), by_unit(members[b.label])
    shared = [unit for unit in a.values if unit in b.values]
    if refusal := _refusal(a, b, {unit: [*left[unit], *right[unit]] for unit in shared}):
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
        for what, values in (("tables", map(_rows, runs)), ("splits", (run.split_sha256 for run in runs))):
            if len(set(values)) > 1:
                return f"their {what} differ at seed {unit.partition('/')[0]}"
    return None


def _rows(run: Summary) -> tuple[str, str]:
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
