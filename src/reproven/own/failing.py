"""Failing: what a user's own code raises becomes one error that says what failed, and where in its file."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reproven.errors import OwnCodeError, ReprovenError
from reproven.own.sources import is_own_file


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Own code runs inside of it.

    Args:
        what: What runs, as `the network nets:Net`, and what it was given.

    Raises:
        OwnCodeError: It raised something.
    """
    try:
        yield
    except ReprovenError:
        raise
    except Exception as error:  # own code may raise anything
        raise OwnCodeError(f"{what} failed{_where(error)}: {type(error).__name__}: {_line(error)}") from error


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else "it says nothing").rstrip(".") + "."


def _where(error: BaseException) -> str:
    """The last line of a file that is neither this package's nor an installed one's."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if is_own_file(Path(frame.filename))
    ]
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
