"""Processes of our own: they find what the process that starts them finds, and nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

#: Looks up runs in a process of its own, once it can import what that needs.
PROGRAM = """
import sys
sys.path += sys.argv[2:]
from reproven.machine import processes
print(processes.call(["doctor"], {"MLFLOW_TRACKING_URI": sys.argv[1]}))
"""


@pytest.mark.parametrize("way", ["PYTHONPATH", "sys.path"])
def test_a_process_of_ours_imports_what_the_one_that_starts_it_does(
    way: str, uri: str, tmp_path: Path
) -> None:
    """In a Python that has no package of its own, and in a folder with one that must not be taken."""
    venv.create(tmp_path / "bare", symlinks=True)
    (tmp_path / "click.py").write_text("raise SystemExit('imported from the current folder')")
    folders = [folder for folder in sys.path if folder]
    by_variable = {"PYTHONPATH": os.pathsep.join(folders)} if way == "PYTHONPATH" else {}
    done = subprocess.run(
        [tmp_path / "bare/bin/python", "-P", "-c", PROGRAM, uri, *([] if by_variable else folders)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | by_variable,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert ast.literal_eval(done.stdout) == {"runs": []}
