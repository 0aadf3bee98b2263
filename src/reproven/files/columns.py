"""Columns of a table as numbers; a value that cannot be taken is named by its column and row.

A training, `reproven predict` and a served model read their tables by it, so that all refuse the same. What a
column holds is its kind: numbers, categories (which become the places of their levels) or dates (which become
four numbers). A schema says it of a whole table, and goes with the model as a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from reproven.errors import DataError
from reproven.files.shapes import LARGEST, is_array, width_of

KINDS = NUMBER, CATEGORY, DATE = "number", "category", "date"
UNKNOWNS = IGNORE, REFUSE = "ignore", "refuse"
OF_DATE = ("year", "month", "day of week", "day of year")

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its kind, and of categories the levels as `ordered` has them."""

    name: str
    kind: str = NUMBER
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers it becomes."""
        return width_of(self.kind) if is_array(self.kind) else len(self.numbers)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of the numbers that it becomes."""
        return tuple(f"{self.name} {part}" for part in OF_DATE) if self.kind == DATE else (self.name,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """What the columns of a table hold.

    Attributes:
        features: The feature columns, in their order.
        targets: The columns to predict: of one that holds categories, the levels are the classes.
        takes_missing: Whether a value may be missing; it becomes NaN.
        unknown: `ignore` where a level that is not known becomes the place after the last one; `refuse`.
    """

    features: tuple[Column, ...]
    targets: tuple[Column, ...]
    takes_missing: bool = False
    unknown: str = IGNORE

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to say but names."""
        kinds = {column.kind for column in (*self.features, *self.targets)}
        return kinds == {NUMBER} and not self.takes_missing

    @property
    def array(self) -> str | None:
        """The kind of the array that is its one feature; None where the features are columns."""
        kind = self.features[0].kind if self.features else NUMBER
        return kind if is_array(kind) else None

    @property
    def width(self) -> int:
        """How many numbers the features become."""
        return sum(column.width for column in self.features)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes to predict; none where numbers are."""
        return self.targets[0].levels

    def text(self) -> str:
        """The canonical JSON that holds it."""
        columns = {
            what: [[column.name, column.kind, list(column.levels)] for column in getattr(self, what)]
            for what in ("features", "targets")
        }
        rest = {"takes_missing": self.takes_missing, "unknown": self.unknown}
        return json.dumps({**columns, **rest}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> Schema:
        """Reads what `text` wrote.

        Raises:
            ValueError: It is not such a text to the last character.
        """
        try:
            values = json.loads(text)
            columns = {
                what: tuple(Column(name, kind, tuple(levels)) for name, kind, levels in values[what])
                for what in ("features", "targets")
            }
            found = cls(**columns, takes_missing=values["takes_missing"], unknown=values["unknown"])
            is_same = found.text() == text
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"its schema cannot be read: {error!r}"[:200]) from error
        columns_of = (found.features if found.array is None else (), found.targets)
        if not is_same or not all(_is_sound(column) for some in columns_of for column in some):
            raise ValueError("its schema is not one that this package writes")
        if type(found.takes_missing) is not bool or found.unknown not in UNKNOWNS or not found.targets:
            raise ValueError("its schema is not one that this package writes")
        return found

    def numbers(self, frame: pd.DataFrame, source: str, *, kept: Sequence[str]) -> np.ndarray:
        """The features of a table as numbers, (rows, numbers) float64: places of levels, NaN where missing.

        Args:
            frame: Columns as read.
            source: What errors call the table.
            kept: Columns that no error advises to drop.

        Raises:
            DataError: A value cannot be taken; names all such columns, and the first such row of each.
        """
        values, problems = gathered(
            frame, self.features, takes_missing=self.takes_missing, unknown=self.unknown
        )
        refuse(problems, source, kept=kept)
        return values

    def frame(self, raw: np.ndarray) -> pd.DataFrame:
        """The features as a table has them, of what `numbers` made of them; of dates, the day."""
        found: dict[str, Any] = {}
        for column, numbers in parted(raw, self.features):
            values = numbers[:, 0]
            if column.kind == CATEGORY:
                levels = np.array([*column.levels, None], dtype=object)
                found[column.name] = levels[np.where(np.isnan(values), -1, values).astype(int)]
            elif column.kind == DATE:
                found[column.name] = [_day(*row) for row in numbers]
            else:
                found[column.name] = values
        return pd.DataFrame(found)


def numeric(frame: pd.DataFrame, columns: Sequence[str], source: str, *, kept: Sequence[str]) -> np.ndarray:
    """The named columns as numbers, (rows, columns) float64.

    Args:
        frame: Columns as read.
        columns: Those wanted, in their order.
        source: What errors call the table.
        kept: Columns that no error advises to drop.

    Raises:
        DataError: A value is text, missing, infinite or too large for float32; names all such columns, and
            the first such row of each.
    """
    values, problems = gathered(frame, [*map(Column, columns)], takes_missing=False, unknown=REFUSE)
    refuse(problems, source, kept=kept)
    return values


def gathered(
    frame: pd.DataFrame, columns: Sequence[Column], *, takes_missing: bool, unknown: str
) -> tuple[np.ndarray, dict[str, str]]:
    """Columns as numbers, (rows, numbers) float64, and what is wrong with them, by their names.

    Args:
        frame: Columns as read.
        columns: Those wanted, in their order.
        takes_missing: As a `Schema` has it; likewise `unknown`.
    """
    values = np.empty((len(frame), sum(len(column.numbers) for column in columns)))
    problems: dict[str, str] = {}
    place = 0
    for column in columns:
        series, width = frame[column.name], len(column.numbers)
        values[:, place : place + width], usable = _READERS[column.kind](series, column, unknown)
        place += width
        if takes_missing and not usable.all():
            usable |= series.isna().to_numpy()
        if not usable.all():
            problems[column.name] = _problem(series, column, usable)
    return values, problems


def parted(values: np.ndarray, columns: Sequence[Column]) -> Iterator[tuple[Column, np.ndarray]]:
    """Each column with its numbers, (rows, numbers), of what `gathered` made of them."""
    place = 0
    for column in columns:
        width = len(column.numbers)
        yield column, values[:, place : place + width]
        place += width


def refuse(problems: Mapping[str, str], source: str, *, kept: Sequence[str]) -> None:
    """Raises what is wrong with columns, all at once, if anything is.

    Args:
        problems: By the columns' names.
        source: What errors call the table.
        kept: Columns that no error advises to drop.
    """
    if problems:
        raise DataError(
            f"{source}:{told(problems)}{mending([name for name in problems if name not in kept])}"
        )


def mending(droppable: Sequence[str]) -> str:
    """What to do about values that cannot be taken, of which these columns may be dropped."""
    which = "the column" if len(droppable) == 1 else "the columns"
    advice = f", or leave {which} out with --drop {','.join(droppable)}" if droppable else ""
    return f"Mend or remove the row{advice}."


def told(problems: Mapping[str, str]) -> str:
    """What is wrong with columns, between a colon and advice: in a line, or in one for each of several."""
    if len(problems) == 1:
        return "".join(f" {problem}. " for problem in problems.values())
    return "".join(f"\n  {problem}" for problem in problems.values()) + "\n"


def _problem(series: pd.Series, column: Column, usable: np.ndarray) -> str:
    """What is wrong with a column, by its first row that cannot be taken, and how many there are."""
    row = int(np.argmin(usable))
    value, more = series.iloc[row], int(len(usable) - usable.sum()) - 1
    others = f" (and {more} more)" if more else ""
    return f"column {column.name}, row {row + 1} is {_unusable(value, column)}{others}"


def _unusable(value: Any, column: Column) -> str:
    must = {NUMBER: "a number", DATE: "a date such as 2026-11-25", CATEGORY: "a category"}[column.kind]
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return f"missing, but must be {must}"
    if column.kind == CATEGORY:
        known = ", ".join(column.levels[:5]) + (", …" if len(column.levels) > 5 else "")
        return f"{level(value)!r}, which training did not see; it saw {known}"
    if isinstance(value, float) and column.kind == NUMBER:
        return f"{value:g}, but must be a number that float32 can hold"
    return f"{str(value)!r}, but must be {must}"


def _read_numbers(series: pd.Series, column: Column, unknown: str) -> tuple[np.ndarray, np.ndarray]:
    """A column as float64, (rows, 1), and which of its values are numbers that float32 can hold, (rows,)."""
    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return values[:, None], np.abs(values) <= LARGEST
    values = np.array([as_float(value) for value in series], dtype=np.float64)
    usable = np.abs(values) <= LARGEST
    if usable.all():  # then it is True and False that are none, or numbers kept as text
        usable = np.array([isinstance(value, Real) and not isinstance(value, bool) for value in series], bool)
    return values[:, None], usable


def as_float(value: Any) -> float:
    """A value as a number, or NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _read_places(series: pd.Series, column: Column, unknown: str) -> tuple[np.ndarray, np.ndarray]:
    """The place of each value among a column's levels, (rows, 1), and which values can be taken, (rows,)."""
    codes, texts = texts_of(series)
    places = {text: place for place, text in enumerate(column.levels)}
    of_text = np.array([*(places.get(text, len(places)) for text in texts), np.nan])
    values = of_text[codes]  # the code of what is missing is -1
    usable = values < len(places) if unknown == REFUSE else ~np.isnan(values)
    return values[:, None], usable


def _read_dates(series: pd.Series, column: Column, unknown: str) -> tuple[np.ndarray, np.ndarray]:
    """Year, month, day of the week (Monday is 0) and of the year, (rows, 4), and which are dates, (rows,)."""
    codes, uniques = pd.factorize(series)
    found = pd.DatetimeIndex([as_date(value) for value in uniques])
    parts = np.column_stack([found.year, found.month, found.day_of_week, found.day_of_year]).astype(
        np.float64
    )
    values = np.vstack([parts, np.full(len(OF_DATE), np.nan)])[codes]
    return values, ~np.isnan(values[:, 0])


_READERS = {NUMBER: _read_numbers, CATEGORY: _read_places, DATE: _read_dates}


def texts_of(series: pd.Series) -> tuple[np.ndarray, list[str]]:
    """The different values of a column as texts, and the number of its text in each row, -1 where missing."""
    codes, uniques = pd.factorize(series)
    return codes, [level(value) for value in uniques]


def level(value: Any) -> str:
    """The text of a category: 3 and 3.0 are the same one, however a file has them."""
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value)


def as_date(value: Any) -> Any:
    """A value as a time without zone, or NaT where it is none."""
    if isinstance(value, Real) or (isinstance(value, str) and not _ISO.fullmatch(value.strip())):
        return pd.NaT
    try:
        return pd.Timestamp(value).tz_localize(None)
    except (TypeError, ValueError, OverflowError):
        return pd.NaT


def _day(year: float, month: float, day_of_week: float, day_of_year: float) -> str | None:
    if np.isnan(year):
        return None
    return str((pd.Timestamp(int(year), 1, 1) + pd.Timedelta(days=int(day_of_year) - 1)).date())


def ordered(levels: Iterable[str]) -> tuple[str, ...]:
    """Different levels in their order: by value where all are numbers, else as texts."""
    different = set(levels)
    if any(np.isnan(as_float(text)) for text in different):
        return tuple(sorted(different))
    return tuple(sorted(different, key=lambda text: (float(text), text)))


def _is_sound(column: Column) -> bool:
    """Whether a column that was read from a text is of the types that it must be of."""
    has_levels = column.kind == CATEGORY
    return (
        isinstance(column.name, str)
        and column.kind in KINDS
        and all(isinstance(text, str) for text in column.levels)
        and column.levels == ordered(column.levels)
        and bool(column.levels) == has_levels
    )
