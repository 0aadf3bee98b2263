"""The code that runs: its commit, what differs from it, and the digest of its source. It changes nothing."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.machinery import all_suffixes
from importlib.util import cache_from_source
from pathlib import Path

from reproven.errors import InvalidInput
from reproven.machine import checkout, environment
from reproven.own.sources import Sources
from reproven.own.stale import runs_as_written
from reproven.values.programs import Code, OwnCode

_HERE = Path(__file__).resolve()
_PACKAGE = _HERE.parents[1]
_UNCHECKED = 0b01  # of the flags in bytecode's second word, of PEP 552: by a digest, which is not looked at


@dataclass(frozen=True, slots=True)
class CodeState:
    """The commit that the running code comes from.

    Attributes:
        commit: Its hash.
        branch: The branch checked out; empty where none is.
        patch: What its files differ in, in the form of `git diff`; empty where they do not.
    """

    commit: str
    branch: str
    patch: str

    @property
    def dirty(self) -> bool:
        """Whether its files differ from the commit."""
        return bool(self.patch)

    @property
    def patch_sha256(self) -> str | None:
        """Digest of the patch; None where there is none."""
        return hashlib.sha256(self.patch_bytes).hexdigest() if self.dirty else None

    @property
    def patch_bytes(self) -> bytes:
        """The patch as git printed it."""
        return self.patch.encode(errors="surrogateescape")


def _importable(folder: Path) -> list[Path]:
    """The files in a folder that Python may take for modules, sorted."""
    suffixes = tuple(all_suffixes())
    return sorted(
        Path(place, name)
        for place, folders, names in os.walk(folder, followlinks=True)
        for name in names
        if name.endswith(suffixes) and Path(place).name != "__pycache__"
    )


def _source_sha256() -> str:
    """Digest of all of this package that may be imported."""
    digest = hashlib.sha256()
    for path in _importable(_PACKAGE):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


_IMPORTED = _source_sha256()  # when this module was: the others come moments before or after


@cache
def code_state(here: Path = _HERE) -> CodeState | None:
    """The state of a source, this package's own where none is named; None where it is in no git checkout.

    It is read once in a process, since the code that runs is the code that was imported.

    Args:
        here: One of its files.
    """
    folder = here.parent
    try:
        if checkout.unknown(folder, [here]):
            return None
        new = checkout.unknown(_PACKAGE, _importable(_PACKAGE)) if here == _HERE else []
        commit = checkout.git(folder, "rev-parse", "HEAD").strip()
        branch = checkout.git(folder, "branch", "--show-current").strip()
        return CodeState(commit, branch, checkout.patch(folder, new))
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


@cache
def code(state: CodeState | None) -> Code:
    """The running code as a record names it: the source by its digest, and the patch by its own.

    Raises:
        InvalidInput: Another code runs than the source says.
    """
    _require_as_written(lambda path: _is_unchecked(Path(cache_from_source(path))))
    source = _source_sha256()
    if source != _IMPORTED:
        raise InvalidInput(
            [f"The source in {_PACKAGE} changed after it was imported: other code runs. Start Python anew."]
        )
    if state is None:
        return Code(source_sha256=source)
    return Code(
        source_sha256=source, commit=state.commit, branch=state.branch, patch_sha256=state.patch_sha256
    )


def _require_as_written(may_differ: Callable[[Path], bool]) -> None:
    """Refuses bytecode of this package that is not that of the source beside it.

    Args:
        may_differ: Which sources are compiled, to be held against theirs.

    Raises:
        InvalidInput: There is some.
    """
    sources = [path for path in _importable(_PACKAGE) if path.suffix == ".py"]
    if others := [str(path) for path in sources if may_differ(path) and not runs_as_written(path)]:
        names = ", ".join(others)
        raise InvalidInput(
            [f"Other code than {names} says is imported in its place. Remove __pycache__ beside it."]
        )


def _is_unchecked(bytecode: Path) -> bool:
    """Whether Python runs bytecode without asking whether its source is still what it was made of."""
    try:
        with bytecode.open("rb") as file:
            return int.from_bytes(file.read(8)[4:], "little") == _UNCHECKED
    except OSError:
        return False


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
    """Refuses code that no commit and no package names: of the user's own, or in place of what is installed.

    Raises:
        InvalidInput: A file is in no commit, differs from it, or is imported in place of what is installed.
    """
    others = {name: path for name, path in environment.beside().items() if path not in sources.files.values()}
    if others:
        told = ", ".join(f"{name} from {path}" for name, path in others.items())
        raise InvalidInput(
            [f"require_clean is true, but imported is {told}, which no package brings. Remove it."]
        )
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
        InvalidInput: The code differs from its commit, or is not in a git checkout; or other code is imported
            in its place.
    """
    _require_as_written(lambda path: True)
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
