"""The code that runs: its commit, what differs from it, and the digest of its source. It changes nothing."""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from reproven.errors import InvalidInput
from reproven.own.sources import Sources
from reproven.values.programs import Code, OwnCode

_HERE = Path(__file__).resolve()
_PACKAGE = _HERE.parents[1]


@dataclass(frozen=True, slots=True)
class CodeState:
    """The commit that the running code comes from.

    Attributes:
        commit: Its hash.
        branch: The branch checked out; empty where none is.
        patch: What tracked files differ in, as `git diff` tells it; empty where they do not.
    """

    commit: str
    branch: str
    patch: str

    @property
    def dirty(self) -> bool:
        """Whether tracked files differ from the commit."""
        return bool(self.patch)

    @property
    def patch_sha256(self) -> str | None:
        """Digest of the patch; None where there is none."""
        return hashlib.sha256(self.patch_bytes).hexdigest() if self.dirty else None

    @property
    def patch_bytes(self) -> bytes:
        """The patch as git printed it."""
        return self.patch.encode(errors="surrogateescape")


@cache
def code_state(here: Path = _HERE) -> CodeState | None:
    """The state of a source, this package's own where none is named; None where it is in no git checkout.

    It is read once in a process, since the code that runs is the code that was imported.

    Args:
        here: One of its files.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="surrogateescape", check=True
        )
        return done.stdout

    try:
        git("ls-files", "--error-unmatch", here.name)
        commit, branch = git("rev-parse", "HEAD").strip(), git("branch", "--show-current").strip()
        return CodeState(commit, branch, git("diff", "--binary", "HEAD"))
    except (OSError, subprocess.CalledProcessError):
        return None


@cache
def code(state: CodeState | None) -> Code:
    """The running code as a record names it: the source by its digest, and the patch by its own."""
    folder, digest = _PACKAGE, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    source = digest.hexdigest()
    if state is None:
        return Code(source_sha256=source)
    return Code(
        source_sha256=source, commit=state.commit, branch=state.branch, patch_sha256=state.patch_sha256
    )


def own_state(sources: Sources) -> CodeState | None:
    """The state of the user's own sources; None where there are none, or no git checkout knows them."""
    return code_state(next(iter(sources.files.values())).resolve()) if sources.files else None


def own_code(sources: Sources) -> OwnCode:
    """The user's own code as a record names it."""
    found, state = OwnCode(files=sources.digests, packages=sources.packages), own_state(sources)
    if state is None:
        return found
    return replace(found, commit=state.commit, branch=state.branch, patch_sha256=state.patch_sha256)


def require_own_clean(sources: Sources) -> None:
    """Refuses code of the user's own that no commit names.

    Raises:
        InvalidInput: A file is in no commit, or differs from it.
    """
    for path, file in sources.files.items():
        state = code_state(file.resolve())
        if state is None:
            raise InvalidInput(
                [f"require_clean is true, but {path} is in no commit of a git checkout. Commit it."]
            )
        require_clean(state)


def require_clean(code: CodeState | None) -> None:
    """Refuses code that no commit names.

    Raises:
        InvalidInput: The code differs from its commit, or is not in a git checkout.
    """
    if code is None:
        where = _PACKAGE
        raise InvalidInput(
            [f"require_clean is true, but {where} is not in a git checkout. Run from a clone."]
        )
    if code.dirty:
        files = re.findall(r"^diff --git a/(.*) b/", code.patch, re.MULTILINE)
        raise InvalidInput(
            [
                f"require_clean is true, but {', '.join(files)} differ from the commit {code.commit[:12]}. "
                "Commit or stash the changes."
            ]
        )
