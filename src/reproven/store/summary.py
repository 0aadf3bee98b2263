"""A run as its store tells it: in a few words, or as it was when it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reproven.store.tags import (
    CONTEXT,
    DESCRIPTION,
    FAILURE,
    OWN_TAG,
    PRUNED,
    RECIPE_TAG,
    REPLAY_OF,
    SEAL,
    SPLIT_TAG,
    TABLE_TAG,
    code_words,
    travels,
)
from reproven.values.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run in a few words: its id, name, status, params, tags, last metrics and the place of its files.

    Of its parts, by MLflow's words for them (training, validation, testing), it tells the number of rows.
    What the tags say is asked of it by the properties, so that nobody else need know a tag's name.
    """

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    artifact_uri: str
    rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def recipe_sha256(self) -> str | None:
        """Digest of its recipe; None where it trained none."""
        return self.tags.get(RECIPE_TAG)

    @property
    def split_sha256(self) -> str:
        """Digest of the rows for training, validation and testing; empty where it has none."""
        return self.tags.get(SPLIT_TAG, "")

    @property
    def table_sha256(self) -> str:
        """Digest of its table; empty where it has none."""
        return self.tags.get(TABLE_TAG, "")

    @property
    def code(self) -> str:
        """The commit of its code, marked where the code differed from it; empty where it is not known."""
        return code_words(self.tags)

    @property
    def own_sha256(self) -> str:
        """Digest of the user's own source files; empty where it has none, or is of an older version."""
        return self.tags.get(OWN_TAG, "")

    @property
    def seal(self) -> str | None:
        """Digest of its manifest; None where it did not come to its end."""
        return self.tags.get(SEAL)

    @property
    def replay_of(self) -> str | None:
        """The run that it replays; None where it is no replay."""
        return self.tags.get(REPLAY_OF)

    @property
    def failure(self) -> str | None:
        """Why its training failed; None where it did not."""
        return self.tags.get(FAILURE)

    @property
    def pruned(self) -> str | None:
        """Why a sweep stopped it; None where none did."""
        return self.tags.get(PRUNED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A run of which the store says that it is running.

    Attributes:
        run_id: Its id.
        name: Its name.
        host: The machine that it was started on.
        last_sign: When its process last said that it lives, in seconds since 1970.
    """

    run_id: str
    name: str
    host: str
    last_sign: float


def summary(run: Any) -> Summary:
    """What MLflow says of a run, in a few words."""
    return Summary(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        params=run.data.params,
        tags=run.data.tags,
        metrics=run.data.metrics,
        artifact_uri=run.info.artifact_uri,
        rows=_rows(run),
    )


def _rows(run: Any) -> dict[str, int]:
    """How many rows each part of a run's dataset has, as far as its store tells."""
    found = {}
    for item in run.inputs.dataset_inputs if run.inputs else []:
        try:
            count = json.loads(item.dataset.profile or "")["num_rows"]
        except (ValueError, TypeError, KeyError):
            continue
        if isinstance(count, int):
            found[_context(item)] = count
    return found


def snapshot(run: Any, experiment: str) -> Snapshot:
    """What MLflow says of a run, without the tags that name a place on this machine."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return Snapshot(
        run_id=run.info.run_id,
        name=run.info.run_name,
        experiment=experiment,
        status=run.info.status,
        start_time=run.info.start_time,
        end_time=run.info.end_time or 0,
        params={name: _elsewhere(name, value) for name, value in run.data.params.items()},
        tags={name: value for name, value in run.data.tags.items() if travels(name, value)},
        description=run.data.tags.get(DESCRIPTION, ""),
        datasets=[_dataset(item) for item in inputs],
    )


def _elsewhere(name: str, value: str) -> str:
    """A param as it is true on another machine: a table's path, as `mlflow run` was given it, by its name."""
    return Path(value).name if name == "data" else value


def _context(item: Any) -> str:
    return str({tag.key: tag.value for tag in item.tags}.get(CONTEXT, ""))


def _dataset(item: Any) -> dict[str, str]:
    """A dataset input as texts; of a file on this machine, its name alone."""
    dataset = item.dataset
    is_local = dataset.source_type == "local"
    return {
        "name": dataset.name,
        "digest": dataset.digest,
        "context": _context(item),
        "source_type": dataset.source_type,
        "source": json.dumps({"uri": dataset.name}) if is_local else dataset.source,
        "schema": dataset.schema or "",
        "profile": dataset.profile or "",
    }
