"""What a comparison says, in words and in a table of texts; the same for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reproven.comparisons.groups import Group
from reproven.comparisons.overview import Comparison
from reproven.comparisons.pairs import ALPHA, Pair
from reproven.comparisons.params import NOTHING, shown
from reproven.comparisons.significance import LARGEST_EXACT, RANDOM_SIGNS, RESAMPLES
from reproven.values.metrics import is_of_validation

_MOST = 10  # sentences in a row that somebody reads
_LEAST_SHOWN = 0.0001


def title(comparison: Comparison) -> str:
    """What is compared, in a line."""
    seeds = {unit for group in comparison.groups for unit in group.values}
    runs = sum(len(group.run_ids) for group in comparison.groups)
    groups = _count(len(comparison.groups), "group")
    within = f" in {groups}, {_count(len(seeds), 'seed')}" if len(comparison.groups) > 1 else ""
    return f"{comparison.metric} of {_count(runs, 'run')}{within}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def table(comparison: Comparison) -> list[tuple[str, ...]]:
    """A header, and a row for each group: its runs, its seeds, and the metric over them."""
    header = ("group", "runs", "seeds", comparison.metric, "min", "max")
    return [header, *(_row(group) for group in comparison.groups)]


def _row(group: Group) -> tuple[str, ...]:
    runs = len(group.run_ids)
    of_all = f" of {runs + sum(group.lost.values())}" if group.lost else ""
    counts = (group.label, f"{runs}{of_all}", str(len(group.values)))
    if group.mean is None or group.low is None or group.high is None:
        return (*counts, NOTHING, NOTHING, NOTHING)
    places = max(0, _places(group.sd, group.mean))
    ends = (number(group.low, places), number(group.high, places))
    return (*counts, amount(group.mean, group.sd), *ends)


def sentences(comparison: Comparison) -> list[str]:
    """What the pairs say, those of the best group first, ten of them at most; and how many more there are."""
    if len(comparison.groups) == 1:
        return [_alone(comparison.groups[0], comparison.metric)]
    best, pairs, found = comparison.groups[0].label, list(comparison.pairs), []
    open_pairs = [pair for pair in pairs if _is_hopeless(pair)]
    if len(open_pairs) > 1 and len(open_pairs) == sum(_is_open(pair) for pair in pairs):
        found.append(_too_few(comparison, open_pairs))
        pairs = [pair for pair in pairs if pair not in open_pairs]
    pairs.sort(key=lambda pair: best not in (pair.a, pair.b))
    found += [sentence(pair, comparison.metric) for pair in pairs[:_MOST]]
    if more := pairs[_MOST:]:
        apart = sum(pair.better is not None for pair in more)
        found.append(f"{len(more)} more pairs, in {apart} of which a difference was found (--json has all)")
    return found


def _is_open(pair: Pair) -> bool:
    """Whether a pair was tested, and is not equal to the bit."""
    return pair.p is not None and any(pair.differences.values())


def _is_hopeless(pair: Pair) -> bool:
    """Whether no outcome of a pair's test could have been told from chance."""
    return _is_open(pair) and pair.better is None and pair.least is not None and pair.least >= ALPHA


def _too_few(comparison: Comparison, pairs: Sequence[Pair]) -> str:
    most = max(len(pair.differences) for pair in pairs)
    tests = sum(pair.p is not None for pair in comparison.pairs)
    needed = next(n for n in range(1, 99) if tests * 2 / 2**n < ALPHA)
    least = significant(min(1.0, tests * 2 / 2**most))
    return (
        f"too few seeds to tell any group from another: with {most} seeds and {tests} comparisons the least "
        f"corrected p is {least}; give at least {needed} seeds, or compare fewer groups"
    )


def _alone(group: Group, metric: str) -> str:
    number_of = _count(len(group.values), "seed")
    mean = NOTHING if group.mean is None else amount(group.mean, group.sd)
    return f"one group, so nothing to compare it with: {metric} is {mean} over {number_of}"


def sentence(pair: Pair, metric: str) -> str:
    """What two groups' paired differences say."""
    also = f"; they differ in {', '.join(pair.also)} too" if pair.also else ""
    return f"{_said(pair, metric)}{also}"


def _said(pair: Pair, metric: str) -> str:
    if pair.refusal or pair.mean is None:
        return f"{pair.a} and {pair.b} are not paired: {pair.refusal}"
    over = _count(len(pair.differences), "seed")
    if not any(pair.differences.values()):
        return f"{pair.a} and {pair.b} have the same {metric} to the bit over {over}"
    within = f"95 % interval {interval(pair, 1)}" if pair.low is not None else "no interval"
    found = f"mean difference {amount(pair.mean, pair.sd)} {metric}, {within}"
    if pair.p is None or pair.p_corrected is None or pair.least is None:
        return f"{pair.a} and {pair.b} share 1 seed, so nothing can be tested ({found})"
    p = chance(pair.p_corrected)
    if pair.better is not None:
        worse = pair.b if pair.better == pair.a else pair.a
        within = f"95 % interval {interval(pair, 1 if pair.mean > 0 else -1)}"
        by = f"{amount(abs(pair.mean), pair.sd)} {metric}"
        return f"{pair.better} beats {worse} by {by} over {over} ({within}), {p}"
    if _is_hopeless(pair):
        least = f"with {len(pair.differences)} the least p is {significant(pair.least)}"
        return f"too few seeds to tell {pair.a} from {pair.b}: {least} ({found}), {p}"
    return f"no difference found between {pair.a} and {pair.b} over {over} ({found}), {p}"


def interval(pair: Pair, sign: int) -> str:
    """The ends of a pair's interval; None are none.

    Args:
        pair: The pair.
        sign: 1, or −1 to turn the difference around.
    """
    if pair.low is None or pair.high is None:
        return ""
    low, high = sorted((sign * pair.low, sign * pair.high))
    places = _places(pair.sd, pair.mean or 0.0)
    return f"{number(low, places)} to {number(high, places)}"


def explanation(comparison: Comparison) -> str:
    """What the numbers mean, so that none can be taken for another."""
    better = "More" if comparison.more_is_better else "Less"
    meaning = (
        f"{better} {comparison.metric} is better; ± is the standard deviation over seeds, "
        "in a pair that of the paired differences."
    )
    if is_of_validation(comparison.metric):
        meaning += (
            " Who chooses by validation rows leaves the test rows out: these then give an honest estimate of "
            "what is chosen, as the validation rows do not."
        )
    tests = [pair for pair in comparison.pairs if pair.p is not None]
    if not tests:
        return meaning
    exact = "exact" if all(pair.is_exact for pair in tests) else "by random signs where there are many seeds"
    many = f", corrected for {len(tests)} comparisons (Holm); intervals are not" if len(tests) > 1 else ""
    return f"{meaning} p is of the sign-flip test of these, two-sided, {exact}{many}."


def method(comparison: Comparison) -> list[str]:
    """How the numbers were made, in sentences, with their sources."""
    count = sum(pair.p is not None for pair in comparison.pairs)
    return [
        "A group's value for a seed is the mean over its runs of that seed (and seed of the split); "
        "a recipe that was run several times counts once. Mean, standard deviation (n − 1), least and "
        "greatest are taken over the seeds.",
        "Two groups are paired on the seeds that both have, and only if each seed's split and table are the "
        "same in both, by their sha256 (of a bundled table, columns may be left out). The interval is a 95 % "
        f"bootstrap interval of the mean difference: bias-corrected and accelerated, {RESAMPLES:,} resamples "
        "from a fixed seed (Efron 1987, J. Am. Stat. Assoc. 82, 171). Over few seeds a bootstrap interval is "
        "too narrow; the test is not misled by that.",
        "The test flips the signs of the paired differences (Fisher 1935, The Design of Experiments): the "
        "p-value is the share of all assignments of signs whose mean is at least as far from 0. Over more "
        f"than {LARGEST_EXACT} seeds, {RANDOM_SIGNS:,} random assignments stand for all (Phipson & Smyth "
        "2010, Stat. Appl. Genet. Mol. Biol. 9, 39). n seeds cannot give a p under 2/2ⁿ.",
        f"p-values are corrected for the number of comparisons ({count}) by Holm's step-down method "
        f"(Holm 1979, Scand. J. Stat. 6, 65); a difference is said to be found where the corrected one is "
        f"under {ALPHA:g}. Intervals are not corrected.",
    ]


def differing(comparison: Comparison) -> list[tuple[str, str]]:
    """Each param that differs by choice, and its values."""
    return [
        (name, " | ".join(shown(name, value) for value in values))
        for name, values in comparison.differ.items()
        if name not in comparison.follow
    ]


def amount(value: float, deviation: float | None) -> str:
    """A value with its deviation, as many places as that has two digits: `1.92 ± 0.31`."""
    places = _places(deviation, value)
    spread = "" if deviation is None else f" ± {number(deviation, places)}"
    return f"{number(value, places)}{spread}"


def _places(deviation: float | None, value: float) -> int:
    """Decimal places that show two digits of a deviation, or four of a value that has none."""
    telling, digits = (deviation, 2) if deviation else (value, 4)
    if not telling or not math.isfinite(telling):
        return 2
    return digits - 1 - math.floor(math.log10(abs(telling)))


def number(value: float, places: int) -> str:
    """A number with so many decimal places, as text; very large and small ones by their exponent."""
    if places > 8 or abs(value) >= 1e7:
        return f"{value:.3g}".replace("-", "−")
    text = f"{round(value, places):.{max(0, places)}f}"
    return text.replace("-", "") if not float(text) else text.replace("-", "−")


def chance(p: float) -> str:
    """A p-value: `p = 0.002`."""
    return f"p < {_LEAST_SHOWN}" if p < _LEAST_SHOWN else f"p = {significant(p)}"


def significant(p: float) -> str:
    """A share with as many digits as are of use: one where it is small."""
    return f"{p:.1g}" if p < 0.01 else f"{p:.3g}"
