"""Elsewhere: this program in a process of its own, or with the code and the packages of another day.

What a record names is checked before it becomes part of a command: package names come from a list, and
versions and commits have the form of versions and commits. A patch that a record holds is never applied.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reproven.arithmetic.profiles import users_environment
from reproven.errors import RebuildError
from reproven.own import trust

SOURCE = Path(__file__).resolve().parents[2]
_NAME = "reproven"
_COURTESY = 10  # of 19: what runs beside a training leaves the cores to it
_FOLDERS = "REPROVEN_FOLDERS"  # that a process of ours imports from first, as JSON


def call(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    python: Path | None = None,
    source: Path = SOURCE,
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
    environment = _environment(variables, [str(source)] if python else _own_folders(source))
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
        if hasattr(signal, "pthread_sigmask"):  # inherited: Ctrl-C is for this process
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        started.append(
            subprocess.Popen(
                [sys.executable, *_PROGRAM, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=_environment({"MLFLOW_TRACKING_URI": uri}, _own_folders(SOURCE)),
            )
        )
        if hasattr(os, "setpriority"):
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


@contextmanager
def of_this_package() -> Iterator[None]:
    """Python processes that are started in the block import this package, and no other of its name.

    A model that MLflow loaded brings along the part of this package that it needs, in a folder that stands
    before all others from then on.
    """
    before = list(sys.path)
    sys.path[:] = [folder for folder in before if not _holds_another(Path(folder))]
    try:
        yield
    finally:
        sys.path[:] = before


def _holds_another(folder: Path) -> bool:
    package = folder / _NAME
    return package.is_dir() and package.resolve() != SOURCE / _NAME


def kill(process: int) -> None:
    """Ends a process by its number, whatever it does; none if it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has the latter alone for it


_PROGRAM = (
    "-P",
    "-c",
    f"import json, os, sys; sys.path[:0] = json.loads(os.environ['{_FOLDERS}']); "
    "from reproven.cli import main; main(prog_name='reproven')",
)


def _own_folders(source: Path) -> list[str]:
    """Where this process imports from, with the folder of the package before all; none is relative."""
    return [str(source), *(str(Path(folder).absolute()) for folder in sys.path)]


def _environment(variables: Mapping[str, str], folders: Sequence[str]) -> dict[str, str]:
    """The user's environment for a process that imports from some folders first."""
    own = {"PYTHONPATH": "", _FOLDERS: json.dumps(folders), **trust.variables()}
    found = {**users_environment(), **variables, **own}
    return {name: value for name, value in found.items() if value}
