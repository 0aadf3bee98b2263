"""What must not change a bit, beside the CPU and the user's variables (test_arithmetic): one test an axis."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Cli
from reproven import Recipe, Trained, train
from reproven.files.digests import digester
from reproven.training.prepared import prepare
from reproven.values.steps import Step, short

RECIPES = [
    Recipe(epochs=2),
    pytest.param(
        Recipe(epochs=2, optimizer="adam", variant="sequential", hidden=(7,)), marks=pytest.mark.slow
    ),
]


def record_of(run: Trained) -> tuple[str, ...]:
    """Everything in a run's files that is made of bits."""
    names = ("losses.csv", "weights.csv", "outcome.json", "inputs.json")
    return tuple((Path(run.artifact_uri) / name).read_text() for name in names)


@pytest.fixture(scope="module", params=RECIPES, ids=lambda recipe: recipe.variant)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    found: Recipe = request.param
    return found


@pytest.fixture(scope="module")
def alone(recipe: Recipe, uri: str) -> tuple[str, ...]:
    return record_of(train(recipe, tracking_uri=uri, experiment="axes"))


def test_a_second_run_in_the_same_process(recipe: Recipe, alone: tuple[str, ...], uri: str) -> None:
    train(Recipe(epochs=1, optimizer="rmsprop", seed=5), tracking_uri=uri, experiment="axes")
    assert record_of(train(recipe, tracking_uri=uri, experiment="axes")) == alone


def test_tracking_or_none(recipe: Recipe, alone: tuple[str, ...]) -> None:
    prepared = prepare(recipe)
    digests = digester(prepared.state.network)
    rows = [(repr(step.loss), short(digests(None))) for step in prepared.steps()]
    losses = [line.split(",")[3] for line in alone[0].splitlines()[1:]]
    weights = [tuple(line.split(",")[1:]) for line in alone[1].splitlines()[1:]]
    assert rows == list(zip(losses, weights, strict=True))


def test_a_run_inside_another(recipe: Recipe, alone: tuple[str, ...], uri: str) -> None:
    inner: list[Trained] = []

    def nest(steps: Iterable[Step], total: int) -> Iterator[Step]:
        for step in steps:
            if step.step == 3:
                inner.append(train(recipe, tracking_uri=uri, experiment="axes"))
            yield step

    outer = train(recipe, tracking_uri=uri, experiment="axes", watch=nest)
    assert record_of(outer) == record_of(inner[0]) == alone


def test_whatever_else_draws_from_the_global_generators(
    recipe: Recipe, alone: tuple[str, ...], uri: str
) -> None:
    def draw(steps: Iterable[Step], total: int) -> Iterator[Step]:
        for step in steps:
            random.random()
            np.random.random(3)
            torch.rand(step.step + 1)
            yield step

    with torch.random.fork_rng():
        torch.manual_seed(99)
        found = train(recipe, tracking_uri=uri, experiment="axes", watch=draw)
    assert record_of(found) == alone


@pytest.mark.parametrize("every", [1, 2])
def test_the_histograms_interval(every: int, recipe: Recipe, alone: tuple[str, ...], uri: str) -> None:
    found = train(recipe, tracking_uri=uri, experiment="axes", histogram_every=every)
    assert record_of(found) == alone


def test_the_device_named_or_not(cli: Cli) -> None:
    found: list[Any] = []
    for arguments in ((), ("--device", "cpu"), ("--device", "auto")):
        if torch.cuda.is_available() and "auto" in arguments:
            continue  # that one is a GPU's run
        run = json.loads(cli("train", "--epochs", "1", "--json", *arguments).stdout)
        files = Path(run["artifact_uri"])
        found.append([(files / n).read_text() for n in ("losses.csv", "weights.csv", "recipe.json")])
    assert all(one == found[0] for one in found)
