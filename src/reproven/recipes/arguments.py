"""Arguments: NAME=VALUE pairs for what is named: a network, a loss, an optimizer or a schedule.

Their values are plain: numbers, texts, true, false, null, and lists of these. None names anything to import.
"""

from __future__ import annotations

import json
from typing import Any

from reproven.recipes.options import Explained, Option
from reproven.recipes.typed import is_list_of, is_number, is_whole

_DECODER = json.JSONDecoder()


def arguments(help: str, example: str, *, each: str) -> Option:
    """NAME=VALUE pairs, separated by commas, with JSON values: numbers, texts, true, false, null, and lists.

    Args:
        help: One line for `--help`.
        example: A good pair.
        each: How the option is spelled that gives one.
    """
    return Option(
        help=help,
        read=read_arguments,
        holds=lambda value: is_list_of(_is_argument, value),
        must="NAME=VALUE pairs, separated by commas, of numbers, texts, true, false, null or lists of these",
        example=example,
        cast=lambda value: tuple(sorted((name, _kept(one)) for name, one in value)),
        metavar="NAME=VALUE",
        has_commas=True,
        repeats=True,
        each=each,
    )


def read_arguments(text: str) -> list[tuple[str, Any]]:
    """The pairs of a text: each value is JSON where it can be read so, else the word up to a comma."""
    if not text.strip():
        raise Explained("There is none.")
    pairs, rest = [], text.strip()
    while rest:
        name, equals, rest = rest.partition("=")
        if not equals:
            raise Explained(f"There is no = after {name.strip()!r}.")
        value, rest = _first_value(rest.lstrip())
        pairs.append((name.strip(), value))
    return pairs


def _first_value(text: str) -> tuple[Any, str]:
    """A text's first value, and what follows the comma behind it."""
    try:
        value, end = _DECODER.raw_decode(text)
        behind = text[end:].lstrip()
        if not behind or behind.startswith(","):
            return value, behind[1:].lstrip()
    except ValueError:
        pass
    word, _, behind = text.partition(",")
    return word.strip(), behind.lstrip()


def _is_argument(pair: Any) -> bool:
    name, value = pair
    return isinstance(name, str) and name.isidentifier() and not name.startswith("__") and _is_plain(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, bool | str) or is_number(value)


def _kept(value: Any) -> Any:
    """An argument as it is kept: a list as a tuple, a number of NumPy's as Python's."""
    if isinstance(value, list | tuple):
        return tuple(map(_kept, value))
    if value is None or isinstance(value, bool | str):
        return value
    return int(value) if is_whole(value) else float(value)
