"""Changes: the inputs in which two runs differ, but for those that change no bit, and their words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reproven.arithmetic.profiles import PORTABLE
from reproven.values.record import Inputs

#: Facts about the environment that are recorded and not compared: they are there to rebuild it.
_NOT_COMPARED = ("installed", "variables", "system")

#: Facts that change no bit in the portable profile, which is there so that they do not.
_PORTABLE_AGAINST = (
    *("cpu", "gpu", "machine", "torch.threads", "torch.interop_threads", "torch.cpu_capability"),
    *("torch.mkl", "torch.mkl_cbwr_branch", "torch.onednn", "torch.onednn_enabled"),
)

_MISSING = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An input that differs.

    Attributes:
        name: What, as `recipe.lr` or `environment.packages.numpy`.
        recorded: Its value in the record.
        found: Its value now.
    """

    name: str
    recorded: Any
    found: Any


def changes(recorded: Inputs, found: Inputs) -> tuple[Change, ...]:
    """The inputs that differ, but for those that change no bit in the profile."""
    pairs: list[tuple[str, Any, Any]] = []
    old, new = recorded.recipe.to_dict(), found.recipe.to_dict()
    last = ("data", "data_sha256", "profile")
    for name in (*sorted((old.keys() | new.keys()) - set(last)), "data_sha256"):
        pairs.append((f"recipe.{name}", old.get(name), new.get(name)))
    pairs.append(("split", recorded.split_sha256, found.split_sha256))
    if recorded.code.source_sha256 != found.code.source_sha256:  # else another commit means nothing
        for name in ("commit", "patch_sha256", "source_sha256"):
            pairs.append((f"code.{name}", getattr(recorded.code, name), getattr(found.code, name)))
    files, packages = (
        [getattr(own, kind, {}) for own in (recorded.own, found.own)] for kind in ("files", "packages")
    )
    pairs += [(f"own.files.{path}", was, now) for path, was, now in other_files(*files)]
    pairs += [(f"own.packages.{name}", was, now) for name, was, now in _pairs(*packages)]
    left, right = dict(leaves(recorded.environment)), dict(leaves(found.environment))
    skipped = _PORTABLE_AGAINST if old.get("profile") == new.get("profile") == PORTABLE else ()
    for name in sorted(left.keys() | right.keys()):
        if not name.startswith(_NOT_COMPARED) and name not in skipped:
            pairs.append((f"environment.{name}", left.get(name), right.get(name)))
    for name, a, b in _pairs(recorded.standardisation, found.standardisation):
        pairs.append((f"standardisation's {name}", a, b))
    for name in dict.fromkeys([*recorded.initial_weights, *found.initial_weights]):
        pair = recorded.initial_weights.get(name), found.initial_weights.get(name)
        pairs.append((f"initial weights of {name}", *pair))
    return tuple(Change(name=name, recorded=a, found=b) for name, a, b in pairs if a != b)


def other_files(recorded: Mapping[str, str], found: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The files of the user's own code that differ or are missing, with both digests."""
    yield from _pairs(recorded, found)


def other_words(path: str, recorded: str, found: str) -> str:
    """That a source of the user's own is another than the recorded one, in a sentence."""
    if found == _MISSING:
        return (
            f"{path} is not here, but the run was trained with it. Run this from the folder of its project."
        )
    if recorded == _MISSING:
        return f"{path} is imported now, but was not when the run was trained."
    return f"{path} is not what the run was trained with: recorded was {said(recorded)}, now {said(found)}."


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested objects, with their names joined by points."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Names with their values, where these differ or one is missing."""
    for name in dict.fromkeys([*old, *new]):
        a, b = old.get(name, _MISSING), new.get(name, _MISSING)
        if a != b:
            yield name, a, b


_DIGEST = 12  # digits of a digest that are shown


def change_words(change: Change) -> str:
    """What an input is now, and what it was."""
    return f"{change.name} is {said(change.found)}, recorded was {said(change.recorded)}"


def said(value: Any) -> str:
    """A value for a sentence: a digest by its first digits, nothing as `none`."""
    if value is None:
        return "none"
    text = str(value)
    is_digest = len(text) in (40, 64) and not set(text) - set("0123456789abcdef")
    return text[:_DIGEST] if is_digest else text
