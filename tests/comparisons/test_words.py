"""What a comparison says: each sentence, with its numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparing import run, sentence, tagged, two
from reproven.comparisons import overview
from reproven.comparisons import words as words
from reproven.errors import InvalidInput
from reproven.values import amounts

QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def test_a_difference_that_is_found_is_said_with_its_size_its_interval_and_its_p() -> None:
    compared = two([1.6, 1.7, 1.8, 1.9, 2.0, 2.0, 2.1, 2.2, 2.3, 1.4])
    (pair,) = compared.pairs
    assert pair.mean == pytest.approx(-1.9)
    assert pair.on_table is not None
    assert pair.on_table.p == 2 / 2**10
    assert pair.on_new_data is None
    assert sentence(compared) == (
        "on this split alone, sgd beats adam by 1.90 ± 0.28 test_rmse over 10 seeds (95 % interval 1.72 to "
        "2.05), p = 0.002"
    )


def test_of_a_metric_that_grows_the_greater_one_is_the_better() -> None:
    runs = [run(5 + by, seed=s, optimizer=name) for s in range(8) for name, by in (("sgd", 0), ("adam", 1))]
    compared = overview.of(runs, metric="test_r2")
    assert [group.label for group in compared.groups] == ["sgd", "adam"]
    assert "sgd beats adam by 1.000 ± 0.000 test_r2 over 8 seeds" in sentence(compared)


def test_no_difference_found_is_not_said_to_be_equal() -> None:
    said = sentence(two([1.0, -1.1, 0.9, -1.0, 1.2, -0.8, 0.7, -0.6]))
    assert said.startswith(
        "on this split alone, no difference was found between sgd and adam over 8 seeds (mean difference "
        "−0.04 ± "
    )
    assert "95 % interval −" in said
    assert said.endswith("p = 0.93")


#: As README once had them: told from chance on their table, but not for new data.
OVERLAPPING = [1.9, 0.3, 0.9, -0.2, 0.8, 0.5, 1.2, 0.1, 0.9, 0.4]


def test_where_splits_differ_the_first_words_are_of_new_data() -> None:
    assert sentence(two([1.6, 1.7, 1.8, 1.9, 2.0, 2.0, 2.1, 2.2, 2.3, 1.4], splits=True)) == (
        "for new data like this, sgd beats adam by 1.90 ± 0.28 test_rmse over 10 seeds (95 % interval 1.53 "
        "to 2.27), p < 0.0001; on this table p = 0.002"
    )
    assert sentence(two(OVERLAPPING, splits=True)) == (
        "no difference that would be expected on new data was found between sgd and adam over 10 seeds (mean "
        "difference −0.68 ± 0.60 test_rmse, 95 % interval −1.49 to 0.13), p = 0.0884; on this table sgd is "
        "better (95 % interval −1.09 to −0.37), p = 0.006; no number of splits of this table would tell a "
        "difference of this size, since they share rows"
    )
    said = sentence(two([1.0, 1.2, 0.1], splits=True))
    assert "; on this table p = 0.25, and with 3 seeds the least is 0.25; " in said


def test_how_many_splits_would_do_counts_the_rows_that_they_share() -> None:
    said = sentence(two([1.0, 0.4, 1.6, 0.8], splits=True))
    assert said.endswith("; 10 splits would tell a difference of this size in four of five cases")


def test_seeds_that_share_a_split_are_one_of_it() -> None:
    runs = [
        run(5.0 + by * (1 + seed / 9), seed=seed, split_seed=seed // 3, optimizer=name)
        for seed in range(12)
        for name, by in (("sgd", 0.0), ("adam", 1.0))
    ]
    (pair,) = overview.of(runs).pairs
    assert len(pair.by_split) == 4
    assert pair.by_split == pytest.approx([-1 - (3 * split + 1) / 9 for split in range(4)])
    assert "some of them the split" in words.explanation(overview.of(runs))


def test_folds_are_counted_as_folds() -> None:
    runs = [
        tagged(
            run(5.0 + by * (1 + seed / 9 + fold / 40), seed=seed, fold=f"{fold}/5", optimizer=name),
            split=f"{seed} {fold}",
        )
        for seed in range(2)
        for fold in range(1, 6)
        for name, by in (("sgd", 0.0), ("adam", 1.0))
    ]
    compared = overview.of(runs)
    assert words.table(compared)[0][2] == "folds"
    assert sentence(compared).startswith("for new data like this, sgd beats adam by 1.131 ± 0.069")
    assert " over 10 folds (95 % interval " in sentence(compared)
    assert len(compared.pairs[0].by_split) == 10


def test_a_table_whose_parts_are_not_known_speaks_for_itself_alone() -> None:
    runs = [
        replace(run(5.0 + by, seed=seed, split_seed=seed, optimizer=name), rows={})
        for seed in range(8)
        for name, by in (("sgd", 0.0), ("adam", 1.0))
    ]
    assert sentence(overview.of(runs)).startswith("on this table alone, sgd beats adam by 1.000")


def test_what_is_practically_none_is_asked_for() -> None:
    said = sentence(two(OVERLAPPING, splits=True, rope="0.1"))
    assert said.endswith(
        "where ±0.1 is practically none, sgd is better on new data with probability 0.931, adam with 0.0281, "
        "neither with 0.0408"
    )
    said = sentence(two([0.01, -0.02, 0.03, -0.01, 0.0, 0.01], splits=True, rope="2%"))
    assert said.endswith("; practically the same on new data: less than 0.1 apart, probability 1")
    more = overview.of(
        [
            run(5 + by, seed=s, split_seed=s, optimizer=name)
            for s, by_seed in enumerate(OVERLAPPING)
            for name, by in (("sgd", 0.0), ("adam", by_seed))
        ],
        metric="test_r2",
        rope="0.1",
    )
    assert "sgd is better on new data with probability 0.93" in sentence(more)
    for wrong in ("x", "-1", "nan", "inf%", "%"):
        with pytest.raises(InvalidInput, match=r"rope is .* but must be the largest difference"):
            two([1.0], rope=wrong)


def test_groups_that_are_equal_to_the_bit_count_no_comparison() -> None:
    runs = [
        run(5.0 + by, seed=s, optimizer=name)
        for s in range(8)
        for name, by in (("sgd", 0.0), ("adam", 1.0), ("adamw", 1.0), ("rmsprop", 3.0 + s / 10))
    ]
    compared = overview.of(runs)
    assert "corrected for 3 comparisons" in words.explanation(compared)  # of 6 pairs
    equal = next(pair for pair in compared.pairs if pair.is_equal)
    assert equal.on_table is not None
    assert equal.on_table.p_corrected is None
    (first, second) = (pair for pair in compared.pairs if pair.a == "sgd" and pair.b.startswith("adam"))
    assert first.on_table == second.on_table
    assert first.counts_as == second.counts_as == ("adam", "sgd")
    told = words.sentences(compared)
    assert len(told) == 4
    assert told[0].endswith("; the same is so of sgd and adamw")


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
    corrected = [pair.answer.p_corrected for pair in compared.pairs if pair.answer]
    assert corrected == [pytest.approx(6 * 2 / 2**8)] * 6
    assert "corrected for 6 comparisons (Holm); intervals are not." in words.explanation(compared)


def test_of_many_pairs_those_of_the_best_group_are_said_first() -> None:
    rates = [0.001 * k for k in range(1, 8)]
    compared = overview.of([run(5 + lr, seed=s, lr=lr) for s in range(12) for lr in rates])
    *said, more = words.sentences(compared)
    assert len(said) == 10
    assert all(text.startswith("on this split alone, lr=0.001 beats ") for text in said[:6])
    assert more == "11 more pairs, in 11 of which a difference was found (--json has all)"


def test_one_group_and_one_run_are_no_comparison_and_no_error() -> None:
    compared = overview.of([run(4.5, seed=s) for s in range(3)])
    assert compared.pairs == ()
    assert sentence(compared).startswith(
        "one group, so nothing to compare it with: test_rmse is 4.500 ± 0.00"
    )
    assert sentence(overview.of([run(4.5)])).endswith("test_rmse is 4.500 over 1 seed")


def test_by_validation_rows_the_test_rows_are_said_to_be_left_out() -> None:
    runs = [run(5 + s, seed=s) for s in range(2)]
    assert "the test rows" not in words.explanation(overview.of(runs))
    compared = overview.of(
        [replace(one, metrics={**one.metrics, "validation_rmse": 4.0}) for one in runs],
        metric="validation_rmse",
    )
    assert (
        "Who chooses by validation rows leaves the test rows out: these then give an honest estimate of what "
        "is chosen, as the validation rows do not."
    ) in words.explanation(compared)


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
    assert amounts.amount(1.91634, 0.3142) == "1.92 ± 0.31"
    assert amounts.amount(-1234.5, 67.8) == "−1234 ± 68"
    assert amounts.amount(4.34712, None) == "4.347"
    assert amounts.amount(0.0, 0.0) == "0.00 ± 0.00"
    assert amounts.amount(-0.001, 0.31) == "0.00 ± 0.31"
    assert amounts.amount(2.0e8, 4.9e8) == "2e+08 ± 4.9e+08"
    assert [amounts.chance(p) for p in (1.0, 0.0625, 0.00195, 0.00001)] == [
        "p = 1",
        "p = 0.0625",
        "p = 0.002",
        "p < 0.0001",
    ]
