"""Stale: a module that was imported before its file was changed, so that other code runs than it says.

It happens in notebooks, whose process goes on while files are edited; and with bytecode that Python does not
hold against its source.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from reproven.errors import OwnCodeError
from reproven.own.sources import Sources, module_at

#: The spec by which each module was imported when it was looked at, and the digest of its file then. A module
#: that is reloaded has another spec.
_seen: dict[str, tuple[Any, str]] = {}


def refuse_stale(sources: Sources) -> None:
    """Refuses modules that are imported, and whose files have been changed since.

    Args:
        sources: The files as they are.

    Raises:
        OwnCodeError: It names all such files.
    """
    if changed := [path for path, content in sources.contents.items() if _is_stale(path, content)]:
        names = ", ".join(module_at(path) for path in changed)
        raise OwnCodeError(
            f"{', '.join(changed)} changed after the import of {names}, so that other code would run than "
            "the file says. Start Python anew, or call importlib.reload; remove __pycache__ if it stays so."
        )


def _is_stale(path: str, content: bytes) -> bool:
    name = module_at(path)
    module, digest = sys.modules.get(name), hashlib.sha256(content).hexdigest()
    if module is None:
        return False
    spec, was = _seen.get(name, (None, ""))
    if spec is module.__spec__:
        return was != digest
    if _runs_other_code(module, content, path):
        return True
    _seen[name] = (module.__spec__, digest)
    return False


def _runs_other_code(module: Any, content: bytes, path: str) -> bool:
    """Whether a function or a method of a module, as imported, is another than in its source now."""
    if not path.endswith(".py"):
        return False
    try:
        written = dict(_inside(compile(content, path, "exec", dont_inherit=True), ""))
    except (SyntaxError, ValueError):
        return True
    if not runs_as_written(Path(module.__spec__.origin or path)):
        return True
    return any(written.get(name, code) != code for name, code in _imported(module))


def runs_as_written(source: Path) -> bool:
    """Whether importing a source runs what it says; not so where bytecode beside it is taken unseen.

    Args:
        source: One that can be compiled; what cannot be imported at all runs nothing else.
    """
    loader = SourceFileLoader(source.stem, str(source))
    try:
        found = loader.get_code(source.stem)
        return found == loader.source_to_code(source.read_bytes(), str(source))
    except (SyntaxError, ValueError, EOFError, ImportError):
        return True


def _inside(code: CodeType, above: str) -> Iterator[tuple[str, CodeType]]:
    """The functions and class bodies in a code, by their names from outside."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield f"{above}{constant.co_name}", constant
            yield from _inside(constant, f"{above}{constant.co_name}.")


def _imported(module: Any) -> Iterator[tuple[str, CodeType]]:
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, FunctionType):
            yield name, value.__code__
        elif isinstance(value, type):
            yield from (
                (f"{value.__qualname__}.{key}", one.__code__)
                for key, one in vars(value).items()
                if isinstance(one, FunctionType)
            )
