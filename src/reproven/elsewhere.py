"""Elsewhere: this program in a process of its own, or with the code and the packages of another day.

What a record names is checked before it becomes part of a command: package names come from a list, and
versions and commits have the form of versions and commits. A patch that a record holds is never applied.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reproven.arithmetic import users_environment
from reproven.environment import PACKAGES
from reproven.errors import RebuildError

_SOURCE = Path(__file__).resolve().parent.parent
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_COURTESY = 10  # of 19: what runs beside a training leaves the cores to it
_NOT_REBUILT = {"reproven", "pip", "setuptools", "wheel", "uv"}


def call(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    python: Path | None = None,
    source: Path = _SOURCE,
) -> dict[str, Any]:
    """What `reproven … --json` prints in a process of its own.

    Args:
        arguments: The command and its options; anybody on this machine can see them.
        variables: Added to the environment, which nobody else sees; one that is empty is taken out.
        python: The interpreter; this one where not given.
        source: The folder that holds the package.

    Raises:
        RebuildError: It printed no JSON object; the error says why.
    """
    command = [str(python or sys.executable), *_PROGRAM, *arguments, "--json"]
    environment = _environment(variables, source)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    try:
        value = json.loads(done.stdout)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RebuildError(f"`reproven {arguments[0]}` gave no answer in a process of its own: {why}")
    return value


@contextmanager
def meanwhile(
    arguments: Sequence[str], uri: str, *, after: float, only_if: Callable[[], bool]
) -> Iterator[None]:
    """Runs `reproven …` beside the block, if that lasts, and kills it at the block's end.

    Its standard input ends when this process does, in whatever way.

    Args:
        arguments: The command and its options; anybody on this machine can see them.
        uri: The tracking store, which nobody else sees.
        after: Seconds that the block has to last.
        only_if: Asked then, whether it is worth it.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        if not only_if():
            return
        started.append(
            subprocess.Popen(
                [sys.executable, *_PROGRAM, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=_environment({"MLFLOW_TRACKING_URI": uri}, _SOURCE),
                process_group=0,  # Ctrl-C is for this process
            )
        )
        os.setpriority(os.PRIO_PROCESS, started[0].pid, _COURTESY)

    timer = threading.Timer(after, start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for process in started:
            process.kill()
            process.communicate()


_PROGRAM = (
    "-P",
    "-c",
    "import os, sys; sys.path.insert(0, os.environ['REPROVEN_SOURCE']); "
    "from reproven.cli import main; main(prog_name='reproven')",
)


def _environment(variables: Mapping[str, str], source: Path) -> dict[str, str]:
    found = {**users_environment(), **variables, "PYTHONPATH": "", "REPROVEN_SOURCE": str(source)}
    return {name: value for name, value in found.items() if value}


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """A commit of this package's own repository, checked out for the length of the block.

    Raises:
        RebuildError: The code is not in a git checkout, or that has no such commit.
    """
    if not _COMMIT.fullmatch(commit):
        raise RebuildError(f"The record's commit is {commit!r}, which is no commit's hash.")
    with tempfile.TemporaryDirectory(prefix="reproven-") as temporary:
        folder = Path(temporary) / "commit"
        git = ["git", "-C", str(_SOURCE), "worktree"]
        try:
            _run([*git, "add", "--detach", str(folder), commit])
        except RebuildError as error:
            raise RebuildError(
                f"The commit {commit} cannot be checked out. Fetch it first. {error}"
            ) from error
        try:
            yield folder / "src"
        finally:
            with contextlib.suppress(RebuildError):
                _run([*git, "remove", "--force", str(folder)])


def rebuild(environment: Mapping[str, Any], folder: Path) -> Path:
    """Builds the recorded environment with uv, and returns its interpreter.

    Args:
        environment: As `environment.describe` tells it.
        folder: Where to build it.

    Raises:
        RebuildError: uv is not there, or cannot build it.
    """
    if shutil.which("uv") is None:
        raise RebuildError("uv is not there, which rebuilds the environment. Install it: pip install uv.")
    python = _checked("python", environment.get("python"))
    packages = dict(environment.get("packages") or {})
    if unknown := sorted(set(packages) - set(PACKAGES)):
        raise RebuildError(f"The record's environment wants {', '.join(unknown)}, which no run needs.")
    wanted = [_pin(name, version) for name, version in packages.items()]
    others = [
        _pin(name, version)
        for name, version in dict(environment.get("installed") or {}).items()
        if name.lower() not in _NOT_REBUILT
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "constraints.txt").write_text("\n".join(others) + "\n")
    place = folder / "venv"
    try:
        _run(["uv", "venv", "--quiet", "--python", python, str(place)])
    except RebuildError:  # that very patch release is not here; the difference will be told
        _run(["uv", "venv", "--quiet", "--python", python.rpartition(".")[0], str(place)])
    interpreter = place / "bin" / "python"
    install = ["uv", "pip", "install", "--quiet", "--python", str(interpreter)]
    _run([*install, "--constraint", str(folder / "constraints.txt"), *wanted])
    return interpreter


def _pin(name: str, version: Any) -> str:
    if not _NAME.fullmatch(name):
        raise RebuildError(f"The record's environment names {name!r}, which is no package's name.")
    return f"{name}=={_checked(name, version)}"


def _checked(name: str, version: Any) -> str:
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise RebuildError(f"The record's environment has {version!r} for {name}, which is no version.")
    return version


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = " ".join(done.stderr.split())[-500:]
        raise RebuildError(f"`{' '.join(command[:3])} …` failed: {why}")
