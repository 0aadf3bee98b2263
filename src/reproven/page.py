"""The page: what the store shows of a run beside its files, as a value; it travels with the run."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reproven.errors import RecordError
from reproven.record import FORMAT, csv_text, json_text, read_rows, whole_number
from reproven.texts import json_value

PAGE = "run.json"
METRICS = "metrics.csv"
_OF_A_DATASET = {"name", "digest", "context", "source_type", "source", "schema", "profile"}
_HEADER = ("key", "step", "timestamp", "value")


@dataclass(frozen=True, order=True, slots=True)
class Row:
    """One value of a metric.

    Attributes:
        key: The metric's name.
        step: Its step.
        timestamp: When it was measured, in milliseconds since 1970.
        value: A finite float64.
    """

    key: str
    step: int
    timestamp: int
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A run as its store shows it, without what belongs to one machine alone.

    Attributes:
        run_id: Its id where it was made.
        name: Its name.
        experiment: Its experiment's name.
        status: FINISHED, FAILED, or KILLED where a sweep pruned it.
        start_time: Milliseconds since 1970; likewise `end_time`.
        params: As spelled.
        tags: Those that say what the run is; none that names a place.
        description: The page's text, in Markdown.
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
    def read(cls, text: str) -> Page:
        """Reads what `text` wrote.

        Raises:
            RecordError: It is not such a text.
        """
        try:
            values = json_value(text)
            if values.pop("format", None) != FORMAT:
                raise RecordError(f"{PAGE} is not of format {FORMAT}, which this version reads.")
            page = cls(**values)
        except (ValueError, TypeError, AttributeError) as error:
            raise RecordError(f"{PAGE} is not a run's page: {error}.") from error
        if problems := list(_wrong_types(page)):
            raise RecordError(f"{PAGE} is not a run's page: {' '.join(problems)}")
        return page


def _wrong_types(page: Page) -> list[str]:
    def is_texts(value: Any) -> bool:
        return isinstance(value, dict) and all(_is_key(k) and _is_text(v) for k, v in value.items())

    def is_time(value: Any) -> bool:
        return type(value) is int and 0 <= value < 2**63

    def is_dataset(value: Any) -> bool:
        return is_texts(value) and set(value) == _OF_A_DATASET and bool(value["name"] and value["digest"])

    sound = {
        "run_id": _is_text(page.run_id) and bool(re.fullmatch(r"[0-9a-f]{32}", page.run_id)),
        "name": _is_text(page.name) and len(page.name) <= 8000,
        "experiment": _is_text(page.experiment) and 0 < len(page.experiment.strip()) <= 500,
        "status": page.status in ("FINISHED", "FAILED", "KILLED"),
        "start_time": is_time(page.start_time),
        "end_time": is_time(page.end_time),
        "params": is_texts(page.params),
        "tags": is_texts(page.tags),
        "description": _is_text(page.description),
        "datasets": isinstance(page.datasets, list) and all(is_dataset(item) for item in page.datasets),
    }
    return [f"{name} has a wrong value." for name, is_sound in sound.items() if not is_sound]


def _is_text(value: Any) -> bool:
    """Whether a value is a text that a store can keep: UTF-8 without zeros."""
    return isinstance(value, str) and "\0" not in value and not re.search("[\ud800-\udfff]", value)


def _is_key(name: str) -> bool:
    """Whether a text can name a metric, a param or a tag in MLflow, where it may become a path."""
    return (
        bool(re.fullmatch(r"[\w.\-: /]{1,250}", name))
        and posixpath.normpath(name) == name
        and name[0] not in "./"
    )


def rows_text(rows: Sequence[Row]) -> str:
    """Metrics as CSV, values by `repr`, so that they read back exactly."""
    return csv_text(_HEADER, ((r.key, r.step, r.timestamp, repr(r.value)) for r in rows))


def read_metrics(text: str) -> list[Row]:
    """Reads what `rows_text` wrote.

    Raises:
        RecordError: It is not such a text.
    """
    found = []
    for number, cells in enumerate(read_rows(METRICS, text, _HEADER)[1], start=2):
        try:
            row = Row(cells[0], whole_number(cells[1]), whole_number(cells[2]), float(cells[3]))
            if not _is_key(row.key) or repr(row.value) != cells[3] or not math.isfinite(row.value):
                raise ValueError(f"{cells[0][:50]!r} is no name, or {cells[3][:50]!r} no finite number")
            found.append(row)
        except (ValueError, IndexError) as error:
            raise RecordError(f"{METRICS}, line {number} cannot be read: {error}.") from error
    return found
