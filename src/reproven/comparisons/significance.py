"""Paired differences: what the same seeds, trained two ways, say about the two ways. Numbers in, numbers out.

Each function takes the differences of one comparison, one a seed; how they came about is not its business.
The random numbers of the intervals come from a seed that is written here, so equal input gives equal output.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95  # of an interval
RESAMPLES = 10_000
RANDOM_SEED = 20_260
LARGEST_EXACT = 20  # pairs of which all 2**20 signs are tried
RANDOM_SIGNS = 100_000
_POWER = 0.8  # of a test that would tell a difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Test:
    """What a sign-flip test says.

    Attributes:
        p: Two-sided p-value.
        is_exact: Whether every assignment of signs was counted, and not a random sample of them.
        least: The least p that so many pairs can give.
    """

    p: float
    is_exact: bool
    least: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampled:
    """What a mean difference over overlapping splits says of data that nobody has drawn.

    Attributes:
        mean: Mean difference.
        error: Its standard error, corrected for the rows that the splits' training parts share.
        low: Lower end of its 95 % interval; likewise `high`.
        p: Two-sided p-value.
    """

    mean: float
    error: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Practical:
    """How probable it is that a mean difference on new data is below, within or above a region around 0.

    Attributes:
        below: Probability that it is less than −width.
        within: That it is from −width to width: practically none.
        above: That it is more than width.
        width: Half of the region, in the metric's unit.
    """

    below: float
    within: float
    above: float
    width: float


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; of equal values that very value, to the bit."""
    return values[0] if len(set(values)) == 1 else math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """The sample's standard deviation, divided by n − 1; None of fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """A 95 % bootstrap interval of the mean difference; None of fewer than two differences.

    Bias-corrected and accelerated from 10,000 resamples; where that is not defined, the percentiles of the
    resampled means. Differences that are all equal give the interval of no width.

    Source: Efron (1987), Better bootstrap confidence intervals, J. Am. Stat. Assoc. 82, by
        scipy.stats.bootstrap.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return None
    if np.all(values == values[0]):
        return float(values[0]), float(values[0])
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy warns where BCa is not defined, and returns nan
            found = stats.bootstrap(
                (values,),
                np.mean,
                n_resamples=RESAMPLES,
                confidence_level=LEVEL,
                method=method,
                rng=np.random.default_rng(RANDOM_SEED),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            break
    return float(found.low), float(found.high)


def sign_flips(differences: Sequence[float]) -> Test:
    """The permutation test of paired differences: if both ways were alike, each could have either sign.

    The p-value is the share of all 2**n assignments of signs whose mean is as far from 0 as the one found.
    Of more than 20 pairs, 100,000 random assignments stand for all, and the one found counts as one of them.

    Args:
        differences: One a pair, in any order; at least one.

    Source: Fisher (1935), The design of experiments, section 21; for the random ones Phipson and Smyth
        (2010), Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9.
    """
    values = np.asarray(differences, dtype=np.float64)
    found = abs(values.sum()) - 1e-12 * np.abs(values).sum()  # sums of one set in another order are equal
    if len(values) <= LARGEST_EXACT:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        count = int(np.count_nonzero(np.abs(sums) >= found))
        return Test(p=count / len(sums), is_exact=True, least=2 / len(sums))
    rng = np.random.default_rng(RANDOM_SEED)
    count = 0
    for _ in range(10):  # a tenth at a time needs a tenth of the memory
        signs = rng.integers(0, 2, size=(RANDOM_SIGNS // 10, len(values)), dtype=np.int8)
        count += int(np.count_nonzero(np.abs((2.0 * signs - 1) @ values) >= found))
    return Test(p=(count + 1) / (RANDOM_SIGNS + 1), is_exact=False, least=1 / (RANDOM_SIGNS + 1))


def resampled(differences: Sequence[float], ratio: float) -> Resampled:
    """The corrected resampled t-test, and its interval: what differences over random splits say of new data.

    Splits of one table share training rows, so that their differences vary less than those of new tables
    would. The variance of the mean is therefore taken as (1/n + n_test/n_train) times the sample's variance,
    where 1/n would hold for independent tables; t has n − 1 degrees of freedom.

    Args:
        differences: One a split, in any order; at least two.
        ratio: Rows that a split tests on, divided by those it trains on.

    Source: Nadeau & Bengio (2003), Inference for the generalization error, Machine Learning 52, section 3.1;
        for repeated cross-validation Bouckaert & Frank (2004), Evaluating the replicability of significance
        tests for comparing learning algorithms, PAKDD.
    """
    centre, error = mean(differences), _error(differences, ratio)
    if error == 0:
        return Resampled(mean=centre, error=error, low=centre, high=centre, p=float(centre == 0))
    t = stats.t(df=len(differences) - 1)
    reach = float(t.ppf((1 + LEVEL) / 2)) * error
    p = 2 * float(t.sf(abs(centre) / error))
    return Resampled(mean=centre, error=error, low=centre - reach, high=centre + reach, p=p)


def practical(differences: Sequence[float], ratio: float, width: float) -> Practical:
    """The Bayesian correlated t-test: how probable a difference is that matters.

    With a matching prior that knows nothing, the posterior of the mean difference is Student's t with n − 1
    degrees of freedom, placed and scaled as in `resampled`.

    Args:
        differences: As for `resampled`; likewise `ratio`.
        ratio: As there.
        width: The largest difference that is practically none; at least 0.

    Source: Corani & Benavoli (2015), A Bayesian approach for comparing cross-validated algorithms on multiple
        data sets, Machine Learning 100, section 2.
    """
    centre, error = mean(differences), _error(differences, ratio)
    if error == 0:
        below, above = float(centre < -width), float(centre > width)
    else:
        posterior = stats.t(df=len(differences) - 1, loc=centre, scale=error)
        below, above = float(posterior.cdf(-width)), float(posterior.sf(width))
    return Practical(below=below, within=max(0.0, 1 - below - above), above=above, width=width)


def splits_needed(mean: float, spread: float, ratio: float, alpha: float) -> int | None:
    """How many splits would tell a mean difference of this size from none in four of five cases.

    None where no number does: the variance that splits of one table share does not shrink with their number.

    Args:
        mean: The mean difference.
        spread: The differences' standard deviation.
        ratio: As for `resampled`.
        alpha: The largest p that counts.

    Source: the usual formula for a sample's size, with the variance of `resampled`.
    """
    for n in (*range(2, 100), *range(100, 1001, 10)):
        t = stats.t(df=n - 1)
        reach = float(t.ppf(1 - alpha / 2) + t.ppf(_POWER))
        if abs(mean) >= reach * spread * math.sqrt(1 / n + ratio):
            return int(n)
    return None


def _error(differences: Sequence[float], ratio: float) -> float:
    return (deviation(differences) or 0.0) * math.sqrt(1 / len(differences) + ratio)


def corrected(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, by Holm's step-down method, in the order given.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6: the
        k-th smallest of m is multiplied by m − k + 1, and none is less than a smaller one's.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in found]
