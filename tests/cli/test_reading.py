"""What a command asks for: it is called with values that are all good, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import pytest

from reproven.cli.reading import DATA, argument, asking, checked, plain, some_runs, text
from reproven.errors import InvalidInput
from reproven.recipes import typed
from reproven.recipes.recipe import Recipe

CALLS: list[dict[str, Any]] = []


def contradictions(said: Mapping[str, Any]) -> list[str]:
    return ["last is even."] if said["last"] % 2 == 0 else []


@click.command()
@asking(
    run=argument(),
    last=checked(typed.whole("How many.", "10", low=1), 9),
    loud=typed.flag("Loudly."),
    words=checked(typed.words("Words.", "a"), (), check=lambda words: ["words has x."] * ("x" in words)),
    data=DATA,
    name=text("Name.", check=lambda name, texts: ["name is no run."] * (name not in (None, texts["run"]))),
    as_csv=plain("--csv", is_flag=True),
    problems=contradictions,
)
def command(**values: Any) -> None:
    """Do it."""
    CALLS.append(values)


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def say(*line: str, to: click.Command = command) -> None:
    to.main(list(line), standalone_mode=False)


def test_a_command_is_called_with_the_values_that_were_read() -> None:
    say(
        *("r", "--last", "3", "--loud", "--words", "a,b", "--words", "c", "--data", "d.csv", "--name", "r"),
        *("--csv", "--tracking-uri", "here", "--json"),
    )
    assert CALLS == [
        {
            "run": "r",
            "last": 3,
            "loud": True,
            "words": ("a", "b", "c"),
            "data": "d.csv",
            "name": "r",
            "as_csv": True,
            "tracking_uri": "here",
            "as_json": True,
        }
    ]


def test_what_is_not_given_has_its_default_and_a_flag_is_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    say("r")
    assert CALLS == [
        {
            "run": "r",
            "last": 9,
            "loud": False,
            "words": (),
            "data": None,
            "name": None,
            "as_csv": False,
            "tracking_uri": None,
            "as_json": False,
        }
    ]


def test_all_problems_are_told_values_first_then_blank_names_then_contradictions() -> None:
    with pytest.raises(InvalidInput) as error:
        say(
            *("r", "--tracking-uri", " ", "--data", "", "--name", "s", "--words", "x", "--loud=x"),
            *("--last", "4"),
        )
    assert error.value.problems == (
        "loud is 'x', but must be true or false. Try --loud true.",
        "words has x.",
        "name is no run.",
        "data is '', but must not be blank. Give a name, or leave the option out.",
        "tracking_uri is ' ', but must not be blank. Give a name, or leave the option out.",
        "last is even.",
    )
    assert CALLS == []


def test_a_recipe_is_one_value_made_of_its_options() -> None:
    @click.command()
    @asking(recipe=Recipe, bins=typed.whole("Any.", "1", low=1))
    def trained(**values: Any) -> None:
        CALLS.append(values)

    say("--lr", "0.5", "--bins", "2", to=trained)
    assert (CALLS[0]["recipe"], CALLS[0]["bins"]) == (Recipe(lr=0.5), 2)
    with pytest.raises(InvalidInput) as error:
        say("--bins", "0", "--nesterov", "--lr", "0", to=trained)
    assert [problem.split()[0] for problem in error.value.problems] == ["lr", "nesterov", "bins"]
    assert len(CALLS) == 1


def test_runs_are_those_named_in_either_way_or_an_experiment() -> None:
    @click.command()
    @asking(runs=some_runs("Give one."), experiment=text("All of it."))
    def shown(**values: Any) -> None:
        CALLS.append(values)

    say("a", "--run", "", "--run", "b", to=shown)
    say("--experiment", "e", to=shown)
    assert [call["runs"] for call in CALLS] == [["a", "b"], []]
    with pytest.raises(InvalidInput, match=r"run is not given\. Give one\."):
        say("--run", "", to=shown)
