"""The tags of a run: MLflow's own names where it has one, ours with one prefix. No MLflow here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reproven.machine.code import CodeState

COMMIT, BRANCH, DIRTY = (f"mlflow.source.git.{name}" for name in ("commit", "branch", "dirty"))
USER = "mlflow.user"
SOURCE_NAME, SOURCE_TYPE = "mlflow.source.name", "mlflow.source.type"
LOGGED_IMAGES = "mlflow.loggedImages"
PREFIX = "reproven."  # of every tag that is ours
ORIGIN = f"{PREFIX}data.origin"
RECIPE_TAG = f"{PREFIX}recipe.sha256"
TABLE_TAG, SPLIT_TAG = f"{PREFIX}data.sha256", f"{PREFIX}split.sha256"
OWN_TAG = f"{PREFIX}own.sha256"  # digest of the user's own source files
SEAL = f"{PREFIX}seal"  # digest of the manifest
FAILURE = f"{PREFIX}failure"  # why a training failed
PRUNED = f"{PREFIX}pruned"  # why a sweep stopped a training
BEST_EPOCH = f"{PREFIX}best_epoch"  # epochs completed when the weights stood that were kept
IMPORTED = f"{PREFIX}imported.from"  # the id that the run had where it was made
REPLAY_OF = f"{PREFIX}replay.of"  # on a replay: the run that it replays
REPLAYED = f"{PREFIX}replayed."  # on a run, with the replay's id: that replay's verdict
VERDICT = f"{PREFIX}verdict"  # on a replay; on a run, the last one
HAS_IMAGES = {LOGGED_IMAGES: "True"}
DESCRIPTION = "mlflow.note.content"
PARENT = "mlflow.parentRunId"
CONTEXT = "mlflow.data.context"
LIVE = f"{PREFIX}live."  # of tags that are true of one machine, or for a while
LOGBOOK = f"{LIVE}logbook"  # where the run is kept until the store has it
HOST = f"{LIVE}host"
IMPORTING = f"{LIVE}importing"  # the seal of the bundle that a run is made of
HEARTBEAT = f"{LIVE}heartbeat"  # when its process last said that it lives, in seconds since 1970
_TRAVELLING = (BRANCH, COMMIT, DIRTY, LOGGED_IMAGES, USER)


def code_tags(code: CodeState | None) -> dict[str, str]:
    """The commit that code comes from, by MLflow's own tag names."""
    if code is None:
        return {}
    tags = {COMMIT: code.commit, DIRTY: str(code.dirty).lower()}
    return tags | ({BRANCH: code.branch} if code.branch else {})


def code_words(tags: Mapping[str, str]) -> str:
    """The code that a run's tags name, in a few words; empty where they name none."""
    changed = " with changes" if tags.get(DIRTY) == "true" else ""
    commit = tags.get(COMMIT, "")[:12]
    return f"{commit}{changed}" if commit else ""


def travels(name: str, value: str) -> bool:
    """Whether a tag says what the run is, and would be true on another machine."""
    if name == ORIGIN:
        return value.startswith("http")
    return (name.startswith(PREFIX) and not name.startswith(LIVE)) or name in _TRAVELLING
