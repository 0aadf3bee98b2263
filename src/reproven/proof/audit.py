"""audit: a run's files, metrics, models and table are held against its record, without training.

seal: the one digest that stands for the whole record.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from reproven.errors import DataError, InvalidInput, OwnCodeError, RecordError, RevivalError, StoreError
from reproven.files import manifest, names
from reproven.files.manifest import WatchFiles, unwatched
from reproven.files.names import MANIFEST, TABLE
from reproven.own.named import is_named, module_of
from reproven.own.trust import untrusted
from reproven.pages.progress import NOTEBOOK
from reproven.proof.contradictions import contradictions, model_tensors, other_params, other_tensors
from reproven.proof.evidence import Evidence, gather
from reproven.proof.shown import Report, look_at_metrics, look_at_page
from reproven.recipes.choices import BUNDLED
from reproven.store.mlmodel import NOTED
from reproven.store.registry import LoggedModel, Registry, Version
from reproven.store.store import Store
from reproven.store.tags import ORIGIN, REPLAYED, SEAL, VERDICT
from reproven.tables import data
from reproven.values.record import Record

_COPIED = re.compile(r"models:/[^/]+/\d+")  # the source of a version that MLflow copied from another one


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        run: The run's id; of a bundle, the id that it had where it was made.
        source: What was asked for: a run id or a bundle's folder.
        seal: The digest over the whole record; None where there is none any more.
        findings: Everything that is not as recorded, each in a sentence.
        notes: What could not be looked at, or was added since; no finding.
        checked: What was looked at, in words.
    """

    run: str
    source: str
    seal: str | None
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    checked: tuple[str, ...]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from reproven.pages.cards import BAD, GOOD, card

        return card(
            f"run {self.run}",
            "FOUND" if self.findings else "SOUND",
            meaning=BAD if self.findings else GOOD,
            lines=(*self.findings, *self.notes),
            facts={"looked at": ", ".join(self.checked), "seal": self.seal or "–"},
            then="" if self.findings else f"reproven.replay({self.source!r})",
        )


def audit(
    run: str,
    *,
    seal: str | None = None,
    data: str | None = None,
    tracking_uri: str | None = None,
    watch: WatchFiles = NOTEBOOK.audit,
) -> Audit:
    """Holds everything that is left of a run against its record.

    Args:
        run: A run id, `runs:/…`, or the folder of a bundle.
        seal: What `seal` printed once, kept elsewhere.
        data: Where the table is, if not where it was.
        tracking_uri: Where the run is looked up; None takes MLflow's own choice.
        watch: Passes the run's files through, told how many there are; what is there shows a line in a
            notebook.

    Raises:
        RecordError: There is no record to hold anything against.
        StoreError: The store does not hold the run.
    """
    store = cache(partial(Store, tracking_uri))
    with gather(run, store) as found:
        held = store() if found.tags is not None else None
        return look(found, held, seal=seal, table=data, watch=watch)


def look(
    found: Evidence,
    store: Store | None,
    *,
    seal: str | None = None,
    table: str | None = None,
    whole: bool = True,
    watch: WatchFiles = unwatched,
) -> Audit:
    """Audits files that are gathered already.

    Args:
        found: The files.
        store: Their store; None for a bundle.
        seal: What `seal` printed once.
        table: Where the table is, if not where it was.
        whole: Whether to look at the table too.
        watch: Passes the files through.
    """
    report = Report(findings=contradictions(found, watch))
    count, digest = _look_at_seal(found, seal, report)
    report.checked.append(f"{count} files with their tensors")
    record: Record | None = None
    with contextlib.suppress(RecordError):  # a finding already
        record = found.record
    if store is not None:
        look_at_page(found, store, report)
        look_at_metrics(found, store, report)
        _look_at_models(found, store, record, report)
    if record is not None and whole:
        _look_at_table(record, place_of_table(record, found, table), report)
    run_id = found.source
    with contextlib.suppress(RecordError):
        run_id = found.snapshot.run_id if store is None else run_id
    return Audit(
        run=run_id,
        source=found.source,
        seal=digest,
        findings=tuple(report.findings),
        notes=tuple(report.notes),
        checked=tuple(report.checked),
    )


def seal(run: str, *, tracking_uri: str | None = None) -> str:
    """The digest over the whole record of a run: that of its manifest, which lists every file's digest.

    Args:
        run: A run id, `runs:/…`, or the folder of a bundle.
        tracking_uri: Where the run is looked up; None takes MLflow's own choice.

    Raises:
        RecordError: There is no record, or it contradicts itself: then there is nothing to seal.
        StoreError: The store does not hold the run.
    """
    store = cache(partial(Store, tracking_uri))
    with gather(run, store) as found:
        if problems := contradictions(found):
            raise RecordError(f"{run} is not sealed, since its record is not whole: {' '.join(problems)}")
        return found.seal


def _look_at_seal(found: Evidence, seal: str | None, report: Report) -> tuple[int, str | None]:
    """Compares the seal, and returns how many files the manifest lists, and the seal that they have."""
    try:
        listed = found.manifest
    except RecordError:  # a finding already
        return 0, None
    if seal is not None:
        report.checked.append("the seal")
        if seal != found.seal:
            report.findings.append(f"The seal is {found.seal}, but {seal} was given: the record is another.")
    if added := manifest.unlisted(listed, found.folder):
        report.notes.append(f"Not part of the record, and added since: {', '.join(added)}.")
    return len(listed.files), found.seal


def _look_at_models(found: Evidence, store: Store, record: Record | None, report: Report) -> None:
    """The logged and the registered models: what the store says of them, their files, and their weights."""
    registry = Registry(store)
    models = {model.source: model for model in registry.logged(found.source)}
    with contextlib.suppress(RecordError):  # a finding already
        if names.MODEL in found.manifest.files and not models:
            report.findings.append(f"The run's outputs name no logged model; its record has {names.MODEL}.")
    for source, model in models.items():
        problems = [*_beside(model, found), *_in_model(registry, source, record)]
        _tell("the logged model", source, problems, report)
    for version in registry.versions(found.source, list(models.values())):
        what = f"the registered model {version.name}, version {version.version}"
        problems = _in_version(version, found, models)
        if version.source in models or problems:  # else a copy of another version
            problems += _in_model(registry, version.source, record)
        _tell(what, version.source, problems, report)


def _tell(what: str, source: str, problems: Sequence[str], report: Report) -> None:
    report.findings += (f"{what[0].upper()}{what[1:]} ({source}): {problem}" for problem in problems)
    report.checked.append(what)


def _beside(model: LoggedModel, found: Evidence) -> Iterator[str]:
    """What the store says of a logged model that is not so."""
    if model.run_id != found.source:
        yield f"it says that it comes from the run {model.run_id}."
    if model.status != "READY":
        yield f"its status is {model.status}, but it was logged whole (READY)."
    with contextlib.suppress(RecordError):  # a finding already
        record = found.record
        if model.params:
            yield from other_params(model.params, record.inputs.recipe)
        for name, value in model.metrics.items():
            if value != (said := record.outcome.errors.get(name, value)):
                yield f"its metric {name} is {value}, but the record says {said}."


def _in_version(version: Version, found: Evidence, models: Mapping[str, LoggedModel]) -> list[str]:
    """What the registry says of a version that is not so."""
    problems = []
    if version.run_id != found.source:
        problems.append(f"it says that it comes from the run {version.run_id}.")
    places = [model.place for model in models.values()]
    if (model := models.get(version.source)) is not None:
        if version.place != model.place:
            problems.append(f"it is loaded from {version.place}, but the model lies in {model.place}.")
    elif _COPIED.fullmatch(version.source) is None or version.place not in places:
        problems.append("its source is no model that the run logged.")
    sealed = version.tags.get(SEAL)
    with contextlib.suppress(RecordError):  # a finding already
        if sealed not in (None, found.seal):
            problems.append(f"its tag {SEAL} is {sealed}, but the record's seal is {found.seal}.")
    told = {value for name, value in (found.tags or {}).items() if name.startswith(REPLAYED)}
    if (verdict := version.tags.get(VERDICT)) is not None and verdict not in told:
        problems.append(f"its tag {VERDICT} is {verdict}, but no replay that the run names says so.")
    return problems


def _in_model(registry: Registry, source: str, record: Record | None) -> list[str]:
    """What differs in the folder of a logged model."""
    with tempfile.TemporaryDirectory(prefix="reproven-") as copy:
        try:
            logged = Evidence(source, registry.files(source, Path(copy)), None)
            listed = logged.manifest
        except (RevivalError, RecordError, StoreError) as error:
            return [str(error)]
        problems = list(manifest.check(listed, logged.folder))
        if added := [path for path in manifest.unlisted(listed, logged.folder) if path != NOTED]:
            problems.append(f"it holds files that were not logged: {', '.join(added)}.")
        has, said = logged.seal, registry.seal(source)
        if has != said:
            problems.append(f"{MANIFEST} has the digest {has}, but its tag says {said}.")
        path = f"data/{names.MODEL}"
        if record is not None and path in listed.files:
            problems += other_tensors(listed.files[path].tensors, model_tensors(record), path=path)
        elif record is not None:
            problems.append(f"{MANIFEST} lists no {path}.")
        return problems


def place_of_table(record: Record, found: Evidence, given: str | None) -> str | None:
    """Where the table of a record may be read: a bundled one's name, or a path; None if nobody knows."""
    name = record.inputs.recipe.data
    if given is not None or name in BUNDLED or is_named(name):
        return given or name
    origin = (found.tags or {}).get(ORIGIN)
    if origin and Path(origin).is_file():
        return origin
    return str(found.folder / TABLE) if manifest.oddity(found.folder, TABLE) is None else None


def _look_at_table(record: Record, place: str | None, report: Report) -> None:
    recipe = record.inputs.recipe
    if place is None:
        report.notes.append(f"The table {recipe.data} is not where it was, so it was not looked at (--data).")
        return
    if is_named(place) and untrusted([place]):
        told = f"{place} returns the data; it was not imported, so they were not looked at"
        report.notes.append(f"{told} (--trust {module_of(place)}).")
        return
    report.checked.append("the table")
    try:
        table = data.load(place, **recipe.of_table)
    except (DataError, InvalidInput, OwnCodeError) as error:
        report.findings.append(f"The table cannot be trained on any more: {error}")
        return
    if table.sha256 != recipe.data_sha256:
        report.findings.append(
            f"The table {place} has the digest {table.sha256}, but the recipe says {recipe.data_sha256}."
        )
