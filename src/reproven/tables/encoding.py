"""Encoding: features that are no plain numbers become numbers, as the training rows say how.

What it fits is three numbers for each number that a network sees, so a model needs no more than them:
`networks.encoded` applies them. It draws nothing, and it never looks at rows that are held out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reproven.files.columns import CATEGORY, Column, Schema
from reproven.networks import ITSELF, MISSING


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """How the numbers of a table become those that a network sees, before these are standardised.

    Attributes:
        names: What each number is, such as `sex=male`, `age`, `age is missing`.
        source: The place of the number in the table that each comes from, (numbers,) float64.
        fill: What stands where that is missing, (numbers,) float64.
        code: The place of the level for which it is 1, else 0, (numbers,) float64; `networks.ITSELF` where it
            is the table's number, and `networks.MISSING` where it is 1 for what is missing.
    """

    names: tuple[str, ...]
    source: np.ndarray
    fill: np.ndarray
    code: np.ndarray

    @property
    def numbers(self) -> dict[str, Any]:
        """Its numbers as Python has them, by the names that a model has for them."""
        return {name: getattr(self, name).tolist() for name in ("source", "fill", "code")}


def fit(schema: Schema, X: np.ndarray, *, impute: str) -> Encoding:
    """Fits an encoding.

    Args:
        schema: What the table's columns hold.
        X: Its training rows as numbers, (rows, numbers) float64.
        impute: What stands for a missing number: `median`, `mean`, `most_frequent` (the least of several) or
            `constant`, which is 0.

    Source: scikit-learn's OneHotEncoder(handle_unknown="ignore") and SimpleImputer(add_indicator=True), whose
        numbers these are.
    """
    found: list[tuple[str, int, float, float]] = []
    place = 0
    for column in schema.features:
        width = len(column.numbers)
        numbers = range(place, place + width)
        place += width
        if column.kind == CATEGORY:
            found += _of_category(column, numbers[0], X[:, numbers[0]])
        else:
            found += _of_numbers(column, numbers, X, impute)
    names, source, fill, code = zip(*found, strict=True)
    return Encoding(names=names, source=_floats(source), fill=_floats(fill), code=_floats(code))


def _of_category(column: Column, place: int, values: np.ndarray) -> Iterator[tuple[str, int, float, float]]:
    """One number for each level that occurs, and one for what is missing where some is."""
    there = ~np.isnan(values)
    for level in np.unique(values[there]):
        yield f"{column.name}={column.levels[int(level)]}", place, MISSING, float(level)
    if not there.all():
        yield f"{column.name} is missing", place, MISSING, MISSING


def _of_numbers(
    column: Column, places: range, X: np.ndarray, impute: str
) -> Iterator[tuple[str, int, float, float]]:
    """Each number itself, and one for what is missing where some is."""
    for name, place in zip(column.numbers, places, strict=True):
        values = X[:, place]
        yield name, place, _STANDS_IN[impute](values[~np.isnan(values)]), ITSELF
    if np.isnan(X[:, places[0]]).any():
        yield f"{column.name} is missing", places[0], MISSING, MISSING


def _median(values: np.ndarray) -> float:
    if not len(values):
        return 0.0
    ordered = np.sort(values, kind="stable")
    return float((ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2)


def _mean(values: np.ndarray) -> float:
    return float(values.sum() / len(values)) if len(values) else 0.0


def _most_frequent(values: np.ndarray) -> float:
    different, counts = np.unique(values, return_counts=True)
    return float(different[np.argmax(counts)]) if len(values) else 0.0


_STANDS_IN: Mapping[str, Any] = {
    "median": _median,
    "mean": _mean,
    "most_frequent": _most_frequent,
    "constant": lambda values: 0.0,
}


def _floats(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)
