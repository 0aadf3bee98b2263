"""Across tables: what groups come to on several tables, one number a table and group; a seed is no table.

The tables are what the tests count, and each is the mean over its seeds. Errors in the target's own unit are
compared by their ratio to the mean of both, so that no table outweighs another by its unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from reproven.comparisons import significance
from reproven.comparisons.pairs import ALPHA
from reproven.comparisons.significance import Practical
from reproven.values.amounts import chance, significant

_IN_UNIT = ("rmse", "mae")
_SAMPLES = 50_000
_STRENGTH = 0.5  # of the prior, as one table on which the two are alike
MOST = 10  # sentences in a row that somebody reads
#: What the numbers mean, and how they were made, with sources.
EXPLANATION = (
    "Each table is one number of a group, the mean over its seeds; rank 1 is the best on a table. p is of "
    "the Wilcoxon signed-rank test over tables, two-sided, corrected for the number of pairs (Holm)."
)
METHOD = [
    "Runs on several tables are compared over tables: one number a table and group, its mean over the seeds. "
    "A table counts where all groups have it, in the same splits. A seed never counts as a table.",
    "Pairs are tested by Wilcoxon's signed-rank test of the differences, of an error in the target's unit "
    "relative to the mean of both, and corrected by Holm's method; the Friedman test asks whether all groups "
    "are alike (Demšar 2006, JMLR 7, 1; that pairs are told apart by Wilcoxon's test and not by ranks: "
    "Benavoli, Corani & Mangili 2016, JMLR 17, 5). n tables cannot give a p under 2/2ⁿ.",
    "How probable a difference is that matters (--rope): the Bayesian signed-rank test (Benavoli, Corani, "
    "Demšar & Zaffalon 2017, JMLR 18, 77).",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class OverTables:
    """Two groups over the tables that all have.

    Attributes:
        a: A group's label; likewise `b`.
        differences: The metric of a minus that of b, by table; relative to their mean of an error that is in
            the target's unit.
        better_on: On how many tables a is the better, and on how many b.
        p: Of the Wilcoxon signed-rank test; None of groups that are equal to the bit.
        p_corrected: For the number of pairs.
        least: The least corrected p that so many tables could have given.
        better: The label of the group that is better by the test; None where no difference was found.
        practical: By the Bayesian signed-rank test, above for a; None where nobody asked.
    """

    a: str
    b: str
    differences: Mapping[str, float]
    better_on: tuple[int, int]
    p: float | None = None
    p_corrected: float | None = None
    least: float | None = None
    better: str | None = None
    practical: Practical | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Across:
    """Groups over several tables.

    Attributes:
        tables: Their names.
        ranks: The mean rank of each group, by its label; 1 is the best on every table.
        friedman: p-value of the Friedman test that all are alike; None of fewer than three groups.
        pairs: Every two groups.
        is_relative: Whether differences are relative to the mean of both.
    """

    tables: tuple[str, ...]
    ranks: Mapping[str, float]
    friedman: float | None
    pairs: tuple[OverTables, ...]
    is_relative: bool


def is_relative(metric: str) -> bool:
    """Whether a metric is in the target's unit, which other tables do not share."""
    return metric.rpartition("_")[2] in _IN_UNIT


def across(
    values: Mapping[str, Mapping[str, float]],
    *,
    metric: str,
    growing: bool,
    width: Callable[[float], float] | None = None,
) -> Across:
    """Compares groups over tables.

    Args:
        values: The metric by table, by the groups' labels; all have the same tables, two at least.
        metric: What is compared.
        growing: Whether more of it is better.
        width: From the size of the metric to the largest difference that is practically none.

    Source: Demšar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7; that pairs
        are tested by Wilcoxon's test and not by mean ranks: Benavoli, Corani & Mangili (2016), JMLR 17.
    """
    tables = tuple(next(iter(values.values())))
    matrix = np.array([[one[table] for table in tables] for one in values.values()])
    ranks = stats.rankdata(-matrix if growing else matrix, axis=0).mean(axis=1)
    relative = is_relative(metric)
    differences = {
        (a, b): {table: _difference(values[a][table], values[b][table], relative) for table in tables}
        for a, b in combinations(values, 2)
    }
    tested = {pair: _wilcoxon(list(found.values())) for pair, found in differences.items()}
    asked = {pair: p for pair, p in tested.items() if p is not None}
    corrected = dict(zip(asked, significance.corrected(list(asked.values())), strict=True))
    least = min(1.0, 2 / 2 ** len(tables) * len(asked))
    size = 1.0 if relative else float(np.abs(matrix).mean())
    return Across(
        tables=tables,
        ranks=dict(zip(values, ranks.tolist(), strict=True)),
        friedman=float(stats.friedmanchisquare(*matrix).pvalue) if len(values) > 2 else None,
        pairs=tuple(
            _pair(pair, found, tested[pair], corrected.get(pair), least, growing, width and width(size))
            for pair, found in differences.items()
        ),
        is_relative=relative,
    )


def _difference(a: float, b: float, relative: bool) -> float:
    mean = (abs(a) + abs(b)) / 2
    return (a - b) / mean if relative and mean else a - b


def _wilcoxon(differences: list[float]) -> float | None:
    """The two-sided p-value of Wilcoxon's signed-rank test; tables without a difference are left out."""
    return float(stats.wilcoxon(differences).pvalue) if any(differences) else None


def _pair(
    names: tuple[str, str],
    differences: Mapping[str, float],
    p: float | None,
    corrected: float | None,
    least: float,
    growing: bool,
    width: float | None,
) -> OverTables:
    gains = [one if growing else -one for one in differences.values()]
    better = None
    if corrected is not None and corrected < ALPHA:
        ranked = stats.rankdata(np.abs(gains)) * np.sign(gains)
        better = names[0] if ranked.sum() > 0 else names[1]
    return OverTables(
        a=names[0],
        b=names[1],
        differences=differences,
        better_on=(sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)),
        p=p,
        p_corrected=corrected,
        least=None if p is None else least,
        better=better,
        practical=None if width is None else signed_rank(gains, width),
    )


def signed_rank(differences: list[float], width: float) -> Practical:
    """The Bayesian signed-rank test: how probable it is that the median difference matters.

    The tables' weights are Dirichlet, with a prior of one table without a difference that counts half; of
    each of 50,000 draws, the outcome that most pairs of tables speak for counts.

    Args:
        differences: One a table.
        width: The largest difference that is practically none.

    Source: Benavoli, Corani, Demšar & Zaffalon (2017), Time for a change: a tutorial for comparing multiple
        classifiers through Bayesian analysis, JMLR 18, section 4.2.
    """
    z = np.array([0.0, *differences])
    sums = z[:, None] + z[None, :]
    regions = [sums < -2 * width, np.abs(sums) <= 2 * width, sums > 2 * width]
    rng = np.random.default_rng(significance.RANDOM_SEED)
    weights = rng.dirichlet([_STRENGTH, *np.ones(len(differences))], size=_SAMPLES)
    speaking = np.stack([np.einsum("di,ij,dj->d", weights, region * 1.0, weights) for region in regions])
    below, within, above = np.bincount(speaking.argmax(axis=0), minlength=3) / _SAMPLES
    return Practical(below=float(below), within=float(within), above=float(above), width=width)


def sentences(found: Across, metric: str) -> list[str]:
    """What several tables say together of every two groups, ten of them at most."""
    said = [_said(pair, found, metric) for pair in found.pairs[:MOST]]
    if more := len(found.pairs) - len(said):
        said.append(f"{more} more pairs (--json has all)")
    if found.friedman is not None:
        tables = f"over {len(found.tables)} tables"
        said.insert(0, f"{tables}, that all groups are alike: {chance(found.friedman)} (Friedman)")
    return said


def _said(pair: OverTables, found: Across, metric: str) -> str:
    over, (a, b) = f"over {len(found.tables)} tables", pair.better_on
    if pair.p_corrected is None or pair.least is None:
        return f"{over}, {pair.a} and {pair.b} have the same {metric} to the bit"
    p = chance(pair.p_corrected)
    if pair.better is not None:
        worse, won = (pair.b, a) if pair.better == pair.a else (pair.a, b)
        said = f"{over}, {pair.better} beats {worse}: it is better on {won}, {p}"
    elif pair.least >= ALPHA:
        least = f"with {len(found.tables)} the least p is {significant(pair.least)}"
        said = f"too few tables to tell {pair.a} from {pair.b}: {least}, {p}"
    else:
        said = f"{over}, no difference was found between {pair.a} (better on {a}) and {pair.b} (on {b}), {p}"
    practical = pair.practical
    if practical is None:
        return said
    shares = (significant(share) for share in (practical.above, practical.within, practical.below))
    a_better, same, b_better = shares
    width = f"{100 * practical.width:.3g} %" if found.is_relative else f"{practical.width:.3g}"
    return (
        f"{said}; where ±{width} is practically none, {pair.a} is better on a new table with probability "
        f"{a_better}, {pair.b} with {b_better}, neither with {same}"
    )
