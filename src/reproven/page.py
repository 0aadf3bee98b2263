"""The page: what the store shows of a run beside its files, as a value; it travels with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reproven.errors import RecordError
from reproven.record import FORMAT, csv_text, json_text, read_rows
from reproven.texts import json_value

PAGE = "run.json"
METRICS = "metrics.csv"
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
        status: FINISHED or FAILED.
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
        return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())

    sound = {
        "run_id": isinstance(page.run_id, str),
        "name": isinstance(page.name, str),
        "experiment": isinstance(page.experiment, str),
        "status": page.status in ("FINISHED", "FAILED"),
        "start_time": isinstance(page.start_time, int),
        "end_time": isinstance(page.end_time, int),
        "params": is_texts(page.params),
        "tags": is_texts(page.tags),
        "description": isinstance(page.description, str),
        "datasets": isinstance(page.datasets, list) and all(is_texts(item) for item in page.datasets),
    }
    return [f"{name} has a wrong value." for name, is_sound in sound.items() if not is_sound]


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
            found.append(Row(cells[0], int(cells[1]), int(cells[2]), float(cells[3])))
        except (ValueError, IndexError) as error:
            raise RecordError(f"{METRICS}, line {number} cannot be read: {error}.") from error
    return found
