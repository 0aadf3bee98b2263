"""The verdict on a replayed run, and its words for a terminal and for the run's page. It computes nothing."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from reproven.arithmetic.profiles import NATIVE
from reproven.proof.difference import Difference, Divergence
from reproven.values.changes import Change, change_words, said

IDENTICAL, DIVERGED, INCONCLUSIVE, TAMPERED = "IDENTICAL", "DIVERGED", "INCONCLUSIVE", "TAMPERED"
#: From good to bad: of several verdicts, the last one decides.
EXIT_CODES: Mapping[str, int] = {IDENTICAL: 0, INCONCLUSIVE: 3, DIVERGED: 1, TAMPERED: 4}

#: What another machine or torch may well change: a result that differs then proves nothing.
_UNFAIR = (
    *("environment.torch.version", "environment.torch.git", "environment.profile", "environment.arithmetic"),
)
_UNFAIR_IN_NATIVE = (
    *("environment.machine", "environment.cpu", "environment.gpu", "environment.torch.cpu_capability"),
)
_SHOWN = 8  # inputs that are named in words; all are in the JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What came of a replay; it is JSON as it stands.

    Attributes:
        verdict: IDENTICAL, DIVERGED, INCONCLUSIVE or TAMPERED.
        run: The run's id; of a bundle, the id that it had where it was made.
        source: What was asked for: a run id or a bundle's folder.
        name: The run's name.
        replay: The replay's own run id; None where it came to none.
        reasons: Why it is INCONCLUSIVE or TAMPERED.
        report: What is to say, line by line.
        difference: As `difference.Difference`; None where nothing was compared.
        losses: The loss of every step, (2, steps): recorded, and now; empty where nothing was trained here.
    """

    verdict: str
    run: str
    source: str
    name: str
    replay: str | None = None
    reasons: tuple[str, ...] = ()
    report: tuple[str, ...] = ()
    difference: dict[str, Any] | None = field(default=None, repr=False)
    losses: tuple[tuple[float, ...], ...] = field(default=(), repr=False, compare=False)

    @property
    def exit_code(self) -> int:
        """0 IDENTICAL, 1 DIVERGED, 3 INCONCLUSIVE, 4 TAMPERED."""
        return EXIT_CODES[self.verdict]

    @property
    def first_step(self) -> int | None:
        """The step at which both runs first differ; None where they do not, or at no step."""
        first: int | None = ((self.difference or {}).get("first") or {}).get("step")
        return first

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; numbers that are not finite become texts."""
        found = json_values(replace(self, losses=()))
        del found["losses"]
        return found

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from reproven.pages.cards import BAD, GOOD, OPEN, card
        from reproven.training.figures import svg, two_losses

        meaning = {IDENTICAL: GOOD, INCONCLUSIVE: OPEN}.get(self.verdict, BAD)
        recorded, now = self.losses or ((), ())
        picture = svg(two_losses(recorded, now, "training loss", self.first_step)) if self.losses else None
        return card(
            self.name or self.source,
            self.verdict,
            meaning=meaning,
            lines=(*self.reasons, *self.report),
            facts={"run": self.run, "replay": self.replay or "–"},
            picture=picture,
            then=f"reproven.{'seal' if meaning == GOOD else 'audit'}({self.source!r})",
        )


def json_values(value: Any) -> dict[str, Any]:
    """A dataclass as JSON values; numbers that are not finite become texts."""
    found: dict[str, Any] = _finite(asdict(value))
    return found


def worst(verdicts: Iterable[Verdict]) -> int:
    """The exit code of several verdicts: that of the worst one."""
    order = list(EXIT_CODES)
    return EXIT_CODES[max((v.verdict for v in verdicts), key=order.index, default=IDENTICAL)]


def judge(
    found: Difference, profile: str | None, nondeterministic: Sequence[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """The verdict on a difference, and the reasons of an INCONCLUSIVE one.

    Equal results are IDENTICAL, on whatever machine. Results that differ are DIVERGED, unless torch, the
    profile or (in native arithmetic) the machine is another, or an operation has no deterministic form: then
    it could not be asked fairly.

    Args:
        found: The difference.
        profile: The arithmetic of the replay.
        nondeterministic: Operations that have no deterministic form.
    """
    if found.first is None:
        return IDENTICAL, ()
    unfair = (*_UNFAIR, *_UNFAIR_IN_NATIVE) if profile == NATIVE else _UNFAIR
    reasons = tuple(change_words(change) for change in found.changes if change.name in unfair)
    if nondeterministic:
        which = ", ".join(nondeterministic)
        was, has = ("was", "has") if len(nondeterministic) == 1 else ("were", "have")
        reasons += (
            f"{which}, which {was} allowed, {has} no deterministic form: results may differ by chance.",
        )
    return (INCONCLUSIVE if reasons else DIVERGED), reasons


def words(found: Difference, explained: Sequence[str] = ()) -> tuple[str, ...]:
    """A difference in sentences, each a line.

    Args:
        found: The difference.
        explained: What explains it though no recorded input differs, in sentences.
    """
    if found.first is None:
        compared = ", ".join(f"{count.what} ({count.compared})" for count in found.counts if count.compared)
        left = f"Not compared, since other code or packages drew them: {found.skipped} figures and images."
        skipped = (left,) if found.skipped else ()
        without = _inputs("Other inputs, without effect", found.changes)
        return (f"Equal to the bit: {compared}.", *skipped, *without)
    lines = [f"First difference: {_where(found.first)}{_values(found.first)}.", *_stage(found)]
    if found.loss is not None and found.loss != found.first:
        lines.append(f"First loss that differs: {_where(found.loss)}{_values(found.loss)}.")
    if found.weight is not None and found.weight != found.first:
        lines.append(f"First final weight that differs: {_where(found.weight)}{_values(found.weight)}.")
    counts = [
        f"{count.what} ({count.differ} of {count.compared})" for count in found.counts if count.compared
    ]
    lines.append(f"With what follows from it, there differ: {', '.join(counts)}.")
    if explained:
        return (*lines, *explained, *_inputs("Other inputs", found.changes))
    if not found.changes:
        return (*lines, "Cause: unexplained. Every recorded input is the same.")
    return (*lines, *_inputs("Possible causes, the first one first", found.changes))


def explanation_words(changes: Sequence[Change], steps: int, compared: int) -> tuple[str, ...]:
    """What a recipe that makes the recorded bits differs in, in sentences."""
    told = "; ".join(f"{c.name} {said(c.found)}, where the record says {said(c.recorded)}" for c in changes)
    return (
        f"Cause, found by trying: trained with {told}.",
        f"That makes the recorded weights after {steps} of the {compared} steps tried, from the first.",
    )


def _stage(found: Difference) -> Iterable[str]:
    """What the place of the first difference says of where to look."""
    first = found.first
    assert first is not None
    if first.what == "loss" and first.step == 0:
        yield (
            "Before any update: the table, the split, the initial weights, the order of rows or the network."
        )
    elif first.since is not None:
        last = f"after step {first.since}" if first.since >= 0 else "before the first step"
        yield (
            f"All tensors are known to agree {last}; wide ones are digested at intervals, and may have come "
            "apart since. To name the step, replay with --every-step where the run is IDENTICAL, and then "
            "that replay here."
        )
    elif first.what == "loss":
        yield "The weights before that step agree: its batch or the network's forward pass differs."
    elif first.what == "weights" and first.others == 0:
        yield (
            "The step's loss and the other tensors agree: the update of this tensor alone differs, by its "
            "gradient's rounding, its layer's learning rate, or a write to it."
        )
    elif first.what == "weights":
        others = "1 more tensor differs" if first.others == 1 else f"{first.others} more tensors differ"
        yield (
            f"The step's loss agrees, and {others}: the update differs, by the gradient, the optimizer, "
            "its learning rate or its options."
        )


def _where(at: Divergence) -> str:
    if at.what in ("loss", "weights"):
        what = "its loss" if at.what == "loss" else f"the tensor {at.tensor} after its update"
        return f"step {at.step} (epoch {at.epoch}, batch {at.batch}), {what}"
    if at.what == "epoch":
        return f"the weights after epoch {at.epoch}"
    if at.what == "final weights":
        index = f"{list(at.index)}" if at.index is not None else ""
        return f"the final weights, {at.tensor}{index}"
    if at.what == "predictions":
        return f"the predictions of the {at.tensor} rows"
    words = {
        "start": f"before the first step, {at.tensor}",
        "file": f"the file {at.tensor}",
        "steps": "the number of steps",
        "best epoch": "after how many epochs the weights stood that were kept",
        "failure": "how training failed",
        "pruned": "why it was pruned",
    }
    return words.get(at.what, at.what)


def _values(at: Divergence) -> str:
    if isinstance(at.recorded, str) or isinstance(at.found, str):
        recorded, found = (said(text).rstrip(".") for text in (at.recorded, at.found))  # as it ends itself
        return f": recorded {recorded}, now {found}"
    if at.what == "steps":
        return f": recorded {at.recorded:.0f}, now {at.found:.0f}"
    double = at.what not in ("loss", "final weights")
    apart = "not comparable, one is not a number" if at.ulp is None else f"{at.ulp:,} ulp apart"
    pair = (f"{_number(value, double)} (0x{_hex(value, double)})" for value in (at.recorded, at.found))
    return ": recorded {}, now {}, {}".format(*pair, apart)


def _number(value: float, double: bool) -> str:
    return repr(value) if double or not math.isfinite(value) else f"{value:.9g}"


def _hex(value: float, double: bool) -> str:
    return struct.pack(">d" if double else ">f", value).hex()


def _inputs(title: str, changes: tuple[Change, ...]) -> Iterable[str]:
    if changes:
        more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
        yield f"{title}: {'; '.join([*(change_words(change) for change in changes[:_SHOWN]), *more])}."


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
