"""The difference between two records: the inputs that differ, then the first result that does.

A pure function of two values. `between` looks at the inputs first, since they are the possible causes, and
then at the results in the order in which they came about: whatever differs later follows from the first.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from reproven.values.changes import (
    _MISSING,
    Change,
    _pairs,
    changes,
)
from reproven.values.record import Inputs, Outcome, Record
from reproven.values.steps import agree

_DETERMINED = ("split", "standardisation", "initial weights")  # by the recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """A result that differs.

    Attributes:
        what: `loss`, `weights` (after a step), `epoch`, `final weights`, `predictions`, an error's name,
            `steps` (their number), `best epoch`, `failure`, `pruned`, `start` (what the recipe determines
            before the first step) or `file`.
        recorded: A number, or a digest, or a text.
        found: The same now.
        step: Where, for losses and weights; likewise `epoch` and `batch`.
        tensor: The first tensor that differs, for weights; for `start` what differs; for `file` its path.
        others: How many other tensors differ after the same step, for weights.
        since: For weights and losses, the last step after which every tensor was digested and agreed, if that
            is not the step before: what differs came about after it. -1 stands for the initial weights.
        index: The first element of it that differs, where its values are kept.
        ulp: How many float32 numbers (float64 for an error) lie between both, plus one; None where they
            are no numbers.
    """

    what: str
    recorded: float | str
    found: float | str
    step: int | None = None
    epoch: int | None = None
    batch: int | None = None
    tensor: str | None = None
    others: int = 0
    since: int | None = None
    index: tuple[int, ...] | None = None
    ulp: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """How many of a kind of results were compared, and how many of them differ."""

    what: str
    differ: int
    compared: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What two records differ in.

    Attributes:
        changes: Inputs that differ, in the order recipe, data, split, code, environment, standardisation,
            initial weights.
        first: The first result that differs; None where none does.
        loss: The first loss that differs, with its values; None where none does.
        weight: The first final weight that differs, with its values; None where none does or they are
            not kept.
        counts: How many results of each kind differ.
        skipped: How many files were not compared, since other code or packages drew them.
    """

    changes: tuple[Change, ...]
    first: Divergence | None
    loss: Divergence | None
    weight: Divergence | None
    counts: tuple[Count, ...]
    skipped: int = 0


def between(recorded: Record, found: Record) -> Difference:
    """The difference of two records, causes first."""
    old, new = recorded.outcome, found.outcome
    along = next(_along(old, new), None)
    return Difference(
        changes=changes(recorded.inputs, found.inputs),
        first=along or next(_at_the_end(recorded, found), None) or next(_at_the_start(recorded, found), None),
        loss=next(_losses(old, new), None),
        weight=next(_values(recorded.weights, found.weights), None),
        counts=tuple(_counts(old, new)),
    )


def with_files(
    apart: Difference, others: Sequence[tuple[str, str, str]], *, compared: int, skipped: int
) -> Difference:
    """A difference of records whose numbers agree, with what their files differ in.

    Args:
        apart: The difference.
        others: Path, recorded and new digest of each file that differs.
        compared: How many were compared.
        skipped: How many were not.
    """
    first = apart.first
    if others:
        path, was, now = others[0]
        first = Divergence(what="file", tensor=path, recorded=was, found=now)
    count = Count(what="files", differ=len(others), compared=compared)
    return replace(apart, first=first, counts=(*apart.counts, count), skipped=skipped)


def draw_alike(recorded: Inputs, found: Inputs) -> bool:
    """Whether the code and the packages of two runs draw the same numbers to the same bytes."""
    old, new = recorded.environment, found.environment
    pillow = [environment.get("installed", {}).get("pillow") for environment in (old, new)]
    same = all(old.get(name) == new.get(name) for name in ("python", "packages", "machine"))
    return same and pillow[0] == pillow[1] and recorded.code.source_sha256 == found.code.source_sha256


def ulps(a: float, b: float, *, double: bool = False) -> int | None:
    """How many steps from one float32 (or float64) to the next lead from a to b; None if one is NaN.

    Source: Goldberg (1991), "What every computer scientist should know about floating-point arithmetic",
        ACM Computing Surveys 23(1); the numbers' order is that of their bits as signed magnitudes.
    """
    if math.isnan(a) or math.isnan(b):
        return None
    return abs(_rank(a, double) - _rank(b, double))


def _rank(value: float, double: bool) -> int:
    number, size, sign = ("d", "Q", 1 << 63) if double else ("f", "I", 1 << 31)
    bits: int = struct.unpack(f"<{size}", struct.pack(f"<{number}", value))[0]
    return bits if bits < sign else sign - bits


def _same(a: float, b: float) -> bool:
    """Whether two numbers have the same bits, all NaNs being one."""
    return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))


def _losses(old: Outcome, new: Outcome) -> Iterator[Divergence]:
    for a, b in zip(old.steps, new.steps, strict=False):
        if not _same(a.loss, b.loss):
            where: Any = {"step": a.step, "epoch": a.epoch, "batch": a.batch}
            yield Divergence(what="loss", recorded=a.loss, found=b.loss, ulp=ulps(a.loss, b.loss), **where)


def _along(old: Outcome, new: Outcome) -> Iterator[Divergence]:
    """What differs along the way: of each step the loss, then the weights after it."""
    names = list(dict.fromkeys([*old.final_weights, *new.final_weights]))
    together = zip(old.steps, new.steps, old.step_weights, new.step_weights, strict=False)
    for a, b, weights_a, weights_b in together:
        where: Any = {"step": a.step, "epoch": a.epoch, "batch": a.batch}
        if not _same(a.loss, b.loss):
            where["since"] = _since(old, new, a.step, len(names))
            ulp = ulps(a.loss, b.loss)
            yield Divergence(what="loss", recorded=a.loss, found=b.loss, ulp=ulp, **where)
        if weights_a == weights_b:
            continue
        cells = zip_longest(names, weights_a, weights_b, fillvalue=_MISSING)
        if apart := [cell for cell in cells if not agree(cell[1:2], cell[2:])]:
            where["since"] = _since(old, new, a.step, len(names))
            name, x, y = apart[0]
            others = len(apart) - 1
            yield Divergence(what="weights", recorded=x, found=y, tensor=name, others=others, **where)


def _since(old: Outcome, new: Outcome, step: int, tensors: int) -> int | None:
    """Of the steps before the first difference, the last after which each tensor was known to agree.

    None where that is the step before; -1 where a tensor was not digested yet.
    """
    last = [-1] * tensors
    for number, rows in enumerate(zip(old.step_weights[:step], new.step_weights, strict=False)):
        for place, digests in enumerate(zip(*rows, strict=False)):
            if all(digests):
                last[place] = number
    since = min(last, default=-1)
    return since if since < step - 1 else None


def _at_the_end(recorded: Record, found: Record) -> Iterator[Divergence]:
    """What differs where all steps agree, as far as there are steps in both."""
    old, new = recorded.outcome, found.outcome
    if len(old.steps) != len(new.steps):
        yield Divergence(what="steps", recorded=float(len(old.steps)), found=float(len(new.steps)))
    epochs = zip_longest(old.epoch_weights, new.epoch_weights, fillvalue=_MISSING)
    for epoch, (a, b) in enumerate(epochs):
        if a != b:
            yield Divergence(what="epoch", epoch=epoch, recorded=a, found=b)
    if old.best_epoch != new.best_epoch:
        yield Divergence(what="best epoch", recorded=str(old.best_epoch), found=str(new.best_epoch))
    yield from _values(recorded.weights, found.weights)
    for name, a, b in _pairs(old.final_weights, new.final_weights):
        yield Divergence(what="final weights", tensor=name, recorded=a, found=b)
    for part, a, b in _pairs(old.predictions, new.predictions):
        yield Divergence(what="predictions", tensor=part, recorded=a, found=b)
    for name, a, b in _pairs(old.errors, new.errors):
        are_numbers = isinstance(a, float) and isinstance(b, float)
        yield Divergence(what=name, recorded=a, found=b, ulp=ulps(a, b, double=True) if are_numbers else None)
    if old.failure != new.failure:
        yield Divergence(what="failure", recorded=str(old.failure), found=str(new.failure))
    if old.pruned != new.pruned:
        yield Divergence(what="pruned", recorded=str(old.pruned), found=str(new.pruned))


def _at_the_start(recorded: Record, found: Record) -> Iterator[Divergence]:
    """What a record says otherwise that the recipe determines before the first step."""
    for change in changes(recorded.inputs, found.inputs):
        if change.name.startswith(_DETERMINED):
            yield Divergence(what="start", tensor=change.name, recorded=change.recorded, found=change.found)


def _values(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> Iterator[Divergence]:
    """The elements of final weights that differ, where both records keep them."""
    for name in [name for name in old if name in new and old[name].shape == new[name].shape]:
        a, b = (np.ascontiguousarray(values[name], dtype=np.float32) for values in (old, new))
        for place in np.argwhere(a.view(np.int32) != b.view(np.int32)):
            index = tuple(int(i) for i in place)
            x, y = float(a[index]), float(b[index])
            yield Divergence(
                what="final weights", tensor=name, index=index, recorded=x, found=y, ulp=ulps(x, y)
            )


def _counts(old: Outcome, new: Outcome) -> Iterator[Count]:
    def of_rows(what: str, a: Sequence[Any], b: Sequence[Any], same: Any = lambda x, y: x == y) -> Count:
        equal = sum(1 for x, y in zip(a, b, strict=False) if same(x, y))
        compared = max(len(a), len(b))
        return Count(what=what, differ=compared - equal, compared=compared)

    def of_names(what: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Count:
        names = a.keys() | b.keys()
        return Count(what=what, differ=sum(a.get(n) != b.get(n) for n in names), compared=len(names))

    yield of_rows("losses", [s.loss for s in old.steps], [s.loss for s in new.steps], same=_same)
    yield of_rows("weights after steps", old.step_weights, new.step_weights, same=agree)
    yield of_rows("weights after epochs", old.epoch_weights, new.epoch_weights)
    yield of_names("final tensors", old.final_weights, new.final_weights)
    yield of_names("predictions by part", old.predictions, new.predictions)
    yield of_names("errors", old.errors, new.errors)
