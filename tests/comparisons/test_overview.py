"""Comparisons as values: the statistics against an oracle, and every way in which runs can be miscounted."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from comparing import run, tagged
from reproven.comparisons import overview, significance
from reproven.comparisons import words as words
from reproven.comparisons.overview import Comparison
from reproven.comparisons.params import canonical
from reproven.errors import InvalidInput

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
DIFFERENCES = st.lists(NUMBERS, min_size=1, max_size=9)
QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def two(differences: Mapping[int, float] | list[float], base: float = 5.0) -> Comparison:
    """sgd, and adam that is worse by the given amounts, by seed."""
    by_seed = differences if isinstance(differences, Mapping) else dict(enumerate(differences))
    runs = [
        run(base + by, seed=seed, optimizer=name)
        for seed, apart in by_seed.items()
        for name, by in (("sgd", 0.0), ("adam", apart))
    ]
    return overview.of(runs)


def sentence(compared: Comparison) -> str:
    (said,) = words.sentences(compared)
    return said


# --- the statistics ---------------------------------------------------------------------------------------


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


# --- the words --------------------------------------------------------------------------------------------


def test_a_difference_that_is_found_is_said_with_its_size_its_interval_and_its_p() -> None:
    compared = two([1.6, 1.7, 1.8, 1.9, 2.0, 2.0, 2.1, 2.2, 2.3, 1.4])
    (pair,) = compared.pairs
    assert pair.mean == pytest.approx(-1.9)
    assert pair.p == 2 / 2**10
    assert sentence(compared) == (
        "sgd beats adam by 1.90 ± 0.28 test_rmse over 10 seeds (95 % interval 1.72 to 2.06), p = 0.002"
    )


def test_of_a_metric_that_grows_the_greater_one_is_the_better() -> None:
    runs = [run(5 + by, seed=s, optimizer=name) for s in range(8) for name, by in (("sgd", 0), ("adam", 1))]
    compared = overview.of(runs, metric="test_r2")
    assert [group.label for group in compared.groups] == ["sgd", "adam"]
    assert sentence(compared).startswith("sgd beats adam by 1.000 ± 0.000 test_r2 over 8 seeds")


def test_no_difference_found_is_not_said_to_be_equal() -> None:
    said = sentence(two([1.0, -1.1, 0.9, -1.0, 1.2, -0.8, 0.7, -0.6]))
    assert said.startswith("no difference found between sgd and adam over 8 seeds (mean difference −0.04 ± ")
    assert "95 % interval −" in said
    assert said.endswith("p = 0.93")


def test_equal_to_the_bit_is_said_so() -> None:
    assert sentence(two([0.0] * 10)) == "adam and sgd have the same test_rmse to the bit over 10 seeds"


def test_too_few_seeds_are_told_with_the_least_p_that_they_could_give() -> None:
    said = sentence(two([1.0, 1.1, 0.9, 1.2, 1.0]))
    assert said.startswith("too few seeds to tell sgd from adam: with 5 the least p is 0.0625 (mean ")
    assert sentence(two([1.0])).startswith("sgd and adam share 1 seed, so nothing can be tested (mean diff")


def test_many_comparisons_need_more_seeds_and_one_sentence_says_how_many() -> None:
    runs = [run(5 + lr * 100, seed=s, lr=lr) for s in range(6) for lr in (0.001, 0.002, 0.003, 0.004)]
    compared = overview.of(runs)
    assert sentence(compared) == (
        "too few seeds to tell any group from another: with 6 seeds and 6 comparisons the least corrected p "
        "is 0.188; give at least 8 seeds, or compare fewer groups"
    )
    runs = [run(5 + lr * 100, seed=s, lr=lr) for s in range(8) for lr in (0.001, 0.002, 0.003, 0.004)]
    compared = overview.of(runs)
    assert all(pair.better for pair in compared.pairs)
    assert all(pair.p_corrected == pytest.approx(6 * 2 / 2**8) for pair in compared.pairs)
    assert "corrected for 6 comparisons (Holm); intervals are not." in words.explanation(compared)


def test_of_many_pairs_those_of_the_best_group_are_said_first() -> None:
    rates = [0.001 * k for k in range(1, 8)]
    compared = overview.of([run(5 + lr, seed=s, lr=lr) for s in range(12) for lr in rates])
    *said, more = words.sentences(compared)
    assert len(said) == 10
    assert all(text.startswith("lr=0.001 beats ") for text in said[:6])
    assert more == "11 more pairs, in 11 of which a difference was found (--json has all)"


def test_one_group_and_one_run_are_no_comparison_and_no_error() -> None:
    compared = overview.of([run(4.5, seed=s) for s in range(3)])
    assert compared.pairs == ()
    assert sentence(compared).startswith(
        "one group, so nothing to compare it with: test_rmse is 4.500 ± 0.00"
    )
    assert sentence(overview.of([run(4.5)])).endswith("test_rmse is 4.500 over 1 seed")


@QUICK
@given(st.lists(st.sampled_from([0.0, 1e-12, 1.0, -1.0, 3e7, 1e90]), min_size=1, max_size=7))
def test_no_word_is_nan_whatever_the_values(apart: list[float]) -> None:
    compared = two(apart)
    said = " ".join(
        [*words.sentences(compared), *(cell for row in words.table(compared) for cell in row)]
    ).lower()
    assert "nan" not in said
    assert "inf" not in said
    assert "none" not in said


def test_numbers_are_shown_as_far_as_their_deviation_tells() -> None:
    assert words.amount(1.91634, 0.3142) == "1.92 ± 0.31"
    assert words.amount(-1234.5, 67.8) == "−1234 ± 68"
    assert words.amount(4.34712, None) == "4.347"
    assert words.amount(0.0, 0.0) == "0.00 ± 0.00"
    assert words.amount(-0.001, 0.31) == "0.00 ± 0.31"
    assert words.amount(2.0e8, 4.9e8) == "2e+08 ± 4.9e+08"
    assert [words.chance(p) for p in (1.0, 0.0625, 0.00195, 0.00001)] == [
        "p = 1",
        "p = 0.0625",
        "p = 0.002",
        "p < 0.0001",
    ]


# --- what is counted --------------------------------------------------------------------------------------


def test_several_settings_of_a_seed_are_averaged_so_that_n_is_the_number_of_seeds() -> None:
    runs = [
        run(value + seed, seed=seed, variant=variant, lr=lr)
        for seed in range(3)
        for variant, lr, value in (
            ("module", 0.001, 1.0),
            ("module", 0.01, 3.0),
            ("sequential", 0.001, 2.0),
            ("sequential", 0.01, 6.0),
        )
    ]
    compared = overview.of(runs, by=["variant"])
    first = compared.groups[0]
    assert (first.label, first.values) == ("module", {"0/12": 2.0, "1/12": 3.0, "2/12": 4.0})
    assert (len(first.run_ids), first.mean, first.sd) == (6, 3.0, 1.0)
    assert list(compared.pairs[0].differences.values()) == [-2.0, -2.0, -2.0]
    assert compared.pairs[0].also == ()  # both variants have both rates
    assert any("differ in lr are averaged, so each seed counts once" in note for note in compared.notes)


def test_a_recipe_that_was_run_again_counts_once() -> None:
    once = [run(4.0, lr=0.001), run(8.0, lr=0.01)]
    again = [replace(once[0], run_id=f"{n:032x}") for n in range(3)]
    compared = overview.of([*once, *again], by=["variant"])
    assert compared.groups[0].values == {"0/12": 6.0}
    assert "3 runs repeat the recipe of another; each recipe counts once." in compared.notes
    other = replace(once[0], run_id="f" * 32, metrics={"test_rmse": 5.0})
    assert "Runs of one recipe differ in test_rmse; their mean counts. `reproven replay` says why." in (
        overview.of([*once, other], by=["variant"]).notes
    )


def test_only_the_same_rows_are_paired() -> None:
    runs = [
        run(4.0 + share, seed=s, test_size=share, split_seed=12) for s in range(8) for share in (0.2, 0.3)
    ]
    runs = [tagged(r, split=r.params["test_size"]) for r in runs]
    compared = overview.of(runs)
    assert compared.pairs[0].refusal == "their splits differ at seed 0"
    assert sentence(compared).endswith("are not paired: their splits differ at seed 0")
    runs = [run(4.0, seed=1, optimizer="sgd"), run(5.0, seed=2, optimizer="adam")]
    assert sentence(overview.of(runs)) == "sgd and adam are not paired: they share no seed"
    runs = [
        tagged(replace(one, params={**one.params, "data": "houses.csv"}), table=name)
        for s in range(6)
        for name in ("sgd", "adam")
        for one in [run(4.0, seed=s, optimizer=name)]
    ]
    assert overview.of(runs).pairs[0].refusal == "their tables differ at seed 0"


def test_a_column_that_is_left_out_of_the_bundled_table_leaves_its_rows() -> None:
    runs = [
        tagged(run(4.0 + len(drop), seed=s, drop=drop), table=str(drop))
        for s in range(6)
        for drop in ((), ("B",))
    ]
    compared = overview.of(runs)
    assert [group.label for group in compared.groups] == ["no drop", "drop=B"]
    assert sentence(compared).startswith("no drop beats drop=B by 1.000 ± 0.000 test_rmse over 6 seeds")


def test_seeds_that_only_one_group_has_are_not_paired() -> None:
    runs = [run(4.0, seed=s, optimizer="sgd") for s in range(9)]
    runs += [run(5.0 + s, seed=s, optimizer="adam") for s in range(6)]
    compared = overview.of(runs)
    assert [len(group.values) for group in compared.groups] == [9, 6]
    assert len(compared.pairs[0].differences) == 6


def test_runs_that_do_not_count_are_named_with_the_reason_and_missed_in_their_group() -> None:
    good = [run(4.0 + s, seed=s) for s in range(3)]
    failed, killed = run(1.0, seed=3, status="FAILED"), run(1.0, seed=4, status="KILLED")
    running = run(1.0, seed=5, status="RUNNING")
    infinite = run(1.797e308, seed=6)
    replay = tagged(replace(good[0], run_id="a" * 32), replay_of=good[0].run_id)
    pruned = tagged(replace(killed, run_id="b" * 32), pruned="it was worse than the median")
    parent = tagged(replace(good[0], run_id="c" * 32), recipe=None)
    bare = tagged(replace(good[0], run_id="d" * 32, metrics={}), recipe="another")
    compared = overview.of([*good, failed, killed, running, infinite, replay, pruned, parent, bare])
    assert [left.why for left in compared.left_out] == [
        "it failed",
        "it was stopped before its end",
        "it is still running",
        "its test_rmse is 1.797e+308",
        f"it is a replay of {good[0].run_id}",
        "it was pruned",
        "it trained no recipe",
        "it has no test_rmse",
    ]
    (group,) = compared.groups
    assert (len(group.run_ids), sum(group.lost.values())) == (3, 5)
    assert compared.notes[0] == (
        "5 of 8 runs do not count: 1 × it failed, 1 × it was stopped before its end, "
        "1 × its test_rmse is 1.797e+308, 1 × it was pruned, 1 × it has no test_rmse."
    )
    assert words.table(compared)[1][1] == "3 of 8"
    assert json.loads(json.dumps(compared.to_dict()))["groups"][0]["lost"]["it was pruned"] == 1


def test_a_group_of_which_every_run_failed_is_shown_without_a_value() -> None:
    runs = [run(4.0, seed=s) for s in range(2)] + [run(0.0, seed=s, lr=10.0, status="FAILED") for s in (0, 1)]
    compared = overview.of(runs)
    assert words.table(compared)[2] == ("lr=10.0", "0 of 2", "0", "–", "–", "–")
    assert sentence(compared) == "lr=0.001 and lr=10.0 are not paired: no run of lr=10.0 counts"
    assert compared.notes == ("2 of 2 runs of lr=10.0 do not count: 2 × it failed.",)


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(
        InvalidInput, match=r"metric is 'test_rsme', but no run has it\. Did you mean test_rmse"
    ):
        overview.of([run(4.0)], metric="test_rsme")
    with pytest.raises(InvalidInput, match="by names 'optimiser', but no param is called so"):
        overview.of([run(4.0)], by=["optimiser"])
    with pytest.raises(InvalidInput, match=r"No run can be compared: 2 × it failed\."):
        overview.of([run(4.0, status="FAILED"), run(5.0, seed=1, status="FAILED")])
    with pytest.raises(InvalidInput, match="There is no run to compare"):
        overview.of([])


# --- what differs -----------------------------------------------------------------------------------------


def test_an_option_that_only_one_optimizer_has_is_no_difference_of_its_own() -> None:
    compared = overview.of([run(4.0, optimizer=name) for name in ("sgd", "adam", "adamw", "rmsprop")])
    assert compared.by == ("optimizer",)
    assert [name for name, _ in words.differing(compared)] == ["optimizer"]
    assert set(compared.follow) >= {"momentum", "betas", "weight_decay", "alpha"}
    assert compared.differ["momentum"] == ["0.0", "–"]


def test_an_option_that_somebody_chose_is_a_difference_of_its_own() -> None:
    runs = [run(4.0, optimizer="sgd", momentum=0.9), run(5.0, optimizer="sgd"), run(6.0, optimizer="adam")]
    assert [group.label for group in overview.of(runs).groups] == [
        "sgd momentum=0.9",
        "sgd momentum=0.0",
        "adam",
    ]


def test_a_rate_that_goes_with_a_variant_stays_in_sight() -> None:
    """Named by the variant alone, it would seem to be the variant's doing."""
    runs = [
        run(4.0 + (v == "module") + s / 9, seed=s, variant=v, lr=lr)
        for s in range(6)
        for v, lr in (("module", 0.001), ("sequential", 0.01))
    ]
    assert {group.label for group in overview.of(runs).groups} == {"module lr=0.001", "sequential lr=0.01"}
    said = sentence(overview.of(runs, by=["variant"]))
    assert said.startswith("sequential beats module by ")
    assert said.endswith("; they differ in lr too")


def test_a_rate_is_a_number_however_it_was_spelt() -> None:
    typed = {
        "lr": "1e-3",
        "layer_lr": "regression=0.010,hidden1=1e-4",
        "nesterov": "True",
        "hidden": "10, 10",
    }
    assert canonical({**typed, "data": "tables/houses.csv", "mine": "x", "drop": ""}) == {
        "data": "houses.csv",
        "hidden": "10,10",
        "lr": "0.001",
        "layer_lr": "hidden1=0.0001,regression=0.01",
        "nesterov": "true",
    }
    assert canonical({"lr": "a tenth", "betas": "1;2"}) == {"lr": "a tenth", "betas": "1;2"}


def test_only_the_seed_differs_is_one_group() -> None:
    compared = overview.of([run(4.0, seed=s, split_seed=s) for s in range(3)])
    assert [(group.label, len(group.values)) for group in compared.groups] == [("all runs", 3)]
    assert compared.differ == {}
    assert "lr" in compared.equal
    assert not {"seed", "split_seed"} & set(compared.equal)


def test_labels_that_would_be_alike_are_told_apart() -> None:
    one, other = run(4.0), run(5.0)
    long = "9" * 100
    runs = [
        tagged(replace(r, run_id=i * 32, params={**r.params, "init": f"{long}{i}"}), recipe=i)
        for r, i in ((one, "1"), (other, "2"))
    ]
    labels = [group.label for group in overview.of(runs).groups]
    assert labels == [f"{'9' * 60}…", f"{'9' * 60}… #2"]


def test_code_that_differs_is_told() -> None:
    runs = [run(4.0, seed=0), tagged(run(4.0, seed=1), commit="abad1dea", dirty="true")]
    assert overview.of(runs).notes == (
        "The runs come from 2 states of the code, which may differ too: abad1dea with changes, c0ffee.",
    )


def test_the_same_runs_give_the_same_comparison() -> None:
    assert two([0.3, -0.1, 0.4, 0.2, 0.9, 0.1]).to_dict() == two([0.3, -0.1, 0.4, 0.2, 0.9, 0.1]).to_dict()
