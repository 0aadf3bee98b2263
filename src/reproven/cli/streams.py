"""The standard streams: every command does its work whatever they are, and what it says is only text.

What a stream does not take (it is closed, its reader has gone, its disk is full) is swallowed. Control
characters, which a name in an answer may hold, are written as `\\x1b` is here, and so is what a terminal's
encoding has no letter for.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import select
import sys
from typing import Any

import click

#: What moves the cursor, colours, renames the window, or turns the direction of what follows.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LAST_STANDARD = 2


class _Outlet(io.FileIO):
    """A file that swallows what it cannot take.

    Attributes:
        lost: Why something was swallowed; None while nothing was.
    """

    lost: OSError | None = None

    def write(self, content: Any) -> int:
        """Returns how many bytes nobody needs to write any more."""
        try:
            while (taken := super().write(content)) is None:  # a pipe that is full, and set not to wait
                select.select([], [self], [])
        except OSError as error:
            self.lost = error
            return len(content)
        return taken


class _Words(io.TextIOWrapper):
    """A stream of text in which nothing is a command to a terminal.

    Args:
        outlet: Where it goes.
        encoding: Whose letters it may use.
    """

    def __init__(self, outlet: _Outlet, encoding: str) -> None:
        # click takes a stream that says it is ASCII's for one that is set up wrongly, and goes around it
        super().__init__(io.BufferedWriter(outlet), "utf-8" if encoding == "ascii" else encoding)
        self.reconfigure(errors="backslashreplace", line_buffering=True)
        self.outlet, self._letters = outlet, encoding

    def write(self, text: str) -> int:
        """Writes a text with all that is no letter spelled out."""
        plain = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
        return super().write(plain.encode(self._letters, "backslashreplace").decode(self._letters))


def take_on() -> None:
    """Has this process's streams take anything, from now on; those that are another's, as a test's, stay."""
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return
    while (file := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:  # was closed: no other file becomes it
        os.set_inheritable(file, True)
    os.close(file)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (
        _Words(
            _Outlet(number, "wb", closefd=False), codecs.lookup(stream.encoding).name if stream else "utf-8"
        )
        for number, stream in ((1, sys.stdout), (2, sys.stderr))
    )


def lost_answer() -> str | None:
    """Why an answer was lost that somebody still waits for; None where none was."""
    if not isinstance(sys.stdout, _Words):
        return None
    sys.stdout.flush()
    why = sys.stdout.outlet.lost
    return None if why is None or why.errno == errno.EPIPE else str(why.strerror)


def say_data(text: str) -> None:
    """Writes a table to standard output; where that is no terminal, to the byte as a file would hold it."""
    click.echo(text if sys.stdout.isatty() else text.encode(), nl=False)
