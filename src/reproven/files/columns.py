"""Columns of a table as numbers; a value that is none is named by its column and row.

A training, `reproven predict` and a served model read their tables by it, so that all refuse the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from reproven.errors import DataError

_LARGEST = float(np.finfo(np.float32).max)


def numeric(frame: pd.DataFrame, columns: Sequence[str], source: str, *, kept: Sequence[str]) -> np.ndarray:
    """The named columns as numbers, (rows, columns) float64.

    Args:
        frame: Columns as read.
        columns: Those wanted, in their order.
        source: What errors call the table.
        kept: Columns that no error advises to drop.

    Raises:
        DataError: A value is text, missing, infinite or too large for float32; names column and row.
    """
    values = np.empty((len(frame), len(columns)))
    for index, column in enumerate(columns):
        values[:, index], usable = _read(frame[column])
        if not usable.all():
            row = int(np.argmin(usable))
            advice = "" if column in kept else f", or leave the column out with --drop {column}"
            raise DataError(
                f"{source}: column {column}, row {row + 1} is {_unusable(frame[column].iloc[row])}. "
                f"Mend or remove the row{advice}."
            )
    return values


def _read(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """A column as float64, and which of its values are numbers that float32 can hold, both (rows,)."""
    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return values, np.abs(values) <= _LARGEST
    values = np.array([_as_float(value) for value in series], dtype=np.float64)
    usable = np.abs(values) <= _LARGEST
    if usable.all():  # then it is True and False that are none, or numbers kept as text
        usable = np.array([isinstance(value, Real) and not isinstance(value, bool) for value in series], bool)
    return values, usable


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _unusable(value: Any) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "missing, but must be a number"
    if isinstance(value, float):
        return f"{value:g}, but must be a number that float32 can hold"
    return f"{str(value)!r}, but must be a number"
