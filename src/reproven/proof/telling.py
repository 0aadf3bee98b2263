"""Telling: what a replay leaves of its verdict: a report, a figure, and tags of both runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from reproven.errors import RecordError
from reproven.files import disk, names
from reproven.files.texts import json_text
from reproven.pages import certificate
from reproven.proof.evidence import Evidence
from reproven.proof.verdict import IDENTICAL, Verdict
from reproven.store.address import run_of_mlflow
from reproven.store.children import enclosing
from reproven.store.store import Store
from reproven.store.tags import DESCRIPTION, REPLAY_OF, REPLAYED, VERDICT
from reproven.values.record import Record

REPORT = "replay.json"
CERTIFICATE = "certificate.html"
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


def leave(told: Verdict, found: Evidence, folder: Path, again: Record | None = None, label: str = "") -> None:
    """Writes what a replay leaves besides its tags: the verdict as data and as a page, and its figure.

    Args:
        told: The verdict.
        found: The run that was replayed.
        folder: Of the replay's files.
        again: What came out now; None where nothing was trained.
        label: The loss and its unit.
    """
    disk.write_text(folder / REPORT, json_text(told.to_dict()))
    drawn = None
    if again is not None:
        from reproven.training import figures

        recorded, now = told.losses
        figure = figures.two_losses(recorded, now, label, told.first_step)
        disk.write_bytes(folder / names.FIGURES / FIGURE, figures.png(figure))
        drawn = figures.svg(figures.overlaid(recorded, now, told.first_step))
    disk.write_text(folder / CERTIFICATE, _certificate(told, found, again, drawn).html())


def _certificate(
    told: Verdict, found: Evidence, again: Record | None, losses: str | None
) -> certificate.Certificate:
    asked = {"run": told.run, "replay": told.replay or "–", "replayed": _moment(time.time())}
    with suppress(RecordError):  # which the verdict has told already
        recipe = found.record.inputs.recipe
        asked |= {"trained": _moment(found.snapshot.start_time / 1000), "recipe": recipe.sha256}
        asked |= {f"table {recipe.data}": recipe.data_sha256 or "–"}
    seal = ""
    with suppress(RecordError):
        seal = found.seal
    here = found.source if found.tags is not None else f"{Path(found.source).name}/"
    counts = (told.difference or {}).get("counts", ())
    machines = []
    if again is not None:
        machines = certificate.machines(found.record.inputs.environment, again.inputs.environment)
        commits = [(record.inputs.code.commit or "–")[:12] for record in (found.record, again)]
        machines.append(("commit", commits[0], commits[1]))
    return certificate.Certificate(
        verdict=told.verdict,
        name=told.name,
        asked=asked,
        lines=(*told.reasons, *told.report[told.verdict == IDENTICAL :]),  # the table has its first line
        compared=[(c["what"], c["compared"] - c["differ"], c["compared"]) for c in counts if c["compared"]],
        machines=machines,
        seal=seal,
        commands=[f"reproven replay {here}", f"reproven audit {here}{f' --seal {seal}' if seal else ''}"],
        losses=losses,
    )


def _moment(seconds: float) -> str:
    """A time as a reader takes it, in UTC; from seconds since 1970."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


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
