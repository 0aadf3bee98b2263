"""Kinds of options: how a value is read from text, what it must be, and the error that says so.

The recipe's fields (and the few options beside them) are each one `Option`; the command line, the
checks and the errors are all derived from it, so each fact about an option is said once.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

_JSON_WORDS = ("true", "false", "null", "NaN", "Infinity")
#: What stands for a type in Python, and is brought to it.
_ALSO: Mapping[type, Any] = {float: Real, int: Integral, tuple: tuple | list | range}


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option: its help, how it is read, what it must be.

    Attributes:
        help: One line for `--help`.
        read: Text to value; raises ValueError, whose own words (if any) go into the error.
        holds: Whether a value of the right type is in range; may raise TypeError or ValueError for "no".
        must: What the value must be, in words that follow "must be".
        example: A good value as one would type it.
        cast: Brings an accepted value to the one type that is kept.
        choices: The values there are, where they are few.
        metavar: Stands for the value in `--help`.
        is_flag: The option may be given without a value, which means true.
        repeats: The option may be given several times; the texts are joined with commas.
        number: What its values are where they are numbers, float or int.
        has_commas: A single value may have commas in it.
        each: How the option is also spelled that is given once for each of several, as `network_arg`.
    """

    help: str
    read: Callable[[str], Any]
    holds: Callable[[Any], bool]
    must: str
    example: str
    cast: Callable[[Any], Any] = lambda value: value
    choices: tuple[str, ...] = ()
    metavar: str = "TEXT"
    is_flag: bool = False
    repeats: bool = False
    number: type[float] | type[int] | None = None
    has_commas: bool = False
    each: str = ""

    def accepts(self, value: Any) -> bool:
        """Whether a Python value is of the right type and in range."""
        try:
            return bool(self.holds(value))
        except (TypeError, ValueError, AttributeError, OverflowError):
            return False


def problem(name: str, option: Option, value: Any, why: str = "") -> str:
    """The error for one bad value: what it is, what it must be, why if known, what to do."""
    return _told(
        name, option, value, why, f"Try --{(option.each or name).replace('_', '-')} {option.example}."
    )


def problem_in_python(name: str, option: Option, value: Any) -> str:
    """The error for one bad value that came from Python: it names the type that is wanted."""
    good = option.cast(option.read(option.example))
    is_of_type = isinstance(value, _ALSO.get(type(good), type(good)))
    if not is_of_type or isinstance(value, bool) != isinstance(good, bool):
        why = f"In Python its type is {type(good).__name__}."
    else:
        why = _why_not_read(option, value) if isinstance(good, str) else ""
    return _told(name, option, value, why, f"Try {name}={good!r}." if option.accepts(good) else "")


def _why_not_read(option: Option, text: str) -> str:
    try:
        option.read(text)
    except Explained as error:
        return str(error)
    return ""


def problems_in_python(options: Mapping[str, Option], values: Mapping[str, Any]) -> list[str]:
    """A problem for each value from Python that its option does not accept; None stands for its default."""
    return [
        problem_in_python(name, option, values[name])
        for name, option in options.items()
        if values.get(name) is not None and not option.accepts(values[name])
    ]


def _told(name: str, option: Option, value: Any, why: str, advice: str) -> str:
    shown = value if isinstance(value, int | float) else repr(value)
    shown = f"{shown[:60]}…" if isinstance(shown, str) and len(shown) > 61 else shown
    return " ".join(filter(None, [f"{name} is {shown}, but must be {option.must}.", why, advice]))


def read_all(options: Mapping[str, Option], texts: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Reads texts by their options; returns the values that could be read, and a problem for each other."""
    values: dict[str, Any] = {}
    problems = []
    for name, text in texts.items():
        try:
            values[name] = options[name].read(text)
        except (ValueError, OverflowError) as error:
            why = str(error) if type(error) is Explained else ""
            problems.append(problem(name, options[name], text, why))
    return values, problems


def read_checked(options: Mapping[str, Option], texts: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Reads texts as `read_all` does, and counts a value that is out of range among the problems."""
    values, problems = read_all(options, texts)
    bad = [name for name, value in values.items() if not options[name].accepts(value)]
    return values, problems + [problem(name, options[name], values[name]) for name in bad]


class Explained(ValueError):
    """A value that cannot be read, with a sentence for the user that says why."""


def spell(value: Any) -> str:
    """A value as one would type it: lists with commas, pairs with =, true and false in lower case."""
    if isinstance(value, Mapping):
        return spell(tuple(value.items()))
    if isinstance(value, list | tuple):
        return ",".join(
            f"{item[0]}={_spelled(item[1])}" if isinstance(item, tuple) else spell(item) for item in value
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


def _spelled(value: Any) -> str:
    """A value of a pair: JSON, but a word without quotes where it is read as one."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w.-]*", value) and value not in _JSON_WORDS:
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def as_typed(param: str) -> str:
    """A param as it was typed: `mlflow run` logs what it hands to a shell, in quotes where needed."""
    try:
        words = shlex.split(param)
    except ValueError:
        return param
    return words[0] if len(words) == 1 and shlex.quote(words[0]) == param else param
