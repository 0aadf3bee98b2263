"""README: its commands run as printed, its links lead somewhere, its output is what comes out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import programs
from conftest import ROOT
from programs import SOURCE

README = (ROOT / "README.md").read_text()
_WHOLE = re.MULTILINE | re.DOTALL
NETS = re.search(r"^```python\n(# nets.py\n.*?)^```", README, _WHOLE)
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, _WHOLE)
Run = Callable[[str], subprocess.CompletedProcess[str]]
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("reproven ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what README's commands look for: its network, the bundled table, runs."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "src").symlink_to(ROOT / "src")
    assert NETS is not None
    (folder / "nets.py").write_text(NETS[1])
    (folder / "mlruns").mkdir()
    (folder / "mlruns" / "reference").symlink_to(ROOT / "mlruns" / "reference")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Runs a command in that folder; one that was run already is not run again."""

    @cache
    def done(line: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        return programs.run(SOURCE, *shlex.split(line)[1:], cwd=folder, env=environment)

    return done


def test_there_are_commands_to_run() -> None:
    assert {shlex.split(line)[1] for line in COMMANDS} == {
        *(
            "train",
            "predict",
            "weights",
            "runs",
            "replay",
            "audit",
            "seal",
            "import",
            "doctor",
            "sync",
            "promote",
            "compare",
            "sweep",
        )
    }


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_runs_as_printed(line: str, run: Run) -> None:
    for earlier in COMMANDS[: COMMANDS.index(line)]:  # as a reader has run them
        run(earlier)
    done = run(line)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or (line.startswith("reproven sweep") and " runs done, " in done.stderr)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (COMMANDS[3], 0),
        ("reproven replay mlruns/reference/module-sgd", 0),
        ("reproven audit mlruns/reference/module-sgd", 0),
        ("reproven train --lr 10", 1),
        ("reproven train --lr -0.1 --optimizer adam --momentum 0.9 --layer-lr hiden1=0.1", 2),
    ],
)
def test_printed_output_is_what_comes_out(line: str, code: int, run: Run) -> None:
    done = run(line)
    assert done.returncode == code
    shown = (done.stdout + done.stderr).splitlines()
    own = re.compile(r"  (run|artifacts|version|replay) |  Other inputs")  # other in every run or commit
    for text in shown:
        assert own.match(text) or text in README.splitlines(), text


def test_links_and_pictures_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_make_knows_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
