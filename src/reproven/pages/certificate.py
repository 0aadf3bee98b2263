"""The certificate of a replay: one page that says what was asked, what came of it, and how to ask again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproven.pages.rendering import rendered

_MEANS = {
    "IDENTICAL": "Trained again from its record alone, this run came out the same to the last bit.",
    "DIVERGED": "Trained again from its record alone, this run came out otherwise.",
    "INCONCLUSIVE": "Whether this run would come out the same could not be asked fairly.",
    "TAMPERED": "The record of this run contradicts itself or its store, so it was not trained again.",
}
_MOST = 7  # sentences, so that the page is one page


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What a certificate says, as plain values.

    Attributes:
        verdict: IDENTICAL, DIVERGED, INCONCLUSIVE or TAMPERED.
        name: The run's name.
        asked: Names and values: the run, its digests, when it was trained and replayed.
        lines: What came of it, in sentences.
        compared: What was compared: its name, how many agree, how many there are.
        machines: A name, what is recorded, what it was now; empty where nothing was trained.
        seal: The digest over the whole record; empty where it has none.
        commands: How to ask again.
        losses: An SVG element that this package drew; None where nothing was trained.
    """

    verdict: str
    name: str
    asked: Mapping[str, str]
    lines: Sequence[str]
    compared: Sequence[tuple[str, int, int]] = ()
    machines: Sequence[tuple[str, str, str]] = ()
    seal: str = ""
    commands: Sequence[str] = ()
    losses: str | None = None

    def html(self) -> str:
        """The page."""
        more = len(self.lines) - _MOST
        lines = [_cut(line, 320) for line in self.lines[:_MOST]]
        return rendered(
            "certificate.html",
            said=self,
            name=_cut(self.name, 120),
            means=_MEANS[self.verdict],
            asked=[(_cut(name, 40), value) for name, value in self.asked.items()],
            machines=[tuple(_cut(text, 60) for text in row) for row in self.machines],
            lines=[*lines, *([f"And {more} more; replay.json has all."] if more > 0 else [])],
        )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def machines(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What two environments are, side by side.

    Args:
        recorded: As `environment.describe` told it; any part may be missing.
        now: Likewise.
    """

    def of(environment: Mapping[str, Any], *path: str) -> str:
        value: Any = environment
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return "–" if value is None else str(value)

    rows = {
        "Python": ("python",),
        "torch": ("torch", "version"),
        "processor": ("cpu",),
        "architecture": ("machine",),
        "threads": ("torch", "threads"),
        "arithmetic": ("profile",),
    }
    return [(name, of(recorded, *path), of(now, *path)) for name, path in rows.items()]
