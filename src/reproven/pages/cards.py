"""Cards: what a notebook shows of a result, as a piece of HTML without scripts or styles of a page's own.

Its text takes its colours from what is around it, its picture has greys: both are read on light and on dark.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reproven.pages.rendering import rendered

GOOD, BAD, OPEN = "good", "bad", "open"  # what a state means
MOST = 12  # lines, and rows of a table, that are shown
INK = "#808080"  # of pictures, as far from white as from black: they do not know what is around them


def card(
    title: str,
    state: str,
    *,
    meaning: str = GOOD,
    lines: Iterable[str] = (),
    facts: Mapping[str, Any] | None = None,
    table: Sequence[Sequence[str]] = (),
    picture: str | None = None,
    then: str = "",
) -> str:
    """A result as a piece of HTML.

    Args:
        title: What it is of.
        state: What came of it, in a word, such as FINISHED.
        meaning: GOOD, BAD or OPEN, for the colour of that word.
        lines: Sentences.
        facts: Names and values.
        table: A header and rows; the first column holds names, the others numbers.
        picture: An SVG element that this package drew.
        then: What to call next.
    """
    said, (header, *rows) = list(lines), table or [()]
    return rendered(
        "card.html",
        title=title,
        state=state,
        colour={GOOD: "#2e9e63", BAD: "#d9534f", OPEN: "#c98a1b"}[meaning],
        lines=said[:MOST],
        facts=list((facts or {}).items()),
        header=header,
        rows=rows[:MOST],
        more=max(len(said) - MOST, 0) + max(len(rows) - MOST, 0),
        picture=None if picture is None else _address(picture),
        then=then,
    )


def _address(picture: str) -> str:
    """An SVG element as an image's address.

    Jupyter takes elements of SVG out of what a notebook of another shows, and leaves their text; images stay.
    """
    return f"data:image/svg+xml;base64,{b64encode(picture.replace('currentColor', INK).encode()).decode()}"
