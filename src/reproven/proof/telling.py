"""Telling: what a replay leaves of its verdict: a report, a figure, and tags of both runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reproven.errors import RecordError
from reproven.files import disk, names
from reproven.proof.evidence import Evidence
from reproven.proof.verdict import Verdict
from reproven.store.address import run_of_mlflow
from reproven.store.children import enclosing
from reproven.store.store import Store
from reproven.store.tags import DESCRIPTION, REPLAY_OF, REPLAYED, VERDICT
from reproven.values.record import Record

if TYPE_CHECKING:
    from reproven.proof.difference import Difference

REPORT = "replay.json"
FIGURE = "replay.png"
OF_BUNDLES = "replays"  # the experiment for replays of runs that are in no experiment here


def shown_under(found: Evidence, store: Store) -> tuple[str | None, str]:
    """The run under which a replay is shown, and the experiment."""
    if found.tags is None:
        above, around = enclosing(store)
        return above, around if above else OF_BUNDLES
    return found.source, store.snapshot(found.source).experiment


def run_id_of(found: Evidence) -> str:
    """The run's id, as far as its files tell it."""
    try:
        return found.snapshot.run_id if found.tags is None else found.source
    except RecordError:
        return found.source


def name_of(found: Evidence) -> str:
    """The run's name, as far as its files tell it."""
    try:
        return found.snapshot.name
    except RecordError:
        return found.source


def tags_of(told: Verdict) -> dict[str, str]:
    """A replay's own tags."""
    lines = "\n".join(f"- {line}" for line in (*told.reasons, *told.report))
    text = f"**{told.verdict}**: replay of {told.name}, run `{told.run}`.\n\n{lines}\n"
    return {REPLAY_OF: told.run, VERDICT: told.verdict, DESCRIPTION: text}


def linked_by(told: Verdict, found: Evidence) -> dict[str, dict[str, str]]:
    """The tags that a replay adds to the run that it replays."""
    tags = {f"{REPLAYED}{told.replay}": told.verdict, VERDICT: told.verdict}
    return {} if found.tags is None else {found.source: tags}


def draw(recorded: Record, again: Record, apart: Difference, label: str, folder: Path) -> None:
    """Draws both runs' losses into a folder of the replay's files."""
    from reproven.training import figures

    old, new = ([step.loss for step in record.outcome.steps] for record in (recorded, again))
    first = apart.first.step if apart.first is not None else None
    figure = figures.two_losses(old, new, label, first)
    disk.write_bytes(folder / names.FIGURES / FIGURE, figures.png(figure))


@contextmanager
def several(store: Callable[[], Store], count: int) -> Iterator[Callable[[Verdict], None]]:
    """Takes the verdicts of so many replays; under `mlflow run`, the run that MLflow made tells them."""
    verdicts: list[Verdict] = []
    if count == 1 or run_of_mlflow() is None:
        yield verdicts.append
        return
    with store().run(experiment=OF_BUNDLES, name="replays") as run:
        yield verdicts.append
        rows = "\n".join(f"| {v.verdict} | {v.name} | {v.source} |" for v in verdicts)
        run.describe(params={}, tags={DESCRIPTION: f"| verdict | run | source |\n|---|---|---|\n{rows}\n"})
