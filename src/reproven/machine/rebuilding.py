"""The code and the packages of another day: a commit in a worktree, an environment by uv.

What a record names is checked before it becomes part of a command: package names come from a list, and
versions and commits have the form of versions and commits. A patch that a record holds is never applied.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reproven.errors import RebuildError
from reproven.machine import checkout
from reproven.machine.environment import PACKAGES
from reproven.machine.processes import SOURCE

_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_COMMIT = re.compile(r"[0-9a-f]{40}")

_ALSO = ("filelock", "platformdirs")  # what this package imports, and none of PACKAGES is sure to bring

_NOT_REBUILT = {"reproven", "pip", "setuptools", "wheel", "uv"}


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
        try:
            _run(checkout.command(SOURCE, "worktree", "add", "--detach", str(folder), commit))
        except RebuildError as error:
            raise RebuildError(
                f"The commit {commit} cannot be checked out. Fetch it first. {error}"
            ) from error
        try:
            yield folder / "src"
        finally:
            with contextlib.suppress(RebuildError):
                _run(checkout.command(SOURCE, "worktree", "remove", "--force", str(folder)))


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
    _run([*install, "--constraint", str(folder / "constraints.txt"), *wanted, *_ALSO])
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
    done = subprocess.run(command, capture_output=True, text=True, env=checkout.variables(), check=False)
    if done.returncode:
        why = " ".join(done.stderr.split())[-500:]
        raise RebuildError(f"`{' '.join(command[:3])} …` failed: {why}")
