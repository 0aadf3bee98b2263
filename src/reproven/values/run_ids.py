"""Run ids: what a user may give for a run, read in one place."""

from __future__ import annotations

import os
from collections.abc import Sequence

from reproven.errors import InvalidInput

SCHEME = "runs:/"
EXAMPLE = "5aafbec3d5a143a98e4a0f1a1b4ff1f1"


def run_and_path(source: str) -> tuple[str, str]:
    """What `runs:/ID/PATH`, or an id itself, names: the id, unchecked, and an artifact's path, if any."""
    run_id, _, path = source.removeprefix(SCHEME).partition("/")
    return run_id, path


def is_run(source: str) -> bool:
    """Whether a text has the form of a run: `runs:/…`, or an id of 32 hexadecimal digits."""
    return source.startswith(SCHEME) or _is_id(source)


def run_id_in(source: str, or_else: str = " or the folder of a bundle") -> str:
    """The run id that `runs:/…` or an id itself names.

    Args:
        source: What was given.
        or_else: What else might have been, as words for the error.

    Raises:
        InvalidInput: It names none.
    """
    run_id, _ = run_and_path(source)
    if not _is_id(run_id):
        raise InvalidInput(
            [f"run is {source[:100]!r}, but must be a run id (32 hexadecimal digits){or_else}."]
        )
    return run_id


def _is_id(text: str) -> bool:
    return len(text) == 32 and not set(text) - set("0123456789abcdef")


def listed(given: object, name: str, example: str) -> list[str]:
    """Texts as a list: one alone, or a path, stands for a list of it.

    Args:
        given: What was given.
        name: What it is called, for the error.
        example: What such a text may be, for the error.

    Raises:
        InvalidInput: It is neither a text nor a list of some.
    """
    some = [given] if isinstance(given, str | os.PathLike) else given
    if not isinstance(some, Sequence) or not all(isinstance(one, str | os.PathLike) for one in some):
        raise InvalidInput(
            [f"{name} is {given!r:.60}, but must be a str, or a list of some. Try {name}=[{example!r}]."]
        )
    return [os.fspath(one) for one in some]
