"""Groups: what counts, and every way in which runs can be counted twice."""

from __future__ import annotations

from dataclasses import replace

from comparing import run, sentence, tagged
from reproven.comparisons import overview
from reproven.comparisons import words as words


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


def test_a_group_of_which_every_run_failed_is_shown_without_a_value() -> None:
    runs = [run(4.0, seed=s) for s in range(2)] + [run(0.0, seed=s, lr=10.0, status="FAILED") for s in (0, 1)]
    compared = overview.of(runs)
    assert words.table(compared)[2] == ("lr=10.0", "0 of 2", "0", "–", "–", "–")
    assert sentence(compared) == "lr=0.001 and lr=10.0 are not paired: no run of lr=10.0 counts"
    assert compared.notes == ("2 of 2 runs of lr=10.0 do not count: 2 × it failed.",)
