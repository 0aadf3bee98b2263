"""The comparison as a value: which runs count, and what is told of those that do not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from comparing import run, tagged, two
from reproven.comparisons import compare, overview
from reproven.comparisons import words as words
from reproven.errors import InvalidInput


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


def test_own_code_that_differs_is_told() -> None:
    runs = [tagged(run(4.0, seed=seed), own=f"{seed:x}" * 64) for seed in (10, 11, 11)]
    assert overview.of(runs[1:]).notes == ("1 run repeats the recipe of another; each recipe counts once.",)
    assert overview.of(runs[:2]).notes == (
        f"The runs come from 2 states of the user's own files, which differ: {'a' * 12}, {'b' * 12}.",
    )


def test_code_that_differs_is_told() -> None:
    runs = [run(4.0, seed=0), tagged(run(4.0, seed=1), commit="abad1dea", dirty="true")]
    assert overview.of(runs).notes == (
        "The runs come from 2 states of the code, which may differ too: abad1dea with changes, c0ffee.",
    )


def test_the_same_runs_give_the_same_comparison() -> None:
    assert two([0.3, -0.1, 0.4, 0.2, 0.9, 0.1]).to_dict() == two([0.3, -0.1, 0.4, 0.2, 0.9, 0.1]).to_dict()


@pytest.mark.parametrize(
    ("standardised", "loss"),
    [
        ((False, False), "mean squared error, MEDV (1,000 USD)²"),
        ((True, True), "mean squared error, standardised MEDV (1,000 USD)"),
        ((True, False), "mean squared error"),
    ],
)
def test_the_axis_of_losses_tells_their_unit_where_they_have_one(
    standardised: tuple[bool, bool], loss: str
) -> None:
    runs = [run(4.0, seed=seed, standardise_target=each) for seed, each in enumerate(standardised)]
    labels = compare._labels(overview.of(runs))
    assert labels == {"metric": "test_rmse, MEDV (1,000 USD)", "loss": loss}
