"""Failing: what a user's own code raises becomes one error that says what failed, and where in its file."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reproven.errors import OwnCodeError, ReprovenError, Unproved
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
    except Unproved as error:
        asked = f"{error.operation}{_module(error)}{error.how and ', '}{error.how}"
        raise OwnCodeError(
            f"{what} asks{_where(error)} for {asked}. It has not been proved to give the same bits on every "
            "machine. Use something else, or train in torch's own arithmetic: --profile native."
        ) from error
    except ReprovenError:
        raise
    except Exception as error:  # own code may raise anything
        raise OwnCodeError(f"{what} failed{_where(error)}: {type(error).__name__}: {_line(error)}") from error


def _module(error: BaseException) -> str:
    """The innermost module of torch that was being computed."""
    from torch import nn  # which is there, if one of its modules is computed

    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [one for frame in frames if isinstance(one := frame.f_locals.get("self"), nn.Module)]
    return f" (in its {type(modules[-1]).__name__})" if modules else ""


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else "it says nothing").rstrip(".") + "."


def _where(error: BaseException) -> str:
    """The last line of a file that is neither this package's nor an installed one's."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if is_own_file(Path(frame.filename))
    ]
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
