"""Params of several runs: which of them differ, and by whose choice."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from comparing import run
from reproven.comparisons import overview
from reproven.comparisons import words as words
from reproven.comparisons.params import canonical
from reproven.recipes.options import spell
from reproven.recipes.recipe import Recipe


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


def test_a_param_that_says_what_the_first_recipes_meant_is_no_difference() -> None:
    """`mlflow run` logs every param of MLproject, those too that a recipe leaves out."""
    assert canonical({"validation_size": "0.0", "standardise_target": "no", "seed": "1"}) == {"seed": "1"}
    assert canonical({"validation_size": ".2"}) == {"validation_size": "0.2"}


@pytest.mark.parametrize(
    ("typed", "changed"),
    [
        ({"hidden": "8, 4"}, {"hidden": (8, 4)}),
        ({"hidden": "08,4"}, {"hidden": (8, 4)}),
        ({"data": "/my tables/houses.csv"}, {"data": "houses.csv"}),
        ({"drop": "B,AGE, B"}, {"drop": ("AGE", "B")}),
        ({"init": "normal:std=.5"}, {"init": "normal:mean=0.0,std=0.5"}),
        ({"seed": "+7", "test_size": "0"}, {"seed": 7, "test_size": 0.0}),
        ({"optimizer": "adam", "betas": ".9, 0.99"}, {"optimizer": "adam", "betas": (0.9, 0.99)}),
        ({"momentum": "0.90", "nesterov": "YES"}, {"momentum": 0.9, "nesterov": True}),
        ({"layer_lr": "regression=1e-2, hidden1=1"}, {"layer_lr": (("hidden1", 1), ("regression", 0.01))}),
    ],
)
def test_a_param_has_the_spelling_of_its_recipe_whatever_was_typed(
    typed: dict[str, str], changed: dict[str, Any]
) -> None:
    logged = {name: spell(value) for name, value in Recipe(**changed).to_dict().items()}
    assert canonical({**logged, **typed}) == canonical(logged)
    by_mlflow = {name: shlex.quote(text) for name, text in typed.items()}
    assert canonical(by_mlflow) == canonical(typed)
