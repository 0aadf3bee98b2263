"""Sources: the files that a user's modules are made of, found without importing them, and their digests.

Which files these are is read from their import statements. Those of the user are told by their content,
those of installed packages by name and version.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import re
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

_SHOWN = 40  # lines of a difference
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Sources:
    """What a user's modules are made of.

    Attributes:
        files: Each file, by its path from where its top package is imported, such as `project/nets.py`.
        contents: What each held when it was looked at, by the same paths.
        packages: The version of each installed distribution that they import, by its name.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of each, by the same paths."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.contents.items()}

    def __or__(self, others: Sources) -> Sources:
        """These and others; of a file that is in both, what was seen first."""
        return Sources(
            {**others.files, **self.files},
            {**others.contents, **self.contents},
            {**others.packages, **self.packages},
        )


def from_here() -> str:
    """The current folder, from which modules are imported first from now on, as `python -m` does it."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
        importlib.invalidate_caches()
    return here


def sources_of(modules: Sequence[str]) -> Sources:
    """The sources of some modules, and of all that these import; none of them is imported.

    Args:
        modules: Their names; one that is not found has no file.
    """
    from_here()
    files: dict[str, Path] = {}
    others: set[str] = set()
    ahead, seen = list(modules), set[str]()
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        spec = _spec(name)
        if spec is None or (spec.origin or "") in ("built-in", "frozen"):
            continue
        if not _is_own(spec):
            others.add(name.partition(".")[0])
            continue
        if package := name.rpartition(".")[0]:
            ahead.append(package)
        if spec.origin is not None:
            path = Path(spec.origin)
            files[_path_of(name, spec, path)] = path
            ahead += _imports(path, name if spec.submodule_search_locations is not None else package)
    found = dict(sorted(files.items()))
    contents = {name: path.read_bytes() for name, path in found.items()}
    return Sources(found, contents, _versions(others))


def sources_again(modules: Sequence[str], paths: Collection[str]) -> Sources:
    """The sources as `sources_of` finds them, and those of other paths that were recorded with them."""
    return sources_of([*modules, *(module_at(path) for path in paths)])


def module_at(path: str) -> str:
    """The module whose source stands at a path, as `Sources` has it."""
    parts = path.split("/")
    named = parts[:-1] if parts[-1].startswith("__init__.") else [*parts[:-1], parts[-1].partition(".")[0]]
    return ".".join(named)


def imported_since(before: Collection[str]) -> Sources:
    """The sources of the user's modules that were imported meanwhile, though no statement tells of them.

    Args:
        before: The names in `sys.modules` as they were.
    """
    specs = {
        name: getattr(module, "__spec__", None) for name, module in sys.modules.items() if name not in before
    }
    return sources_of([name for name, spec in specs.items() if spec and spec.origin and _is_own(spec)])


def apart(path: str, recorded: bytes, found: bytes) -> list[str]:
    """The lines in which a source differs from the recorded one, as `diff -u` has them."""
    old, new = (text.decode(errors="replace").splitlines() for text in (recorded, found))
    lines = list(difflib.unified_diff(old, new, f"{path} as recorded", f"{path} now", lineterm="", n=1))
    return lines[:_SHOWN] + ([f"… and {len(lines) - _SHOWN} more lines"] if len(lines) > _SHOWN else [])


def _spec(name: str) -> ModuleSpec | None:
    """Where a module would be imported from; its packages are looked through, not imported."""
    parts, places = name.split("."), None
    spec: ModuleSpec | None = None
    for end in range(1, len(parts) + 1):
        whole = ".".join(parts[:end])
        finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((one for finder in finders if (one := finder.find_spec(whole, places))), None)
        if spec is None:
            return None
        places = spec.submodule_search_locations
        if places is None and end < len(parts):
            return None
    return spec


def _path_of(name: str, spec: ModuleSpec, path: Path) -> str:
    parts = name.split(".")
    inside = [*parts, path.name] if spec.submodule_search_locations is not None else [*parts[:-1], path.name]
    return "/".join(inside)


@cache
def _installed() -> tuple[Path, ...]:
    """The folders whose modules are no user's: Python's own, the installed packages', and this package."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {Path(sysconfig.get_path(name)).resolve() for name in names} | {_PACKAGE}
    beside = {path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages")}
    return (*folders, *(path.resolve() for path in beside))


def _is_own(spec: ModuleSpec) -> bool:
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return bool(places) and all(is_own_file(Path(place)) for place in places)


def is_own_file(path: Path) -> bool:
    """Whether a file or a folder is the user's own: no part of Python or of a package."""
    return not _is_installed(path.absolute()) and path.exists()


@cache
def _is_installed(path: Path) -> bool:
    return any(path.resolve().is_relative_to(folder) for folder in _installed())


def _imports(path: Path, package: str) -> Iterator[str]:
    """The modules that a file's import statements may mean, wherever these stand in it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):  # its import says what is wrong with it
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*above, node.module or ""]))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _versions(names: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    unknown = []
    for name in sorted(names - sys.stdlib_module_names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            unknown.append(name)
    for name in unknown:
        found |= {distribution: metadata.version(distribution) for distribution in bringing(name)}
    return dict(sorted(found.items()))


@cache
def bringing(module: str) -> frozenset[str]:
    """The installed distributions that bring a top module, by what they say of themselves.

    importlib.metadata.packages_distributions says it of all modules at once, and takes a second for that.
    """
    return frozenset(each.metadata["Name"] for each in metadata.distributions() if _brings(each, module))


def _brings(distribution: metadata.Distribution, module: str) -> bool:
    if declared := distribution.read_text("top_level.txt"):
        return module in declared.split()
    files = distribution.read_text("RECORD") or ""
    return re.search(rf"^{re.escape(module)}(/|\.[^/]*,)", files, re.MULTILINE) is not None
