"""The git checkout that a file lies in: its commit, and what differs from it.

What git is told by variables, options or marks of its index changes none of this, and nothing that a
repository names is run, but for the filters by which git itself reads a file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

#: Variables of git's that lead to no other repository.
_KEPT = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
#: Every file is asked for its own state, and as what git has it, not as what replaces that.
_PLAIN = (
    *("--no-replace-objects", "--literal-pathspecs", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.ignoreStat=false"),
    *("-c", "core.trustCtime=true", "-c", "core.checkStat=default"),
)
_LEFT_OUT = "S"  # in `git ls-files -v`; a small letter is a file that is taken for unchanged


def command(folder: Path, *arguments: str) -> list[str]:
    """A call of git in a folder."""
    return ["git", "-C", str(folder), *_PLAIN, *arguments]


def variables(**more: str) -> dict[str, str]:
    """The environment for a call of git, without what leads to another repository."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith(_KEPT)}
    return {**kept, **more}


def git(folder: Path, *arguments: str, index: Path | None = None, told: str = "") -> str:
    """What git prints.

    Args:
        folder: Where it is called.
        arguments: Its own.
        index: The index to use; None is that of the checkout.
        told: What it reads.

    Raises:
        OSError, subprocess.CalledProcessError: There is no git, or it fails.
    """
    done = subprocess.run(
        command(folder, *arguments),
        input=told,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=variables(**({} if index is None else {"GIT_INDEX_FILE": str(index)})),
        check=True,
    )
    return done.stdout


def unknown(folder: Path, files: Collection[Path]) -> list[Path]:
    """Those of some files in a folder that git does not know."""
    known = set(git(folder, "ls-files", "-z").split("\0"))
    return [path for path in files if path.relative_to(folder).as_posix() not in known]


def patch(folder: Path, new: Collection[Path] = ()) -> str:
    """What differs from the commit, in the form that `git apply` takes.

    Args:
        folder: One of the checkout's.
        new: Files that git does not know; the patch makes them.
    """
    top, place, commit = git(
        folder, "rev-parse", "--show-toplevel", "--git-path", "index", "HEAD"
    ).splitlines()
    with tempfile.TemporaryDirectory(prefix="reproven-") as temporary:
        index = Path(shutil.copy(folder / place, temporary))  # the user's own stays as it is

        def of_index(*arguments: str, told: str = "") -> str:
            return git(Path(top), *arguments, index=index, told=told)

        listed = of_index("ls-files", "-v", "-z").split("\0")
        marked = [line[2:] for line in listed if line[:1] == _LEFT_OUT or line[:1].islower()]
        there = "\0".join(name for name in marked if os.path.lexists(Path(top, name)))  # others are meant so
        for mark in ("--no-assume-unchanged", "--no-skip-worktree"):
            of_index("update-index", mark, "-z", "--stdin", told=there)
        # any object stands for a new file: what it holds is looked up where it lies
        names = (path.resolve().relative_to(Path(top).resolve()).as_posix() for path in new)
        made = "\0".join(f"100644 {commit}\t{name}" for name in names)
        of_index("update-index", "--add", "-z", "--index-info", told=made)
        of_index("update-index", "-q", "--really-refresh")
        return of_index("diff-index", "--binary", "--no-ext-diff", "--no-textconv", "-p", "HEAD")
