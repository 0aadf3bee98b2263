"""A run in a few words, as its store tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run in a few words: its id, name, status, params, tags, last metrics and the place of its files."""

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    artifact_uri: str


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
    )
