"""Progress: a line on a terminal and in a notebook, and nothing anywhere else."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import Cli
from reproven.pages import progress
from reproven.values.steps import Step

STEPS = [Step(n, n // 4, n % 4, 9.0 - n, n % 4 == 3) for n in range(8)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
    there = Terminal()
    monkeypatch.setattr(sys, "stderr", there)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    assert list(progress.TERMINAL.training(STEPS, 8)) == STEPS
    text = there.getvalue()
    assert "training:   0%|" in text
    assert text.endswith("\r")
    assert text.rpartition("\r")[0].rpartition("\r")[2].strip() == ""


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
