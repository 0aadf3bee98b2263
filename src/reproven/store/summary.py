"""A run in a few words, as its store tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reproven.store.tags import (
    FAILURE,
    PRUNED,
    RECIPE_TAG,
    REPLAY_OF,
    SEAL,
    SPLIT_TAG,
    TABLE_TAG,
    code_words,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run in a few words: its id, name, status, params, tags, last metrics and the place of its files.

    What the tags say is asked of it by the properties, so that nobody else need know a tag's name.
    """

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    artifact_uri: str

    @property
    def recipe_sha256(self) -> str | None:
        """Digest of its recipe; None where it trained none."""
        return self.tags.get(RECIPE_TAG)

    @property
    def split_sha256(self) -> str:
        """Digest of the rows for training and testing; empty where it has none."""
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
    )
