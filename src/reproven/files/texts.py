"""Texts that come from elsewhere: JSON, read strictly, so that each text has one meaning or none."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from reproven.errors import RecordError


def json_value(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is no JSON, is nested too deeply, names a key twice, or holds a number that is not
            finite; says which.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"it has the key {twice[:100]!r} twice")
    return found


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse(text)
    return value


def _refuse(text: str) -> float:
    raise ValueError(f"it has the number {text[:100]}, which is not finite")


FORMAT = 1


def json_text(value: Any) -> str:
    """A value as JSON with sorted keys, floats by `repr`, so that they read back exactly."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV with a header and lines that end as on Unix."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def read_rows(name: str, text: str, header: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The header of a CSV text, and the rows below it.

    Raises:
        RecordError: The header starts with other columns, or a row has more or fewer cells.
    """
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise RecordError(f"{name} cannot be read as CSV: {error}.") from error
    if not rows or rows[0][: len(header)] != list(header):
        raise RecordError(f"{name} does not start with the columns {', '.join(header)}.")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise RecordError(f"{name}, line {number} has {len(row)} cells instead of {len(rows[0])}.")
    return rows[0], rows[1:]


def whole_number(cell: str) -> int:
    """The whole number in a cell, from 0 to what a store can hold, spelled as Python spells it.

    Raises:
        ValueError: It is none.
    """
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", cell) or int(cell) >= 2**63:
        raise ValueError(f"{cell[:50]!r} is no whole number from 0 to 2**63 - 1")
    return int(cell)


def json_object(name: str, text: str) -> dict[str, Any]:
    """A JSON object from the text of a file.

    Raises:
        RecordError: It is not one; the error names the file.
    """
    try:
        value = json_value(text)
    except ValueError as error:
        raise RecordError(f"{name} cannot be read as JSON: {error}.") from error
    if not isinstance(value, dict):
        raise RecordError(f"{name} holds a {type(value).__name__}, but must hold an object.")
    return value
