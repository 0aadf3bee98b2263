"""Over tables: each is one number of a group, and a seed is none of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from comparing import run, tagged
from reproven.comparisons import overview
from reproven.comparisons import words as words
from reproven.comparisons.across import across, signed_rank
from reproven.comparisons.answers import _alike, mean_ranks
from reproven.comparisons.overview import Comparison
from reproven.errors import InvalidInput
from reproven.store.summary import Summary


def on(table: str, value: float, *, seed: int, optimizer: str) -> Summary:
    one = run(value, seed=seed, split_seed=seed, optimizer=optimizer)
    one = replace(
        one, params={**one.params, "data": f"{table}.csv", "target": "y", "epochs": str(len(table))}
    )
    return tagged(one, table=table, recipe=f"{table} {optimizer} {seed}")


def several(tables: int, by: dict[str, float], **asked: str) -> Comparison:
    """Groups on tables of units of their own, each better than the next by a share."""
    runs = [
        on(
            f"table{n}",
            10.0**n * (1 + share + n / 900 + seed / 1000),
            seed=seed,
            optimizer=name,
        )
        for n in range(tables)
        for seed in range(3)
        for name, share in by.items()
    ]
    return overview.of(runs, **asked)


def test_runs_on_several_tables_are_compared_over_tables() -> None:
    compared = several(8, {"sgd": 0.0, "adam": 0.1, "rmsprop": 0.11})
    found = compared.over_tables
    assert found is not None
    assert compared.by == ("optimizer",)  # and not the epochs, which go with the tables
    assert compared.pairs == ()
    assert [len(group.values) for group in compared.groups] == [8, 8, 8]
    assert found.ranks == {"sgd": 1, "adam": 2, "rmsprop": 3}
    first, *said = words.sentences(compared)
    assert first == "over 8 tables, that all groups are alike: p = 0.0003 (Friedman)"
    assert said[0] == "over 8 tables, sgd beats adam: it is better on 8, p = 0.0234"
    assert words.title(compared) == "test_rmse of 72 runs in 3 groups, 8 tables"
    assert words.table(compared)[1] == ("sgd", "24", "8", "1.00")


def test_seeds_make_no_tables() -> None:
    compared = several(4, {"sgd": 0.0, "adam": 0.1})
    (said,) = words.sentences(compared)
    assert said == "too few tables to tell sgd from adam: with 4 the least p is 0.125, p = 0.125"


def test_the_tests_are_those_of_scipy() -> None:
    rng = np.random.default_rng(2)
    values = {
        name: dict(zip("abcdefghij", rng.normal(0.8 + 0.02 * place, 0.03, 10).tolist(), strict=True))
        for place, name in enumerate(("x", "y", "z"))
    }
    found = across(values, metric="test_accuracy", growing=True)
    columns = [list(one.values()) for one in values.values()]
    assert found.friedman == pytest.approx(stats.friedmanchisquare(*columns).pvalue)
    assert found.pairs[0].p == pytest.approx(stats.wilcoxon(columns[0], columns[1]).pvalue)
    assert sum(found.ranks.values()) == pytest.approx(6)


def test_an_error_in_the_target_s_unit_is_compared_relative_to_its_size() -> None:
    values = {"x": {"cheap": 1.0, "dear": 2000.0}, "y": {"cheap": 1.1, "dear": 1900.0}}
    (pair,) = across(values, metric="test_rmse", growing=False).pairs
    assert pair.differences == pytest.approx({"cheap": -0.1 / 1.05, "dear": 100 / 1950})
    assert pair.better_on == (1, 1)


def test_what_is_practically_none_over_tables() -> None:
    said = words.sentences(several(8, {"sgd": 0.0, "adam": 0.0004}, rope="1%"))[0]
    assert (
        "; where ±1 % is practically none, sgd is better on a new table with probability 0, adam with 0, "
        in said
    )
    assert said.endswith("neither with 1")
    said = words.sentences(several(8, {"sgd": 0.0, "adam": 0.1}, rope="1%"))[0]
    assert "sgd is better on a new table with probability 1, adam with 0" in said
    with pytest.raises(InvalidInput, match=r"rope is 0\.1, but tables differ in unit: give percent"):
        several(8, {"sgd": 0.0, "adam": 0.1}, rope="0.1")


def test_the_bayesian_signed_rank_test_is_even_where_the_tables_are() -> None:
    found = signed_rank([0.1, -0.1, 0.3, -0.3, 0.2, -0.2], 0.0)
    assert found.above == pytest.approx(found.below, abs=0.02)
    wide = signed_rank([0.1, -0.1, 0.3, -0.3, 0.2, -0.2], 1.0)
    assert wide.within == 1
    assert signed_rank([0.2] * 6, 0.01).above > 0.95


def test_a_table_that_not_all_groups_have_in_the_same_splits_does_not_count() -> None:
    runs = [
        on(f"table{number}", 1 + 0.1 * (name == "adam"), seed=seed, optimizer=name)
        for number in range(7)
        for seed in range(2)
        for name in ("sgd", "adam")
        if not (number == 6 and name == "adam" and seed)
    ]
    compared = overview.of(runs)
    assert compared.over_tables is not None
    assert len(compared.over_tables.tables) == 6
    assert "table6.csv does not count: not all groups have it, in the same splits." in compared.notes


def test_bars_join_what_is_not_told_apart() -> None:
    compared = several(8, {"sgd": 0.0, "adam": 0.1, "rmsprop": 0.1001, "adamw": 0.3})
    assert compared.over_tables is not None
    names = sorted(compared.over_tables.ranks, key=lambda name: compared.over_tables.ranks[name])  # type: ignore[union-attr]
    assert _alike(names, compared.over_tables) == []
    few = several(4, {"sgd": 0.0, "adam": 0.1, "rmsprop": 0.1001})
    assert few.over_tables is not None
    assert _alike(["sgd", "adam", "rmsprop"], few.over_tables) == [("sgd", "rmsprop")]
    assert mean_ranks(few.over_tables).axes[0].get_xlabel() == "mean rank over 4 tables"


def test_tables_that_tell_groups_apart_are_groups() -> None:
    runs = [on(f"table{n}", 1.0 + n, seed=seed, optimizer="sgd") for n in range(2) for seed in range(3)]
    assert overview.of(runs).over_tables is None
    assert overview.of(runs, by=["data"]).over_tables is None
