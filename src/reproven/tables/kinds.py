"""Kinds: what a table's columns hold, told by their values, and all that stands against training on them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reproven.errors import DataError
from reproven.files.columns import (
    CATEGORY,
    DATE,
    NUMBER,
    Column,
    Schema,
    as_date,
    as_float,
    gathered,
    mending,
    ordered,
    parted,
    texts_of,
    told,
)
from reproven.recipes.choices import CLASSIFICATION

_FEW = 20  # different texts that a column of categories may have, however few its rows are
_NAMELESS, _FEWEST_COUNTED = "Unnamed: 0", 10
_FEW_NUMBERS, _ENOUGH_ROWS = 10, 30  # so few whole numbers in so many rows may be classes


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a recipe asks of a table's columns.

    Attributes:
        features: Names of the feature columns.
        targets: Names of the target's columns.
        task: `regression` or `classification`; None takes what the target holds.
        takes_all: Whether features may be texts, booleans and dates.
        categorical: Columns that hold categories, whatever their values are.
        takes_missing: As a `Schema` has it; likewise `unknown`.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    task: str | None
    takes_all: bool
    categorical: tuple[str, ...]
    takes_missing: bool
    unknown: str


def taken(
    frame: pd.DataFrame, asked: Asked, source: str, *, command: Sequence[str], drop: Sequence[str]
) -> tuple[Schema, np.ndarray, np.ndarray]:
    """What a table's columns hold, its features, (rows, numbers), and its targets, (rows, targets), float64.

    Args:
        frame: Columns as read, of at least two rows.
        asked: What is wanted of them.
        source: What errors call the table.
        command: The command that would take any table, but for what it must drop.
        drop: What is dropped already.

    Raises:
        DataError: A column cannot be trained on; names all such columns, and what would take the table.
    """
    schema = _schema(frame, asked)
    _refuse_targets(schema.targets, len(frame), source)
    X, y, bad, useless = _looked_at(frame, asked, schema)
    if bad or useless:
        advice = _advice(bad, useless, asked.targets)
        if bad and not asked.takes_all:
            advice += _as_it_is(frame, asked, command, drop)
        raise DataError(f"{source}:{told(bad | useless)}{advice}")
    return schema, X, y


def _schema(frame: pd.DataFrame, asked: Asked) -> Schema:
    is_open = asked.task is None and len(asked.targets) == 1
    of_target = CATEGORY if asked.task == CLASSIFICATION else None if is_open else NUMBER
    return Schema(
        features=tuple(
            _column(
                frame[name], CATEGORY if name in asked.categorical else None if asked.takes_all else NUMBER
            )
            for name in asked.features
        ),
        targets=tuple(
            _column(frame[name], CATEGORY if name in asked.categorical else of_target)
            for name in asked.targets
        ),
        takes_missing=asked.takes_missing,
        unknown=asked.unknown,
    )


def _column(series: pd.Series, kind: str | None) -> Column:
    """A column of this kind; of None, of what its values are."""
    kind = kind or kind_of(series)
    return Column(str(series.name), kind, ordered(texts_of(series)[1]) if kind == CATEGORY else ())


def kind_of(series: pd.Series) -> str:
    """What a column holds, told by its values: a text with more numbers than others in it holds numbers."""
    if pd.api.types.is_bool_dtype(series):
        return CATEGORY
    if pd.api.types.is_numeric_dtype(series):
        return NUMBER
    if pd.api.types.is_datetime64_any_dtype(series):
        return DATE
    uniques = pd.unique(series.dropna())
    if len(uniques) and all(as_date(value) is not pd.NaT for value in uniques):
        return DATE
    numbers = sum(not np.isnan(as_float(value)) for value in uniques if not isinstance(value, bool))
    return NUMBER if 2 * numbers >= len(uniques) else CATEGORY


def _looked_at(
    frame: pd.DataFrame, asked: Asked, schema: Schema
) -> tuple[np.ndarray, np.ndarray, dict[str, str], dict[str, str]]:
    """Features and targets as numbers; what is wrong with values, and with whole columns, by their names."""
    unknown, chosen = schema.unknown, (*asked.categorical, *asked.targets)
    X, bad = gathered(frame, schema.features, takes_missing=schema.takes_missing, unknown=unknown)
    y, bad_targets = gathered(frame, schema.targets, takes_missing=False, unknown=unknown)
    bad |= bad_targets
    useless = {}
    for values, columns in ((X, schema.features), (y, schema.targets)):
        for column, numbers in parted(values, columns):
            if column.name in bad:
                continue
            is_taken = asked.takes_all and column.name not in asked.targets
            why = None if is_taken else _constant(column, numbers)
            if why is None and column.name not in chosen:
                why = _identifies(column, numbers)
            if why is not None:
                useless[column.name] = f"column {column.name} {why}"
    return X, y, bad, useless


def _constant(column: Column, numbers: np.ndarray) -> str | None:
    """Why a column says nothing, in words that follow its name; None where it may say something."""
    rows, first = len(numbers), numbers[0, 0]
    is_missing = bool(np.isnan(numbers).all())
    if not is_missing and not np.all(numbers == numbers[0]):
        return None
    value = column.levels[int(first)] if not is_missing and column.kind == CATEGORY else f"{first:g}"
    shown = "missing" if is_missing else value
    return f"is {shown} in every row, from row 1 to row {rows}, so it says nothing"


def _identifies(column: Column, numbers: np.ndarray) -> str | None:
    """Why a column rather names the rows; None where it does not."""
    there = int((~np.isnan(numbers[:, 0])).sum())
    if column.kind == CATEGORY and len(column.levels) > max(_FEW, there / 2):
        return (
            f"has {len(column.levels)} different texts in {len(numbers)} rows, as names and identifiers have"
        )
    return None


def _advice(bad: Collection[str], useless: Collection[str], targets: Sequence[str]) -> str:
    drop = [name for name in (*bad, *useless) if name not in targets]
    if bad:
        return mending(drop)
    return f"Try --drop {','.join(drop)}." if drop else "There is nothing to predict."


def _as_it_is(frame: pd.DataFrame, asked: Asked, command: Sequence[str], drop: Sequence[str]) -> str:
    """The one command that would take a table as it is; nothing where none would."""
    whole = frame.dropna(subset=list(asked.targets)).reset_index(drop=True)
    wide = replace(asked, takes_all=True, takes_missing=True)
    if len(whole) < 2:
        return ""
    _, _, bad, useless = _looked_at(whole, wide, _schema(whole, wide))
    left = [*drop, *bad, *useless]
    if set(left) & set(asked.targets) or set(left) >= {*asked.features}:
        return ""
    drops = ["--drop", ",".join(left)] if left else []
    return f"\nOr take it as it is: {shlex.join([*command, *drops])}"


def _refuse_targets(targets: Sequence[Column], rows: int, source: str) -> None:
    for column in targets:
        if column.kind == DATE:
            raise DataError(
                f"{source}: the target {column.name} holds dates, but must hold numbers or classes. "
                "Name another --target."
            )
        if len(column.levels) > max(_FEW, rows / 2):
            raise DataError(
                f"{source}: the target {column.name} has {len(column.levels)} classes in {rows} rows, so "
                "most have one row alone. Name another --target."
            )


def hints(schema: Schema, X: np.ndarray, y: np.ndarray, source: str, *, task: str | None) -> Iterator[str]:
    """What the user of a table may want to know of its columns, in sentences.

    Args:
        schema: What the table's columns hold.
        X: Features, (rows, numbers).
        y: Targets, (rows, targets).
        source: What errors call the table.
        task: What was asked for.
    """
    for column, numbers in parted(X, schema.features):
        if why := _constant(column, numbers):
            yield f"{source}: column {column.name} {why}."
        elif why := _index(column, numbers):
            yield (
                f"{source}: column {column.name} {why}, and trains as a feature. "
                f"Leave it out with --drop {shlex.quote(column.name)}."
            )
    column, *others = schema.targets
    if task is None and column.kind == NUMBER and not others and len(y) >= _ENOUGH_ROWS:
        values = np.unique(y)
        if len(values) <= _FEW_NUMBERS and bool(np.all(values == values.round())):
            yield (
                f"{source}: the target {column.name} holds {len(values)} different whole numbers. If they "
                "are classes, give --task classification."
            )


def _index(column: Column, numbers: np.ndarray) -> str | None:
    """Why a feature rather is an index of the rows; None where it is not."""
    rows, first = len(numbers), numbers[0, 0]
    ends = first in (0, 1) and numbers[-1, 0] - first == rows - 1  # of few columns are all rows looked at
    is_count = ends and column.kind == NUMBER and rows >= _FEWEST_COUNTED
    if is_count and np.array_equal(numbers[:, 0], first + np.arange(rows)):
        return "counts the rows"
    return "has no name, as an index has none" if column.name == _NAMELESS else None
