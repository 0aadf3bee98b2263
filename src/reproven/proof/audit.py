"""audit: a run's files, metrics, models and table are held against its record, without training.

seal: the one digest that stands for the whole record.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from reproven.errors import DataError, InvalidInput, RecordError, RevivalError, StoreError
from reproven.files import disk, manifest, names
from reproven.files.manifest import Manifest
from reproven.files.names import MANIFEST, METRICS, SNAPSHOT
from reproven.proof.contradictions import contradictions, model_tensors, other_tensors
from reproven.proof.evidence import Evidence, gather
from reproven.store.registry import Registry
from reproven.store.store import Store
from reproven.store.tags import ORIGIN, REPLAY_OF
from reproven.training import data
from reproven.values.metrics import Row
from reproven.values.record import Record

_OF_PROJECTS = "mlflow.project."  # tags of runs that `mlflow run` made


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


@dataclass
class _Report:
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)


def audit(
    run: str, *, seal: str | None = None, data: str | None = None, tracking_uri: str | None = None
) -> Audit:
    """Holds everything that is left of a run against its record.

    Args:
        run: A run id, `runs:/…`, or the folder of a bundle.
        seal: What `seal` printed once, kept elsewhere.
        data: Where the table is, if not where it was.
        tracking_uri: Where the run is looked up; None takes MLflow's own choice.

    Raises:
        RecordError: There is no record to hold anything against.
        StoreError: The store does not hold the run.
    """
    store = cache(partial(Store, tracking_uri))
    with gather(run, store) as found:
        return look(found, store() if found.tags is not None else None, seal=seal, table=data)


def look(
    found: Evidence,
    store: Store | None,
    *,
    seal: str | None = None,
    table: str | None = None,
    whole: bool = True,
) -> Audit:
    """Audits files that are gathered already.

    Args:
        found: The files.
        store: Their store; None for a bundle.
        seal: What `seal` printed once.
        table: Where the table is, if not where it was.
        whole: Whether to look at the table too.
    """
    report = _Report()
    report.findings += contradictions(found)
    count = _look_at_seal(found, seal, report)
    report.checked.append(f"{count} files with their tensors")
    record: Record | None = None
    with contextlib.suppress(RecordError):  # a finding already
        record = found.record
    if store is not None:
        _look_at_page(found, store, report)
        _look_at_metrics(found, store, report)
        _look_at_models(found, store, record, report)
    if record is not None and whole:
        _look_at_table(record, place_of_table(record, found, table), report)
    run_id, digest = found.source, None
    with contextlib.suppress(RecordError):
        digest = found.seal if found.manifest else None
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


def _look_at_seal(found: Evidence, seal: str | None, report: _Report) -> int:
    """Compares the seal, and returns how many files the manifest lists."""
    try:
        listed = found.manifest
    except RecordError:  # a finding already
        return 0
    if seal is not None:
        report.checked.append("the seal")
        if seal != found.seal:
            report.findings.append(f"The seal is {found.seal}, but {seal} was given: the record is another.")
    if added := manifest.unlisted(listed, found.folder):
        report.notes.append(f"Not part of the record, and added since: {', '.join(added)}.")
    return len(listed.files)


def _look_at_page(found: Evidence, store: Store, report: _Report) -> None:
    """The params, tags, status and times in the store against those at the end of the run."""
    try:
        said = found.snapshot
    except RecordError:  # a finding already
        return
    has = store.snapshot(found.source)
    report.checked.append(f"{len(said.params)} params, {len(said.tags)} tags, status and times")
    for kind, before, now in (("param", said.params, has.params), ("tag", said.tags, has.tags)):
        for name, value in before.items():
            if now.get(name) != value:
                report.findings.append(
                    f"The {kind} {name} is {now.get(name)} in the store, but {SNAPSHOT} says {value}."
                )
    for name in ("status", "start_time", "end_time"):
        old, new = getattr(said, name), getattr(has, name)
        if old != new and not _ended_again(name, found, is_later=has.end_time >= said.end_time):
            report.findings.append(f"The run's {name} is {new} in the store, but {SNAPSHOT} says {old}.")


def _ended_again(name: str, found: Evidence, *, is_later: bool) -> bool:
    """Whether `mlflow run` itself may have written it: it ends its runs a second time, by their exit code.

    Exit codes and status agree, but for a replay that found a difference.
    """
    tags = found.tags or {}
    is_project = any(tag.startswith(_OF_PROJECTS) for tag in tags)
    return is_project and ((name == "end_time" and is_later) or (name == "status" and REPLAY_OF in tags))


def _look_at_metrics(found: Evidence, store: Store, report: _Report) -> None:
    """Every value of every metric in the store against those that were sent."""
    try:
        sent = found.rows
    except RecordError:  # a finding already
        return
    stored = store.metrics(found.source)
    names = {row.key for row in sent}
    if more := sorted({row.key for row in stored} - names):
        report.notes.append(f"Metrics that are not part of the record, and added since: {', '.join(more)}.")
    report.checked.append(f"{len(sent)} values of {len(names)} metrics")
    old, new = set(sent), {row for row in stored if row.key in names}
    if old != new:
        report.findings += _other_rows(old - new, new - old)


def _other_rows(missing: set[Row], more: set[Row]) -> Iterator[str]:
    stored = {(row.key, row.step): row for row in more}
    for row in sorted(missing):
        other = stored.pop((row.key, row.step), None)
        where = f"The metric {row.key}, step {row.step},"
        if other is None:
            yield f"{where} is missing in the store; {METRICS} says {row.value!r}."
        elif other.value != row.value:
            yield f"{where} is {other.value!r} in the store, but {METRICS} says {row.value!r}."
        else:
            yield f"{where} has the time {other.timestamp} in the store, but {METRICS} says {row.timestamp}."
    for row in sorted(stored.values()):
        yield f"The metric {row.key}, step {row.step}, is {row.value!r} in the store, but not in {METRICS}."


def _look_at_models(found: Evidence, store: Store, record: Record | None, report: _Report) -> None:
    """The logged and the registered models: their files, and their weights against the last ones."""
    registry = Registry(store)
    sources = dict.fromkeys(registry.logged(found.source), "the logged model")
    for name, version, source in registry.versions(found.source):
        sources[source] = f"the registered model {name}, version {version}"
    for source, what in sources.items():
        problems = _in_model(registry, source, record)
        report.findings += (f"{what[0].upper()}{what[1:]} ({source}): {problem}" for problem in problems)
        report.checked.append(what)


def _in_model(registry: Registry, source: str, record: Record | None) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="reproven-") as copy:
        try:
            folder = registry.files(source, Path(copy))
            listed = Manifest.read(disk.read_text(folder / MANIFEST))
        except (RevivalError, RecordError, StoreError) as error:
            return [str(error)]
        problems = list(manifest.check(listed, folder))
        has, said = manifest.file_sha256(folder / MANIFEST), registry.seal(source)
        if has != said:
            problems.append(f"{MANIFEST} has the digest {has}, but its tag says {said}.")
        path = f"data/{names.MODEL}"
        if record is not None and path in listed.files:
            problems += other_tensors(listed.files[path].tensors, model_tensors(record), path=path)
        return problems


def place_of_table(record: Record, found: Evidence, given: str | None) -> str | None:
    """Where the table of a record may be read: a bundled one's name, or a path; None if nobody knows."""
    name = record.inputs.recipe.data
    if given is not None or name in data.BUNDLED:
        return given or name
    origin = (found.tags or {}).get(ORIGIN)
    return origin if origin and Path(origin).is_file() else None


def _look_at_table(record: Record, place: str | None, report: _Report) -> None:
    recipe = record.inputs.recipe
    if place is None:
        report.notes.append(f"The table {recipe.data} is not where it was, so it was not looked at (--data).")
        return
    report.checked.append("the table")
    try:
        table = data.load(place, target=recipe.target, drop=recipe.drop)
    except (DataError, InvalidInput) as error:
        report.findings.append(f"The table cannot be trained on any more: {error}")
        return
    if table.sha256 != recipe.data_sha256:
        report.findings.append(
            f"The table {place} has the digest {table.sha256}, but the recipe says {recipe.data_sha256}."
        )
