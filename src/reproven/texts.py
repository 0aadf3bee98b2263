"""Texts that come from elsewhere: JSON, read strictly, so that each text has one meaning or none."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any


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
