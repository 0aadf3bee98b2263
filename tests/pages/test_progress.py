"""Progress: a line on a terminal and in a notebook, and nothing anywhere else."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import Cli
from reproven.pages import progress
from reproven.values.steps import Step

STEPS = [Step(n, n // 4, n % 4, 9.0 - n, n % 4 == 3) for n in range(8)]


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal that can do everything, as standard error in the block; the number of its other end.

    Not a fixture: pytest puts its own standard error back before the test.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    with os.fdopen(theirs, "w") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        patch.setenv("TERM", "xterm")
        yield ours
    with suppress(OSError):
        os.close(ours)


def everything(terminal: int) -> Iterator[str]:
    """What a terminal was told, up to its end."""
    with suppress(OSError):
        while content := os.read(terminal, 1024):
            yield content.decode()


class Cell:
    """A notebook's kernel as far as it is asked: what it was told to show, in the order in which it was."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.display = SimpleNamespace(display=self._display)

    def get_ipython(self) -> Any:
        return SimpleNamespace(kernel=self)

    def _display(self, content: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        self.shown.append("a new output")
        self.update(content, raw=raw)
        return self

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(content["text/plain"])


def test_elsewhere_nothing_is_told_and_nothing_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", place)
        for where in (progress.NOTEBOOK, progress.TERMINAL):
            for passed in (where.training, where.replay, where.audit):
                assert passed(STEPS, 8) is STEPS


def test_a_terminal_sees_rate_loss_and_time_to_go_and_is_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as ours:
        assert list(progress.TERMINAL.training(STEPS, 8)) == STEPS
        sys.stderr.close()  # so that there is an end to read to
        text = "".join(everything(ours))
    assert "training:   0%|" in text
    assert text.endswith("\r")
    assert text.rpartition("\r")[0].rpartition("\r")[2].strip() == ""


def test_a_terminal_that_cannot_do_lines_that_change_is_shown_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch):
        assert progress.on_terminal()
        monkeypatch.setenv("TERM", "dumb")
        assert progress.TERMINAL.training(STEPS, 8) is STEPS


def test_a_line_on_a_terminal_that_hung_up_stops_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as ours:
        shown = iter(progress.TERMINAL.training(STEPS, 8))
        assert next(shown) == STEPS[0]
        os.close(ours)
        assert list(shown) == STEPS[1:]


def test_a_notebook_sees_one_output_that_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell()
    monkeypatch.setitem(sys.modules, "IPython", cell)
    assert list(progress.NOTEBOOK.training(STEPS, 8)) == STEPS
    assert cell.shown.count("a new output") == 1
    assert "training: 100%" in cell.shown[-1]
    assert "loss 2" in cell.shown[-1]
    assert "8/8" in cell.shown[-1]


def test_a_sweep_tells_how_many_runs_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell()
    monkeypatch.setitem(sys.modules, "IPython", cell)
    tell = progress.NOTEBOOK.sweep()
    for ended in (1, 3, 4):
        tell(SimpleNamespace(total=4, runs=[None] * ended, note="best test_rmse 2.5 (lr=0.1)"))
    assert cell.shown.count("a new output") == 1
    assert "4/4" in cell.shown[-1]
    assert "best test_rmse 2.5 (lr=0.1)" in cell.shown[-1]


def test_a_command_whose_errors_are_no_terminal_tells_nothing(cli: Cli) -> None:
    done = cli("sweep", "--axis", "lr=0.01,0.02", "--epochs", "1", "--experiment", "quiet", "--jobs", "1")
    assert (done.returncode, done.stderr) == (0, "")
