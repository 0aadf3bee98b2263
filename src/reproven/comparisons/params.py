"""Grouping: the params of several runs, read as a recipe reads them: which differ, and a group's name.

It imports nothing heavy, so that the command line can refuse a field before anything is paid for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reproven.errors import name_among
from reproven.recipes.choices import OPTIMIZERS
from reproven.recipes.options import as_typed, spell
from reproven.recipes.recipe import _FIRST
from reproven.recipes.settings import OPTIONS

Params = Mapping[str, str]

NOTHING = "–"  # stands for a param that a run does not have
SEEDS = ("seed", "split_seed", "fold")
_LONGEST = 60  # characters of a value that are shown
#: Words that need no name before them: `adam`, and not `optimizer=adam`.
_WITHOUT_NAME = ("data", "network", "variant", "init", "optimizer", "device", "profile")
#: A param that says nothing more once the others are known.
_MEANT_BY = {"target": ("data",), "data_sha256": ("data", "drop", "target")}


def field_problems(by: Sequence[str]) -> list[str]:
    """What is wrong with the fields to group by, a sentence each."""
    fields = [name for name in OPTIONS if name not in SEEDS]
    problems = []
    for name in by:
        if name in SEEDS:
            problems.append(f"by names {name}, but seeds are what a group is averaged over. Leave it out.")
        elif name not in fields:
            problems.append(f"by names {name[:60]!r}, but no param is called so. {name_among(name, fields)}")
    return problems


def rope_problems(rope: str | None) -> list[str]:
    """What is wrong with a region of practical equivalence, a sentence each."""
    if rope is None:
        return []
    try:
        width = float(rope.removesuffix("%"))
    except ValueError:
        width = math.nan
    if 0 <= width < math.inf:
        return []
    return [
        f"rope is {rope[:60]!r}, but must be the largest difference that is practically none, in the "
        "metric's unit or in percent of it. Try --rope 0.1, or --rope 2%."
    ]


def width_of(rope: str) -> Callable[[float], float]:
    """Half of a region of practical equivalence, from the size of the metric: `0.1`, or `2%` of it."""
    share = float(rope.removesuffix("%"))
    return (lambda size: size * share / 100) if rope.endswith("%") else (lambda size: share)


def canonical(params: Params) -> dict[str, str]:
    """The params that a recipe has, each in its one spelling: 0.001 where a run was told 1e-3.

    One that says what the first recipes meant is left out, as in their params.
    """
    found = {name: _spelled(name, as_typed(params[name])) for name in OPTIONS if params.get(name)}
    meant = {(name, spell(value)) for name, value in _FIRST.items()}
    return {name: text for name, text in found.items() if (name, text) not in meant}


def _spelled(name: str, text: str) -> str:
    if name == "data":  # `mlflow run` was given its path
        return Path(text).name
    option = OPTIONS[name]
    try:
        return spell(option.cast(option.read(text)))
    except (ValueError, TypeError, OverflowError):
        return text


def differing(runs: Sequence[Params]) -> dict[str, list[str]]:
    """The params that differ among runs, seeds apart, with all their values; `–` where a run has none."""
    found = {}
    for name in OPTIONS:
        values = dict.fromkeys(params.get(name, NOTHING) for params in runs)
        if name not in SEEDS and len(values) > 1:
            found[name] = sorted(values, key=_in_order)
    return found


def equal(runs: Sequence[Params]) -> dict[str, str]:
    """The params that all runs have alike, seeds apart."""
    apart = differing(runs)
    first = runs[0] if runs else {}
    return {name: first[name] for name in OPTIONS if name in first and name not in (*apart, *SEEDS)}


def _in_order(value: str) -> tuple[int, float, str]:
    try:
        return (0, float(value), "")
    except ValueError:
        return (1, 0.0, value)


def choosing(runs: Sequence[Params]) -> list[str]:
    """The params that differ among runs by somebody's choice, and so tell them apart.

    A param that only follows from another is none of them: an option that the run's optimizer has by
    default, and another's has not; the target and the digest of a table that is named already.
    """
    apart = differing(runs)
    chosen = [name for name in apart if not _is_default(name, runs)]
    return [name for name in chosen if not _is_meant(name, runs, chosen)]


def following(runs: Sequence[Params]) -> list[str]:
    """The params that differ among runs only because another one does."""
    chosen = choosing(runs)
    return [name for name in differing(runs) if name not in chosen]


def _is_default(name: str, runs: Sequence[Params]) -> bool:
    """Whether each run has an optimizer's option as torch has it by default, or has no such option."""
    if not any(name in options for options in OPTIMIZERS.values()):
        return False
    return all(params.get(name) in (None, _default(name, params.get("optimizer", ""))) for params in runs)


def _default(name: str, optimizer: str) -> str | None:
    default = OPTIMIZERS.get(optimizer, {}).get(name)
    return None if default is None else spell(default)


def _is_meant(name: str, runs: Sequence[Params], chosen: Sequence[str]) -> bool:
    others = [other for other in _MEANT_BY.get(name, ()) if other in chosen]
    if not others:
        return False
    pairs = {(*(params.get(other) for other in others), params.get(name)) for params in runs}
    return len({pair[:-1] for pair in pairs}) == len(pairs)


def label(params: Params, by: Sequence[str]) -> str:
    """What a group is called, by the fields that tell it from the others: `adam lr=0.01`."""
    told = [name for name in by if name in params]
    parts = [f"{'' if name in _WITHOUT_NAME else f'{name}='}{shown(name, params[name])}" for name in told]
    return " ".join(parts) or " and ".join(f"no {name}" for name in by) or "all runs"


def shown(name: str, value: str) -> str:
    """A param's value as it is shown: of a digest, and of a very long one, its beginning."""
    if name == "data_sha256":
        return value[:12]
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
