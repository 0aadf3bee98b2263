"""What a sweep sets out to train: axes and seeds as they are typed, points, and the errors about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproven.errors import InvalidInput
from reproven.recipes.settings import OPTIONS
from reproven.sweeps.axes import Axis, axis_text, cross_validation, read_axes, read_seeds
from reproven.sweeps.study import Study


def test_cross_validation_is_an_axis_of_folds_and_its_repetitions_are_seeds() -> None:
    folds, seeds = cross_validation("2x5")
    assert (folds.name, folds.values, seeds) == ("fold", ("1/5", "2/5", "3/5", "4/5", "5/5"), (0, 1))
    assert cross_validation("10")[1] == ()
    made = Study(base={}, axes=(folds,), seeds=seeds)
    assert made.total == 10
    assert made.recipe({"fold": "4/5"}, 1).test_size == 0.2


def axis(text: str) -> Axis:
    (found,), problems = read_axes([text])
    assert problems == []
    return found


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("optimizer=sgd,adam", ("sgd", "adam")),
        ("batch-size=16, 32", ("16", "32")),
        ("hidden=10,10;50", ("10,10", "50")),
        ("hidden=10,10", ("10,10",)),
        ("betas=0.9,0.99", ("0.9,0.99",)),
        ("layer_lr=hidden1=0.1,regression=0.2;hidden1=0.3", ("hidden1=0.1,regression=0.2", "hidden1=0.3")),
        ("init=default;normal:mean=0,std=0.5", ("default", "normal:mean=0,std=0.5")),
        ("nesterov=true,false", ("true", "false")),
        ("lr=1e-3,0.001,0.1", ("1e-3", "0.1")),  # one spelling of a value
        ("lr=0.1..0.5:5", ("0.1", "0.2", "0.3", "0.4", "0.5")),
        ("lr=1e-4..1e-1:log:4", ("0.0001", "0.001", "0.01", "0.1")),
        ("momentum=0..0.9:4", ("0.0", "0.3", "0.6", "0.9")),
        ("epochs=1..5", ("1", "2", "3", "4", "5")),
        ("epochs=10..1000:log:3", ("10", "100", "1000")),
        ("lr=1e-4..1e-1:log", ()),
        ("epochs=1..1000000:log", ()),
    ],
)
def test_an_axis_has_the_values_that_were_typed(text: str, values: tuple[str, ...]) -> None:
    assert axis(text).values == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr", "axis is 'lr', but must be NAME=VALUES"),
        ("=1", "axis is '=1', but must be NAME=VALUES"),
        ("seed=1,2", "axis names seed, which is no axis. Give the seeds as --seeds 0..9."),
        ("optimiser=sgd", "no option of a run is called so. Did you mean optimizer?"),
        ("lr=0.1,-1", "axis lr has the value '-1', but must be greater than 0."),
        ("lr=", "axis lr has the value '', but must be greater than 0."),
        ("variant=foo", "axis variant has the value 'foo', but must be one of module, sequential."),
        ("lr=1..x", "axis lr is the range '1..x', but its ends are no such numbers."),
        ("lr=0.1..0.01", "its first end must be less than its second"),
        ("lr=0..1", "but lr must be greater than 0"),
        ("weight_decay=0..1:log", "a logarithmic one must begin above 0"),
        ("lr=0.1..0.2:1", "it has 1 values, but must have 2 to 100000"),
        ("lr=1e-4..1e999", "its first end must be less than its second"),
        ("epochs=1..5.5", "its ends are no such numbers"),
    ],
)
def test_an_axis_that_cannot_be_read_says_why(text: str, words: str) -> None:
    axes, (problem,) = read_axes([text])
    assert axes == ()
    assert words in problem


def test_an_axis_given_twice_is_told() -> None:
    axes, problems = read_axes(["lr=0.1", "lr=0.2"])
    assert len(axes) == 1
    assert problems == ["axis names lr twice. Give it once, with all its values."]


@given(st.sampled_from(sorted(OPTIONS)), st.text(max_size=30))
def test_any_text_is_read_or_told(name: str, text: str) -> None:
    axes, problems = read_axes([f"{name}={text}"])
    assert bool(axes) != bool(problems)


@given(
    st.floats(1e-6, 1e3),
    st.floats(1.01, 1e4),
    st.integers(2, 20),
    st.booleans(),
)
def test_a_range_has_its_ends_and_ascends(low: float, factor: float, count: int, log: bool) -> None:
    found = axis(f"lr={low!r}..{low * factor!r}{':log' * log}:{count}")
    numbers = [float(value) for value in found.values]
    assert (numbers[0], numbers[-1]) == (low, low * factor)
    assert numbers == sorted(set(numbers))
    assert len(numbers) <= count


def test_seeds_are_ranges_and_lists() -> None:
    assert read_seeds("0..3,7") == [0, 1, 2, 3, 7]
    for text in ("", "x", "3..1", "1,1", "0..3,2", "1.."):
        with pytest.raises(ValueError, match=r"invalid literal|no range|comes twice"):
            read_seeds(text)


def test_a_yaml_value_is_what_one_would_type() -> None:
    assert axis_text([[10, 10], [50]]) == "10,10;50"
    assert axis_text([{"hidden1": 0.1}, {"hidden1": 0.2}]) == "hidden1=0.1;hidden1=0.2"
    assert axis_text([True, False]) == "true;false"
    assert axis_text("1e-4..1e-1:log:7") == "1e-4..1e-1:log:7"
    assert axis_text([0.1, "1e-3"]) == "0.1;1e-3"


def study(*axes: str, **about: object) -> Study:
    return Study(base={}, axes=read_axes(axes)[0], **about)  # type: ignore[arg-type]


def test_a_grid_takes_every_point_with_every_seed() -> None:
    found = study("optimizer=sgd,adam", "lr=0.1,0.01", seeds=(0, 1, 2))
    assert found.total == 12
    assert [dict(point) for point in found.grid()] == [
        {"optimizer": "sgd", "lr": "0.1"},
        {"optimizer": "sgd", "lr": "0.01"},
        {"optimizer": "adam", "lr": "0.1"},
        {"optimizer": "adam", "lr": "0.01"},
    ]
    recipe = found.recipe({"optimizer": "adam", "lr": "0.01"}, 2)
    assert (recipe.optimizer, recipe.lr, recipe.seed, recipe.split_seed) == ("adam", 0.01, 2, 2)


@pytest.mark.parametrize(
    ("axes", "about", "words"),
    [
        (["lr=1e-4..1e-1:log"], {}, "axis lr is a range without a count, of which a grid cannot take every"),
        (["lr=0.1"], {"trials": 3}, "trials is given, but a grid takes every point."),
        (["lr=0.1"], {"search": "tpe"}, "search is tpe, but trials is not given."),
        ([], {"search": "random", "trials": 3}, "search is random, but there is no axis to search."),
        (["lr=0.1"], {"base": {"lr": "0.1"}}, "lr is given, and is an axis too."),
        (["lr=0.1..1:100000"], {"seeds": (1, 2)}, "The sweep has 200000 runs, but must have at most 100000."),
        ([], {"base": {"test_size": "0"}}, "metric is test_rmse, but no row is held out."),
        (
            ["validation_size=0,0.2"],
            {"metric": "validation_mae"},
            "metric is validation_mae, but not every run holds out rows for validation. Try --valid",
        ),
        (
            ["optimizer=sgd,adam", "momentum=0.9"],
            {},
            "momentum is given, but adam has no such option; it belongs to sgd, rmsprop. Leave it out, or "
            "use --optimizer sgd. (at the point optimizer adam, momentum 0.9)",
        ),
        (["layer_lr=hidden1=0.1", "variant=module,sequential"], {}, "layer_lr names 'hidden1', but no layer"),
    ],
)
def test_parts_that_contradict_each_other_are_told(
    axes: list[str], about: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        Study(**{"base": {}, "axes": read_axes(axes)[0], **about})  # type: ignore[arg-type]
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("axes", "base", "metric"),
    [
        ([], {}, "test_rmse"),
        ([], {"validation_size": "0"}, "test_rmse"),
        ([], {"validation_size": "0.2"}, "validation_rmse"),
        ([], {"validation_size": 0.2, "test_size": 0}, "validation_rmse"),
        (["validation_size=0,0.2"], {}, "test_rmse"),
        (["validation_size=0.1..0.3:3"], {}, "validation_rmse"),
        (["patience=2,5"], {"validation_size": "0.2"}, "validation_rmse"),
    ],
)
def test_runs_are_chosen_by_validation_rows_where_all_have_them(
    axes: list[str], base: dict[str, Any], metric: str
) -> None:
    found = Study(base=base, axes=read_axes(axes)[0])
    assert found.metric == metric
    assert found.sha256 == Study(base=base, axes=read_axes(axes)[0], metric=metric).sha256


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seeds": 3}, "seeds is 3, but must be whole numbers from 0 to 4294967295, each once"),
        ({"seeds": "0..3"}, "In Python its type is tuple. Try seeds=(0, 1, 2,"),
        ({"seeds": (1, 1)}, "seeds is (1, 1), but must be whole numbers"),
        ({"seeds": ()}, "seeds is (), but must be whole numbers"),
        ({"base": "lr=0.1"}, "base is 'lr=0.1', but must be options of a run with their values. In Python"),
        ({"base": {"epoch": 3}}, "base names 'epoch', but no option of a run is called so. Did you mean ep"),
        ({"axes": 3}, "axes is 3, but must be axes, or texts as NAME=VALUES. In Python its type is tuple."),
        ({"axes": ["lr=x"]}, "axis lr has the value 'x', but must be greater than 0."),
        ({"axes": ["lr=1", "lr=2"]}, "axis names lr 2 times. Give it once, with all its values."),
        ({"search": "grdi"}, "search is 'grdi', but must be one of grid, random, tpe. Try search='grid'."),
        ({"trials": "3"}, "In Python its type is int. Try trials=20."),
    ],
)
def test_a_part_of_a_wrong_type_is_told_the_type(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        Study(**{"base": {}, **wrong})
    assert words in str(error.value)


@pytest.mark.parametrize(
    "axes",
    [
        ["lr=0.1,0.2", "hidden=10,10;50"],
        {"lr": [0.1, 0.2], "hidden": [(10, 10), (50,)]},
        (Axis(name="lr", values=(0.1, 0.2)), "hidden=10,10;50"),  # type: ignore[arg-type]
    ],
)
def test_parts_that_mean_the_same_make_the_same_study(axes: Any) -> None:
    typed = Study(
        base={"epochs": "3", "betas": "0.9,0.99", "optimizer": "adam", "amsgrad": "true"},
        axes=read_axes(["lr=0.1,0.2", "hidden=10,10;50"])[0],
        seeds=(0, 1),
    )
    base: Any = {"epochs": 3, "betas": (0.9, 0.99), "optimizer": "adam", "amsgrad": True}
    seeds: Any = range(2)
    assert Study(base=base, axes=axes, seeds=seeds).sha256 == typed.sha256


def test_one_axis_alone_may_be_given_as_it_is() -> None:
    alone: Any = "optimizer=sgd,adam"
    assert Study(base={}, axes=alone).axes == read_axes([alone])[0]


def test_the_values_of_an_axis_are_no_text() -> None:
    text: Any = "0.1,0.01"
    with pytest.raises(InvalidInput, match=r"values of the axis lr is '0\.1,0\.01', but must be one or more"):
        Axis(name="lr", values=text)
    with pytest.raises(InvalidInput, match="axis names 'rate', but no option of a run is called so"):
        Axis(name="rate", values=("0.1",))


def test_the_digest_of_a_study_is_that_of_everything_in_it() -> None:
    same = study("lr=0.1,0.2", seeds=(1, 2))
    assert same.sha256 == study("lr=0.1,0.2", seeds=(1, 2)).sha256
    others = [
        study("lr=0.1,0.3", seeds=(1, 2)),
        study("lr=0.1,0.2", seeds=(1, 3)),
        study("lr=0.1,0.2", seeds=(1, 2), pruner="median"),
        study("lr=0.1,0.2", seeds=(1, 2), search="tpe", trials=2),
    ]
    assert len({same.sha256, *(other.sha256 for other in others)}) == 5


def test_a_study_of_classes_goes_by_their_log_loss_where_nothing_else_is_named() -> None:
    plain = Study(base={"data": "t.csv"}, axes=("lr=0.1,0.01",))  # type: ignore[arg-type]
    assert plain.of_task("regression") is plain
    assert plain.of_task("classification").metric == "test_log_loss"
    validating = replace(plain, base={"data": "t.csv", "validation_size": "0.2"}, metric="")
    assert validating.of_task("classification").metric == "validation_log_loss"
    chosen = replace(plain, metric="test_accuracy")
    assert chosen.of_task("classification") is chosen
    with pytest.raises(InvalidInput, match=r"but the task is regression\. Try --metric test_rmse\."):
        chosen.of_task("regression")
    with pytest.raises(
        InvalidInput, match=r"metric is test_r2, but the task is classification\. Try --metric"
    ):
        replace(plain, metric="test_r2").of_task("classification")
