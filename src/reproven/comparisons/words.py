"""What a comparison says, in words and in a table of texts; the same for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

from reproven.comparisons import across
from reproven.comparisons.across import MOST
from reproven.comparisons.groups import Group, gathered
from reproven.comparisons.overview import Comparison
from reproven.comparisons.pairs import ALPHA, Answer, Pair, comparisons
from reproven.comparisons.params import NOTHING, shown
from reproven.comparisons.significance import LARGEST_EXACT, RANDOM_SIGNS, RESAMPLES
from reproven.values.amounts import amount, chance, number, places_of, significant
from reproven.values.metrics import is_of_validation


def title(comparison: Comparison) -> str:
    """What is compared, in a line."""
    runs = sum(len(group.run_ids) for group in comparison.groups)
    if comparison.over_tables is not None:
        groups, tables = _count(len(comparison.groups), "group"), len(comparison.over_tables.tables)
        return f"{comparison.metric} of {_count(runs, 'run')} in {groups}, {tables} tables"
    seeds = {unit for group in comparison.groups for unit in group.values}
    groups = _count(len(comparison.groups), "group")
    within = f" in {groups}, {_over(seeds)}" if len(comparison.groups) > 1 else ""
    return f"{comparison.metric} of {_count(runs, 'run')}{within}"


def _over(units: Collection[str]) -> str:
    """How many seeds, or folds, as `groups.unit` tells them apart."""
    return _count(len(units), _unit(units))


def _unit(units: Collection[str]) -> str:
    return "fold" if units and all(unit.count("/") == 2 for unit in units) else "seed"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def table(comparison: Comparison) -> list[tuple[str, ...]]:
    """A header, and a row for each group: its runs, its seeds, and the metric over them; or its tables."""
    if comparison.over_tables is not None:
        ranks = comparison.over_tables.ranks
        rows = [
            (group.label, str(len(group.run_ids)), str(len(group.values)), f"{ranks[group.label]:.2f}")
            for group in comparison.groups
        ]
        return [("group", "runs", "tables", "mean rank"), *rows]
    units = [unit for group in comparison.groups for unit in group.values]
    header = ("group", "runs", f"{_unit(units)}s", comparison.metric, "min", "max")
    return [header, *(_row(group) for group in comparison.groups)]


def _row(group: Group) -> tuple[str, ...]:
    runs = len(group.run_ids)
    of_all = f" of {runs + sum(group.lost.values())}" if group.lost else ""
    counts = (group.label, f"{runs}{of_all}", str(len(group.values)))
    if group.mean is None or group.low is None or group.high is None:
        return (*counts, NOTHING, NOTHING, NOTHING)
    places = max(0, places_of(group.sd, group.mean))
    ends = (number(group.low, places), number(group.high, places))
    return (*counts, amount(group.mean, group.sd), *ends)


def sentences(comparison: Comparison) -> list[str]:
    """What the pairs say, those of the best group first, ten of them at most; and how many more there are."""
    if comparison.over_tables is not None:
        return across.sentences(comparison.over_tables, comparison.metric)
    if len(comparison.groups) == 1:
        return [_alone(comparison.groups[0], comparison.metric)]
    best, pairs, found = comparison.groups[0].label, list(comparison.pairs), []
    open_pairs = [pair for pair in pairs if _is_hopeless(pair)]
    if comparisons(open_pairs) > 1 and comparisons(open_pairs) == comparisons(pairs):
        found.append(_too_few(comparison, open_pairs))
        pairs = [pair for pair in pairs if pair not in open_pairs]
    pairs.sort(key=lambda pair: best not in (pair.a, pair.b))
    told = list(gathered(pairs, _alike).values())
    found += [_together(some, comparison.metric) for some in told[:MOST]]
    if more := [pair for some in told[MOST:] for pair in some]:
        apart = sum(pair.better is not None for pair in more)
        found.append(f"{len(more)} more pairs, in {apart} of which a difference was found (--json has all)")
    return found


def _alike(pair: Pair) -> Hashable:
    """What pairs have in common of which one sentence tells."""
    if pair.answer is None or pair.is_equal:
        return pair.a, pair.b
    return pair.counts_as, pair.also


def _together(pairs: Sequence[Pair], metric: str) -> str:
    """What pairs say that are one comparison: that of the first, and which others are the same."""
    first, *others = pairs
    same = ", ".join(f"{pair.a} and {pair.b}" for pair in others)
    return sentence(first, metric) + (f"; the same is so of {same}" if same else "")


def _is_open(pair: Pair) -> bool:
    """Whether a pair was tested, and is not equal to the bit."""
    return pair.answer is not None and not pair.is_equal


def _is_hopeless(pair: Pair) -> bool:
    """Whether no outcome of a pair's test could have been told from chance."""
    return _is_open(pair) and pair.better is None and pair.answer is not None and pair.answer.least >= ALPHA


def _too_few(comparison: Comparison, pairs: Sequence[Pair]) -> str:
    most = max(len(pair.differences) for pair in pairs)
    tests = comparisons(comparison.pairs)
    needed = next(n for n in range(1, 99) if tests * 2 / 2**n < ALPHA)
    least = significant(min(1.0, tests * 2 / 2**most))
    return (
        f"too few seeds to tell any group from another: with {most} seeds and {tests} comparisons the least "
        f"corrected p is {least}; give at least {needed} seeds, or compare fewer groups"
    )


def _alone(group: Group, metric: str) -> str:
    number_of = _over(group.values)
    mean = NOTHING if group.mean is None else amount(group.mean, group.sd)
    return f"one group, so nothing to compare it with: {metric} is {mean} over {number_of}"


def sentence(pair: Pair, metric: str) -> str:
    """What two groups' paired differences say."""
    also = f"; they differ in {', '.join(pair.also)} too" if pair.also else ""
    return f"{_said(pair, metric)}{also}"


def _said(pair: Pair, metric: str) -> str:
    if pair.refusal or pair.mean is None:
        return f"{pair.a} and {pair.b} are not paired: {pair.refusal}"
    over = _over(pair.differences)
    if pair.is_equal:
        return f"{pair.a} and {pair.b} have the same {metric} to the bit over {over}"
    found = f"mean difference {amount(pair.mean, pair.sd)} {metric}"
    if pair.on_table is None:
        return f"{pair.a} and {pair.b} share 1 seed, so nothing can be tested ({found}, no interval)"
    if pair.on_new_data is None:
        return _on_table(pair, pair.on_table, metric, found)
    return _on_new_data(pair, pair.on_new_data, metric, found) + _practically(pair)


def _on_table(pair: Pair, answer: Answer, metric: str, found: str) -> str:
    """What is said where nothing can be said of new data."""
    over = _over(pair.differences)
    given = "on this split alone" if len(pair.by_split) == 1 else "on this table alone"
    if answer.better is not None:
        return f"{given}, {_beats(pair, answer, metric, over)}"
    about = f"({found}, 95 % interval {interval(pair, answer)}), {_p(answer)}"
    if _is_hopeless(pair):
        least = f"with {len(pair.differences)} the least p is {significant(answer.least)}"
        return f"too few seeds to tell {pair.a} from {pair.b}: {least} {about}"
    return f"{given}, no difference was found between {pair.a} and {pair.b} over {over} {about}"


def _beats(pair: Pair, answer: Answer, metric: str, over: str) -> str:
    worse = pair.b if answer.better == pair.a else pair.a
    mean = pair.mean or 0.0
    within = f"95 % interval {interval(pair, answer, 1 if mean > 0 else -1)}"
    by = f"{amount(abs(mean), pair.sd)} {metric}"
    return f"{answer.better} beats {worse} by {by} over {over} ({within}), {_p(answer)}"


def _on_new_data(pair: Pair, answer: Answer, metric: str, found: str) -> str:
    """What is said of new data like this, and then of this table."""
    over = _over(pair.differences)
    table = pair.on_table
    here = "" if table is None else f"on this table {_p(table)}"
    if answer.better is not None:
        return f"for new data like this, {_beats(pair, answer, metric, over)}; {here}"
    said = (
        f"no difference that would be expected on new data was found between {pair.a} and {pair.b} over "
        f"{over} ({found}, 95 % interval {interval(pair, answer)}), {_p(answer)}"
    )
    if table is not None and table.better is not None:
        within = f"95 % interval {interval(pair, table)}"
        here = f"on this table {table.better} is better ({within}), {_p(table)}"
    elif table is not None and table.least >= ALPHA:
        here += f", and with {over} the least is {significant(table.least)}"
    return f"{said}; {here}; {_needed(pair)}"


def _needed(pair: Pair) -> str:
    if pair.needed is None:
        return "no number of splits of this table would tell a difference of this size, since they share rows"
    return f"{pair.needed} splits would tell a difference of this size in four of five cases"


def _practically(pair: Pair) -> str:
    """How probable it is that the difference matters, where somebody asked."""
    found = pair.practical
    if found is None:
        return ""
    a, same, b = (significant(share) for share in (found.above, found.within, found.below))
    if found.within > 1 - ALPHA:
        return f"; practically the same on new data: less than {found.width:.3g} apart, probability {same}"
    return (
        f"; where ±{found.width:.3g} is practically none, {pair.a} is better on new data with probability "
        f"{a}, {pair.b} with {b}, neither with {same}"
    )


def interval(pair: Pair, answer: Answer, sign: int = 1) -> str:
    """The ends of an interval.

    Args:
        pair: The pair, whose deviation says how many places are shown.
        answer: Its answer to a question.
        sign: 1, or −1 to turn the difference around.
    """
    low, high = sorted((sign * answer.low, sign * answer.high))
    places = places_of(pair.sd, pair.mean or 0.0)
    return f"{number(low, places)} to {number(high, places)}"


def _p(answer: Answer) -> str:
    return chance(answer.p if answer.p_corrected is None else answer.p_corrected)


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
    if comparison.over_tables is not None:
        return f"{better} {comparison.metric} is better. {across.EXPLANATION}"
    tests = [pair for pair in comparison.pairs if _is_open(pair)]
    if not tests:
        return meaning
    here = [pair.on_table for pair in tests if pair.on_table is not None]
    exact = (
        "exact" if all(answer.is_exact for answer in here) else "by random signs where there are many seeds"
    )
    of_new = "of new data by the corrected resampled t-test, " if any(p.on_new_data for p in tests) else ""
    count = comparisons(tests)
    many = f", corrected for {count} comparisons (Holm); intervals are not" if count > 1 else ""
    return (
        f"{meaning} {varied(comparison)} p is {of_new}of this table by sign flips, {exact}; two-sided{many}."
    )


def varied(comparison: Comparison) -> str:
    """What is other from seed to seed, and with it what the differences are differences over."""
    pairs = [pair for pair in comparison.pairs if pair.by_split]
    if all(len(pair.by_split) == 1 for pair in pairs):
        return "Seeds vary the initial weights and the order of rows; the split into parts is one."
    if all(len(pair.by_split) == len(pair.differences) for pair in pairs):
        return "Seeds vary the initial weights, the order of rows and the split into parts."
    return "Seeds vary the initial weights and the order of rows, some of them the split into parts."


def method(comparison: Comparison) -> list[str]:
    """How the numbers were made, in sentences, with their sources."""
    if comparison.over_tables is not None:
        return across.METHOD
    count = comparisons(comparison.pairs)
    return [
        "A group's value for a seed is the mean over its runs of that seed (and seed of the split); "
        "a recipe that was run several times counts once. Mean, standard deviation (n − 1), least and "
        "greatest are taken over the seeds.",
        "Two groups are paired on the seeds that both have, and only if each seed's split and table are the "
        "same in both, by their sha256 (of a bundled table, columns may be left out).",
        "On this table: given its rows (and where all seeds share one split, given that), do the two differ? "
        "The test flips the signs of the paired differences (Fisher 1935, The Design of Experiments): the "
        "p-value is the share of all assignments of signs whose mean is at least as far from 0. Over more "
        f"than {LARGEST_EXACT} seeds, {RANDOM_SIGNS:,} random assignments stand for all (Phipson & Smyth "
        "2010, Stat. Appl. Genet. Mol. Biol. 9, 39). n seeds cannot give a p under 2/2ⁿ. The interval is a "
        f"95 % bootstrap interval of the mean difference: bias-corrected and accelerated, {RESAMPLES:,} "
        "resamples from a fixed seed (Efron 1987, J. Am. Stat. Assoc. 82, 171). Over few seeds it is too "
        "narrow; the test is not misled by that.",
        "For new data like this: would the two differ, were other rows drawn? Random splits of one table "
        "share training rows, so their differences vary less than those of new tables would. The corrected "
        "resampled t-test takes the variance of the mean difference as (1/n + n_test/n_train) times the "
        "sample's, n − 1 degrees of freedom, one difference a split (Nadeau & Bengio 2003, Machine Learning "
        "52, 239); its interval is made of the same. A single split says nothing of new data.",
        "How probable a difference is that matters (--rope): the Bayesian correlated t-test, of the same "
        "mean and variance (Corani & Benavoli 2015, Machine Learning 100, 285).",
        f"p-values are corrected for the number of comparisons ({count}; groups that are equal to the bit "
        "are none, and one with each other group), of each question by itself, by Holm's step-down method "
        "(Holm 1979, Scand. J. Stat. 6, 65); a difference is said to be found where the corrected one is "
        f"under {ALPHA:g}. Intervals are not corrected.",
    ]


def differing(comparison: Comparison) -> list[tuple[str, str]]:
    """Each param that differs by choice, and its values."""
    return [
        (name, " | ".join(shown(name, value) for value in values))
        for name, values in comparison.differ.items()
        if name not in comparison.follow
    ]
