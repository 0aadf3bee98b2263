"""Kinds of options: how a value is read from text, what it must be, and the error that says so.

The recipe's fields (and the few options beside them) are each one `Option`; the command line, the
checks and the errors are all derived from it, so each fact about an option is said once.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

#: How a tab is spelled, since a shell makes it hard to type.
TAB = "tab"
MAX_COUNT = 2**31 - 1  # of anything; far more steps than a store takes
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

    def accepts(self, value: Any) -> bool:
        """Whether a Python value is of the right type and in range."""
        try:
            return bool(self.holds(value))
        except (TypeError, ValueError, AttributeError, OverflowError):
            return False


def problem(name: str, option: Option, value: Any, why: str = "") -> str:
    """The error for one bad value: what it is, what it must be, why if known, what to do."""
    return _told(name, option, value, why, f"Try --{name.replace('_', '-')} {option.example}.")


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
            "=".join(map(spell, item)) if isinstance(item, tuple) else spell(item) for item in value
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_typed(param: str) -> str:
    """A param as it was typed: `mlflow run` logs what it hands to a shell, in quotes where needed."""
    try:
        words = shlex.split(param)
    except ValueError:
        return param
    return words[0] if len(words) == 1 and shlex.quote(words[0]) == param else param


def is_number(value: Any) -> bool:
    """Whether a value is a finite real number, NumPy's too (True and False are not numbers)."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, NumPy's too (True and False are not numbers)."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_list_of(check: Callable[[Any], bool], values: Any) -> bool:
    return isinstance(values, tuple | list) and all(check(value) for value in values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def number(
    help: str,
    example: str,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> Option:
    """A finite number, at least `low`, greater than `above`, less than `below`."""
    limits = [
        f"at least {low:g}" if low > -math.inf else "",
        f"greater than {above:g}" if above > -math.inf else "",
        f"less than {below:g}" if below < math.inf else "",
    ]
    return Option(
        help=help,
        read=float,
        holds=lambda value: is_number(value) and low <= value < below and value > above,
        must=" and ".join(filter(None, limits)) or "a finite number",
        example=example,
        cast=float,
        metavar="NUMBER",
        number=float,
    )


def whole(help: str, example: str, *, low: int, high: int = MAX_COUNT, metavar: str = "COUNT") -> Option:
    """A whole number from `low` to `high`."""
    return Option(
        help=help,
        read=int,
        holds=lambda value: is_whole(value) and low <= value <= high,
        must=f"a whole number from {low} to {high}",
        example=example,
        cast=int,
        metavar=metavar,
        number=int,
    )


def text(help: str, example: str, *, metavar: str) -> Option:
    """Any text that is not blank."""
    return Option(
        help=help, read=str, holds=_is_text, must="text, not blank", example=example, metavar=metavar
    )


def choice(help: str, choices: tuple[str, ...]) -> Option:
    """One of a few words."""
    return Option(
        help=help,
        read=str,
        holds=lambda value: value in choices,
        must=f"one of {', '.join(choices)}",
        example=choices[0],
        choices=choices,
        metavar=f"[{'|'.join(choices)}]",
    )


def separator(help: str) -> Option:
    """What stands between the cells of a text; it is kept as one would type it."""
    return Option(
        help=help,
        read=str,
        holds=_is_separator,
        must="tab, or one character other than letters, digits, quotes and + - . _",
        example="';'",
        cast=_spelled,
        metavar="CHARACTER",
        has_commas=True,
    )


def decimal(help: str) -> Option:
    """The mark before the decimals of a number."""
    return Option(
        help=help,
        read=str,
        holds=lambda value: value in (".", ","),
        must="a point or a comma",
        example="','",
        metavar="[.|,]",
        has_commas=True,
    )


def flag(help: str) -> Option:
    """True or false; true where it is given without a value."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    return Option(
        help=help,
        read=lambda text: words.get(text.lower(), text),
        holds=lambda value: isinstance(value, bool),
        must="true or false",
        example="true",
        metavar="[true|false]",
        is_flag=True,
    )


def words(help: str, example: str) -> Option:
    """Names, separated by commas, whose order says nothing; the option may be repeated."""
    return Option(
        help=help,
        read=_parts,
        holds=lambda value: _is_list_of(_is_text, value),
        must="names, separated by commas",
        example=example,
        cast=lambda value: tuple(sorted(set(value))),
        metavar="COLUMN,…",
        repeats=True,
        has_commas=True,
    )


def widths(help: str, example: str) -> Option:
    """Whole numbers of at least 1, separated by commas."""
    return Option(
        help=help,
        read=lambda text: [int(part) for part in _parts(text)],
        holds=lambda value: (
            len(value) > 0 and _is_list_of(lambda w: is_whole(w) and 1 <= w <= MAX_COUNT, value)
        ),
        must="whole numbers of at least 1, separated by commas",
        example=example,
        cast=lambda value: tuple(map(int, value)),
        metavar="WIDTH,…",
        has_commas=True,
    )


def betas(help: str, example: str) -> Option:
    """Two numbers from 0 to below 1, separated by a comma."""
    return Option(
        help=help,
        read=lambda text: [float(part) for part in _parts(text)],
        holds=lambda value: (
            len(value) == 2 and _is_list_of(lambda beta: is_number(beta) and 0 <= beta < 1, value)
        ),
        must="two numbers, each at least 0 and less than 1, separated by a comma",
        example=example,
        cast=lambda value: tuple(float(beta) for beta in value),
        metavar="BETA1,BETA2",
        has_commas=True,
    )


def amounts(help: str, example: str, *, metavar: str, above: float = -math.inf) -> Option:
    """NAME=VALUE pairs with values greater than `above`, separated by commas, whose order says nothing."""

    def read(text: str) -> list[tuple[str, float]]:
        pairs = [part.rpartition("=") for part in _parts(text)]
        return [(name.strip(), float(value)) for name, _, value in pairs]

    limit = f" with values greater than {above:g}" if above > -math.inf else ""

    def is_amount(pair: Any) -> bool:
        name, value = pair
        return _is_text(name) and is_number(value) and value > above

    return Option(
        help=help,
        read=read,
        holds=lambda value: _is_list_of(is_amount, value),
        must=f"{metavar.partition(',')[0]} pairs{limit}, separated by commas",
        example=example,
        cast=lambda value: tuple(sorted((name, float(number)) for name, number in value)),
        metavar=metavar,
        has_commas=True,
        repeats=True,
    )


def digest(help: str) -> Option:
    """A sha256 in hexadecimal."""
    return Option(
        help=help,
        read=str.lower,
        holds=lambda value: len(value) == 64 and not set(value) - set("0123456789abcdef"),
        must="a sha256 of 64 hexadecimal digits",
        example="DIGEST with the digest that the run's tags show",
        metavar="SHA256",
    )


def _is_separator(value: str) -> bool:
    """Whether a character may stand between cells: one that neither numbers nor quotes are written with."""
    is_one = len(value) == 1 and value.isascii() and not value.isalnum() and value not in "+-.\"'_"
    return value == TAB or (is_one and (value.isprintable() or value == "\t"))


def _spelled(sep: str) -> str:
    """A separator as one would type it."""
    return TAB if sep == "\t" else sep
