"""Pairs: which seeds of two groups may be held against each other."""

from __future__ import annotations

from dataclasses import replace

from comparing import run, sentence, tagged
from reproven.comparisons import overview


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
    assert "no drop beats drop=B by 1.000 ± 0.000 test_rmse over 6 seeds" in sentence(compared)


def test_seeds_that_only_one_group_has_are_not_paired() -> None:
    runs = [run(4.0, seed=s, optimizer="sgd") for s in range(9)]
    runs += [run(5.0 + s, seed=s, optimizer="adam") for s in range(6)]
    compared = overview.of(runs)
    assert [len(group.values) for group in compared.groups] == [9, 6]
    assert len(compared.pairs[0].differences) == 6


def test_a_rate_that_goes_with_a_variant_stays_in_sight() -> None:
    """Named by the variant alone, it would seem to be the variant's doing."""
    runs = [
        run(4.0 + (v == "module") + s / 9, seed=s, variant=v, lr=lr)
        for s in range(6)
        for v, lr in (("module", 0.001), ("sequential", 0.01))
    ]
    assert {group.label for group in overview.of(runs).groups} == {"module lr=0.001", "sequential lr=0.01"}
    said = sentence(overview.of(runs, by=["variant"]))
    assert said.startswith("on this split alone, sequential beats module by ")
    assert said.endswith("; they differ in lr too")


def test_an_interval_does_not_depend_on_the_order_in_which_runs_ended() -> None:
    runs = [
        run(5.0 + by * seed % 1.7, seed=seed, optimizer=name)
        for seed in range(10)
        for name, by in (("sgd", 0.31), ("adam", 0.77))
    ]
    ((pair,), (other,)) = (overview.of(some).pairs for some in (runs, runs[::-1]))
    assert pair.on_table is not None
    assert other.on_table is not None
    ends = {
        (one.low, one.high) if one.low < 0 else (-one.high, -one.low)
        for one in (pair.on_table, other.on_table)
    }
    assert pair.a == other.a
    assert len(ends) == 1
