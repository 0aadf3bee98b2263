"""Typed: kinds of options, each by the type of its values: numbers, texts, names, pairs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from reproven.own.named import is_module, is_named, why_not
from reproven.recipes.options import Explained, Option

MAX_COUNT = 2**31 - 1  # of anything; far more steps than a store takes
#: How a tab is spelled, since a shell makes it hard to type.
TAB = "tab"


def is_number(value: Any) -> bool:
    """Whether a value is a finite real number, NumPy's too (True and False are not numbers)."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, NumPy's too (True and False are not numbers)."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_list_of(check: Callable[[Any], bool], values: Any) -> bool:
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


def fold(help: str) -> Option:
    """One part of several, as in 3/10."""
    return Option(
        help=help,
        read=str.strip,
        holds=lambda value: isinstance(value, str) and fold_of(value) is not None,
        must="a fold and how many there are, two at least, as in 3/10",
        example="1/10",
        metavar="FOLD/FOLDS",
    )


def fold_of(text: str) -> tuple[int, int] | None:
    """Which part of how many a text says, both counted from 1; None where it says none."""
    found = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", text)
    if found is None:
        return None
    number, of = int(found[1]), int(found[2])
    return (number, of) if number <= of > 1 else None


def text(help: str, example: str, *, metavar: str) -> Option:
    """Any text that is not blank."""
    return Option(
        help=help, read=str, holds=_is_text, must="text, not blank", example=example, metavar=metavar
    )


def choice(help: str, choices: tuple[str, ...], *, refused: tuple[str, ...] = ()) -> Option:
    """One of a few words.

    Args:
        help: One line for `--help`.
        choices: The words; torch's names, where some are refused, in whatever case they are typed.
        refused: Words that are taken here, so that what refuses them says why.
    """
    spelled = {word.casefold(): word for word in (*choices, *refused)} if refused else {}
    return Option(
        help=help,
        read=lambda text: spelled.get(text.casefold(), text),
        holds=lambda value: value in (*choices, *refused),
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


def _several(help: str, example: str, check: Callable[[Any], bool], *, must: str, metavar: str) -> Option:
    """Texts, separated by commas, whose order says nothing; the option may be repeated."""
    return Option(
        help=help,
        read=_parts,
        holds=lambda value: is_list_of(check, value),
        must=must,
        example=example,
        cast=lambda value: tuple(sorted(set(value))),
        metavar=metavar,
        repeats=True,
        has_commas=True,
    )


def words(help: str, example: str) -> Option:
    """Names, separated by commas, whose order says nothing; the option may be repeated."""
    return _several(help, example, _is_text, must="names, separated by commas", metavar="COLUMN,…")


def widths(help: str, example: str) -> Option:
    """Whole numbers of at least 1, separated by commas."""
    return Option(
        help=help,
        read=lambda text: [int(part) for part in _parts(text)],
        holds=lambda value: (
            len(value) > 0 and is_list_of(lambda w: is_whole(w) and 1 <= w <= MAX_COUNT, value)
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
            len(value) == 2 and is_list_of(lambda beta: is_number(beta) and 0 <= beta < 1, value)
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
        holds=lambda value: is_list_of(is_amount, value),
        must=f"{metavar.partition(',')[0]} pairs{limit}, separated by commas",
        example=example,
        cast=lambda value: tuple(sorted((name, float(number)) for name, number in value)),
        metavar=metavar,
        has_commas=True,
        repeats=True,
    )


def named(help: str, words: tuple[str, ...], example: str) -> Option:
    """One of a few words, or a class or a function of the user's own, as `package.module:name`.

    Args:
        help: One line for `--help`.
        words: What there is without any.
        example: A good value.
    """

    def read(text: str) -> str:
        if text not in words and not is_named(text) and (why := why_not(text)):
            raise Explained(why)
        return text

    return Option(
        help=help,
        read=read,
        holds=lambda value: value in words or is_named(value),
        must=f"one of {', '.join(words)}, or package.module:name" if words else "package.module:name",
        example=example,
        metavar=f"[{'|'.join(words)}|MODULE:NAME]" if words else "MODULE:NAME",
    )


def functions(help: str, example: str, *, each: str) -> Option:
    """Functions of the user's own, as `package.module:name`, with commas; the option may be repeated."""

    def read(text: str) -> list[str]:
        for why in filter(None, map(why_not, _parts(text))):
            raise Explained(why)
        return _parts(text)

    must = "package.module:name, separated by commas"
    found = _several(help, example, is_named, must=must, metavar="MODULE:NAME")
    return replace(found, read=read, each=each)


def modules(help: str, example: str) -> Option:
    """Names of modules, separated by commas; the option may be repeated."""
    return _several(help, example, is_module, must="names of modules, separated by commas", metavar="MODULE")


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
