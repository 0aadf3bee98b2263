"""The snapshot: what the store showed of a run when it ended, beside its files; it travels with the run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reproven.errors import RecordError
from reproven.files.names import SNAPSHOT
from reproven.files.texts import FORMAT, json_text, json_value
from reproven.values.metrics import is_key

_OF_A_DATASET = {"name", "digest", "context", "source_type", "source", "schema", "profile"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A run as its store shows it, without what belongs to one machine alone.

    Attributes:
        run_id: Its id where it was made.
        name: Its name.
        experiment: Its experiment's name.
        status: FINISHED, FAILED, or KILLED where a sweep pruned it.
        start_time: Milliseconds since 1970; likewise `end_time`.
        params: As spelled.
        tags: Those that say what the run is; none that names a place.
        description: The text of its page, in Markdown.
        datasets: Name, digest, context, source, schema and profile of each dataset input.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    start_time: int
    end_time: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    description: str
    datasets: Sequence[Mapping[str, str]]

    def text(self) -> str:
        """The file that holds it."""
        return json_text({"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, text: str) -> Snapshot:
        """Reads what `text` wrote.

        Raises:
            RecordError: It is not such a text.
        """
        try:
            values = json_value(text)
            if values.pop("format", None) != FORMAT:
                raise RecordError(f"{SNAPSHOT} is not of format {FORMAT}, which this version reads.")
            snapshot = cls(**values)
        except (ValueError, TypeError, AttributeError) as error:
            raise RecordError(f"{SNAPSHOT} is not a run's snapshot: {error}.") from error
        if problems := list(_wrong_types(snapshot)):
            raise RecordError(f"{SNAPSHOT} is not a run's snapshot: {' '.join(problems)}")
        return snapshot


def _wrong_types(shown: Snapshot) -> list[str]:
    def is_texts(value: Any) -> bool:
        return isinstance(value, dict) and all(is_key(k) and _is_text(v) for k, v in value.items())

    def is_time(value: Any) -> bool:
        return type(value) is int and 0 <= value < 2**63

    def is_dataset(value: Any) -> bool:
        return is_texts(value) and set(value) == _OF_A_DATASET and bool(value["name"] and value["digest"])

    sound = {
        "run_id": _is_text(shown.run_id) and bool(re.fullmatch(r"[0-9a-f]{32}", shown.run_id)),
        "name": _is_text(shown.name) and len(shown.name) <= 8000,
        "experiment": _is_text(shown.experiment) and 0 < len(shown.experiment.strip()) <= 500,
        "status": shown.status in ("FINISHED", "FAILED", "KILLED"),
        "start_time": is_time(shown.start_time),
        "end_time": is_time(shown.end_time),
        "params": is_texts(shown.params),
        "tags": is_texts(shown.tags),
        "description": _is_text(shown.description),
        "datasets": isinstance(shown.datasets, list) and all(is_dataset(item) for item in shown.datasets),
    }
    return [f"{name} has a wrong value." for name, is_sound in sound.items() if not is_sound]


def _is_text(value: Any) -> bool:
    """Whether a value is a text that a store can keep: UTF-8 without zeros."""
    return isinstance(value, str) and "\0" not in value and not re.search("[\ud800-\udfff]", value)
