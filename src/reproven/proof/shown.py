"""Shown: what a store shows of a run, held against what its files say that it showed when the run ended.

What a page, a list or a search shows of the record must be as it was. What was added since is a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reproven.errors import RecordError, StoreError
from reproven.files.names import METRICS, SNAPSHOT
from reproven.proof.evidence import Evidence
from reproven.store.store import Store
from reproven.store.tags import (
    BRANCH,
    COMMIT,
    DIRTY,
    IMPORTED,
    PREFIX,
    REPLAY_OF,
    REPLAYED,
    SEAL,
    VERDICT,
    travels,
)
from reproven.values.metrics import Row, last
from reproven.values.snapshot import Snapshot

_OF_PROJECTS = "mlflow.project."  # tags of runs that `mlflow run` made


@dataclass
class Report:
    """What an audit has found so far: as `Audit` has it."""

    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)


def look_at_page(found: Evidence, store: Store, report: Report) -> None:
    """The params, tags, dataset inputs, status and times in the store against those at the end of the run."""
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
    if more := sorted(has.params.keys() - said.params.keys()):
        report.notes.append(f"Params that are not part of the record, and added since: {', '.join(more)}.")
    if said.datasets:
        report.checked.append(f"{len(said.datasets)} dataset inputs")
    for dataset in said.datasets:
        if dataset not in has.datasets:
            what = f"The dataset input {dataset['name']}, {dataset['context']},"
            report.findings.append(f"{what} is another in the store, or gone; {SNAPSHOT} has it.")
    if more := sorted(one["name"] for one in has.datasets if one not in said.datasets):
        report.notes.append(f"Dataset inputs that are not part of the record: {', '.join(more)}.")
    _look_at_end(found, said, has, report)
    _look_at_own_tags(found, said, store, report)


def _look_at_end(found: Evidence, said: Snapshot, has: Snapshot, report: Report) -> None:
    """Status and times. MLflow's own idiom for adding to a run, `start_run(run_id=…)`, ends it once more."""
    tags = found.tags or {}
    is_project = any(tag.startswith(_OF_PROJECTS) for tag in tags)
    for name in ("status", "start_time", "end_time"):
        old, new = getattr(said, name), getattr(has, name)
        if old == new:
            continue
        if (name, new) == ("status", "RUNNING"):
            report.notes.append("The run is open again: something may be added to it now.")
        elif name == "end_time" and new > old:
            if not is_project:  # `mlflow run` itself ends its runs a second time
                report.notes.append(f"The run was opened again, and ended at {new} instead of {old}.")
        elif not (is_project and name == "status" and REPLAY_OF in tags):  # by the exit code of the replay
            report.findings.append(f"The run's {name} is {new} in the store, but {SNAPSHOT} says {old}.")


def _look_at_own_tags(found: Evidence, said: Snapshot, store: Store, report: Report) -> None:
    """Our own tags that came later: the seal, where the run was imported from, and verdicts of replays."""
    tags = found.tags or {}
    verdicts = {name.removeprefix(REPLAYED): tags[name] for name in tags if name.startswith(REPLAYED)}
    for name in sorted(tags.keys() - said.tags.keys() - {SEAL}):
        speaks = name in (COMMIT, BRANCH, DIRTY) or (name.startswith(PREFIX) and travels(name, tags[name]))
        is_true = (name, tags[name]) == (IMPORTED, said.run_id)
        if speaks and not is_true and name != VERDICT and not name.startswith(REPLAYED):
            report.findings.append(f"The tag {name} is {tags[name]} in the store, but {SNAPSHOT} has none.")
    told = dict(_told(found.source, said, verdicts, store, report))
    if REPLAY_OF in said.tags:
        return
    newest = told[max(told)] if told else None
    if tags.get(VERDICT) != newest and len(told) == len(verdicts):
        says = (
            f"the newest replay that it names says {newest}" if newest else "it names no replay that says so"
        )
        report.findings.append(f"The tag {VERDICT} is {tags.get(VERDICT)} in the store, but {says}.")


def _told(
    run: str, said: Snapshot, verdicts: Mapping[str, str], store: Store, report: Report
) -> Iterator[tuple[tuple[int, str], str]]:
    """The verdicts that the replays themselves tell, by when they were: no tag of the run is believed."""
    for replay, verdict in verdicts.items():
        try:
            other = store.snapshot(replay)
        except StoreError:
            report.notes.append(
                f"A tag says {verdict} by the replay {replay}, which the store has no more: not believed."
            )
            continue
        if other.tags.get(REPLAY_OF) not in (run, said.run_id) or other.tags.get(VERDICT) != verdict:
            of, says = other.tags.get(REPLAY_OF), other.tags.get(VERDICT)
            report.findings.append(
                f"The tag {REPLAYED}{replay} is {verdict} in the store, but that run is a replay of {of} "
                f"and says {says}."
            )
        yield (other.start_time, replay), verdict


def look_at_metrics(found: Evidence, store: Store, report: Report) -> None:
    """Every value of every metric in the store against those that were sent, and the ones that lists show."""
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
        return
    shown = store.summary(found.source).metrics
    for name, value in ((row.key, row.value) for row in last(sent).values()):
        if shown.get(name) != value:
            report.findings.append(
                f"The metric {name} is {shown.get(name)!r} in the store's lists and searches, but its last "
                f"value is {value!r}."
            )


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
