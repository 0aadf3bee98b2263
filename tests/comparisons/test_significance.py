"""The statistics, against an oracle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reproven.comparisons import significance

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
DIFFERENCES = st.lists(NUMBERS, min_size=1, max_size=9)
QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@QUICK
@given(DIFFERENCES)
def test_the_sign_flip_p_value_is_that_of_trying_every_sign(differences: list[float]) -> None:
    found = significance.sign_flips(differences)
    observed = abs(math.fsum(differences))
    slack = 1e-12 * math.fsum(map(abs, differences))
    as_far = [
        abs(math.fsum(sign * d for sign, d in zip(signs, differences, strict=True))) >= observed - slack
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    assert found.p == sum(as_far) / len(as_far)
    assert (found.is_exact, found.least) == (True, 2 / 2 ** len(differences))


def test_the_sign_flip_p_value_is_that_of_scipy() -> None:
    rng = np.random.default_rng(5)
    for n in (6, 9, 12):
        differences = rng.normal(0.4, 1.0, n)
        theirs = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
        )
        assert significance.sign_flips(list(differences)).p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_without_shared_rows_the_corrected_t_test_is_the_usual_one() -> None:
    rng = np.random.default_rng(5)
    for n in (2, 6, 30):
        differences = list(rng.normal(0.4, 1.0, n))
        theirs = stats.ttest_1samp(differences, 0)
        found = significance.resampled(differences, 0.0)
        assert found.p == pytest.approx(theirs.pvalue)
        assert (found.low, found.high) == pytest.approx(theirs.confidence_interval(0.95))
        assert found.error == pytest.approx(stats.sem(differences))


def test_shared_rows_widen_the_interval_as_nadeau_and_bengio_say() -> None:
    """Their variance is (1/n + n_test/n_train) s²: of ten splits by 1 to 4 it is 3.5 times the usual one."""
    differences = list(np.random.default_rng(6).normal(0.4, 1.0, 10))
    usual, found = (significance.resampled(differences, ratio) for ratio in (0.0, 0.25))
    assert found.error**2 == pytest.approx(3.5 * usual.error**2)
    assert found.high - found.low == pytest.approx(math.sqrt(3.5) * (usual.high - usual.low))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(np.mean(differences)) / found.error, 9))


@QUICK
@given(st.lists(NUMBERS, min_size=2, max_size=9), st.floats(0, 1), st.floats(0, 1e6))
def test_the_three_probabilities_are_those_of_one_posterior(
    differences: list[float], ratio: float, width: float
) -> None:
    found = significance.practical(differences, ratio, width)
    assert min(found.below, found.within, found.above) >= 0
    assert found.below + found.within + found.above == pytest.approx(1)
    none = significance.practical(differences, ratio, 0.0)
    tested = significance.resampled(differences, ratio)
    if tested.error:  # the posterior mirrors the t-test: half of p lies on the other side of 0
        assert 2 * min(none.below, none.above) == pytest.approx(tested.p)
    assert found.below <= none.below
    assert found.above <= none.above


def test_so_many_splits_as_are_needed_do_and_one_less_does_not() -> None:
    for mean, ratio in ((1.0, 0.1), (0.9, 0.0), (1.6, 0.25)):
        needed = significance.splits_needed(mean, 1.0, ratio, 0.05)
        assert needed is not None

        def power(n: int, mean: float = mean, ratio: float = ratio) -> float:
            error = math.sqrt(1 / n + ratio)
            return float(stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, mean / error))

        assert power(needed) > 0.77
        assert power(needed - 1) < 0.82
    assert significance.splits_needed(0.5, 1.0, 0.25, 0.05) is None


def test_of_many_pairs_random_signs_stand_for_all_and_p_is_never_zero() -> None:
    differences = list(np.random.default_rng(1).normal(0.35, 1.0, 25))
    found = significance.sign_flips(differences)
    exact = significance.sign_flips(differences[:20])
    assert (found.is_exact, exact.is_exact) == (False, True)
    assert significance.sign_flips(differences) == found
    assert abs(found.p - stats.ttest_1samp(differences, 0).pvalue) < 0.02
    assert significance.sign_flips([1.0] * 40).p == 1 / 100_001


@QUICK
@given(DIFFERENCES)
def test_turning_the_groups_around_turns_the_difference_and_nothing_else(differences: list[float]) -> None:
    turned = [-d for d in differences]
    assert significance.sign_flips(turned) == significance.sign_flips(differences)
    here, there = significance.interval(differences), significance.interval(turned)
    if here is None or there is None:
        assert here == there
        return
    scale = max(map(abs, differences), default=0.0)
    assert there == pytest.approx((-here[1], -here[0]), abs=0.25 * scale + 1e-9)  # other resamples
    assert significance.deviation(turned) == significance.deviation(differences)


def test_the_interval_is_scipy_s_and_the_same_every_time() -> None:
    differences = list(np.random.default_rng(2).gamma(2.0, 1.0, 10))
    rng = np.random.default_rng(significance.RANDOM_SEED)
    theirs = stats.bootstrap((differences,), np.mean, n_resamples=10_000, rng=rng).confidence_interval
    assert (
        significance.interval(differences) == (theirs.low, theirs.high) == significance.interval(differences)
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("differences", [[1.5, 1.5, 1.5], [0.0, 0.0], [1.0, 2.0], [0.0, 0.0, 0.0, 1e-300]])
def test_an_interval_is_finite_whatever_the_differences(differences: list[float]) -> None:
    low, high = significance.interval(differences) or (math.nan, math.nan)
    assert min(differences) <= low <= high <= max(differences)


def test_the_mean_of_equal_values_is_that_value_and_of_others_the_usual_one() -> None:
    value = 0.49543508709194095  # three of it, added and divided by 3, are one bit less
    assert significance.mean([value] * 3) == value != sum([value] * 3) / 3
    assert significance.mean([1.0, 2.0, 6.0]) == 3.0


def test_one_difference_has_no_interval_and_no_deviation() -> None:
    assert significance.interval([1.0]) is None
    assert significance.deviation([1.0]) is None


@QUICK
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_its_definition_and_keeps_the_order(p: list[float]) -> None:
    found = significance.corrected(p)
    order = sorted(range(len(p)), key=lambda i: p[i])
    for rank, i in enumerate(order):
        steps = [(len(p) - k) * p[order[k]] for k in range(rank + 1)]
        assert found[i] == pytest.approx(min(1.0, max(steps)))
    assert [found[i] for i in order] == sorted(found)
    assert all(after >= before for before, after in zip(p, found, strict=True))


def test_holm_of_numbers_worked_by_hand() -> None:
    assert significance.corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
