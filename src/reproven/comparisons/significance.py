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
