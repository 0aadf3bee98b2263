"""Tables: what a file or a bundled name says, in float64, with a digest of its content.

Reading refuses what cannot be trained on, naming file, column and row. Nothing here knows of MLflow.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from reproven.errors import DataError, name_among
from reproven.files.columns import numeric
from reproven.files.tables import EXACTLY, Read, read_file
from reproven.values.recipe import BUNDLED

#: Where the bundled numbers come from; datasets/README.md says more.
_ORIGINS = {
    "boston": "https://lib.stat.cmu.edu/datasets/boston",
    "diabetes": "https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html",
}
#: What pandas calls a first column without a name, as it writes its own index.
_NAMELESS = "Unnamed: 0"
#: Fewer rows may be in order by chance.
_FEWEST_COUNTED = 10
_UNITS = {("boston", "MEDV"): "1,000 USD", ("diabetes", "target"): "progression score"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Numeric columns, one of them the target.

    Attributes:
        name: `boston`, `diabetes`, or the file's name.
        source: What errors call it: the path as given, or the bundled table's name.
        features: Names of the feature columns.
        target: Name of the target column.
        X: Features, (rows, features) float64.
        y: Target, (rows,) float64.
        remarks: What may not be as it was meant, in sentences.
    """

    name: str
    source: str
    features: tuple[str, ...]
    target: str
    X: np.ndarray
    y: np.ndarray
    remarks: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Where the numbers come from: an absolute path, or the address of a bundled table's source."""
        return _ORIGINS.get(self.source) or str(Path(self.source).resolve())

    @property
    def target_label(self) -> str:
        """The target with its unit where that is known, for axes."""
        return target_label(self.name, self.target)

    @cached_property
    def sha256(self) -> str:
        """Digest of the names (as JSON) and of the float64 values, X by rows and then y, little-endian."""
        names = json.dumps({"features": self.features, "target": self.target}, sort_keys=True)
        numbers = (np.ascontiguousarray(one, dtype="<f8").data for one in (self.X, self.y))
        return sha256_of(names.encode(), *numbers)


def sha256_of(*parts: bytes | memoryview) -> str:
    """Digest of some bytes, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def target_label(table: str, target: str) -> str:
    """A table's target with its unit where that is known, by their names."""
    unit = _UNITS.get((table, target))
    return f"{target} ({unit})" if unit else target


def load(
    data: str,
    *,
    target: str | None = None,
    drop: tuple[str, ...] = (),
    sep: str | None = None,
    decimal: str | None = None,
    sha256: str | None = None,
) -> Table:
    """Reads a table.

    Args:
        data: `boston`, `diabetes`, or the path of a file that `tables.read_file` reads.
        target: Column to predict; needed for a file. Columns without header are named 0, 1, 2, ….
        drop: Columns to leave out.
        sep: What stands between the cells of a text, as for `tables.read_file`; so is `decimal`.
        sha256: The digest that it must have; None takes any table.

    Raises:
        DataError: The table is not there, or cannot be trained on, naming file, column and row; or it is
            another one.
    """
    read, source, usual_target = _read_source(data, sep, decimal)
    frame = read.frame
    name = data if data in BUNDLED else Path(data).name
    target = target or usual_target
    columns = list(frame.columns)
    if target is None:
        raise DataError(
            f"{source} has no target named. Name the column to predict with --target: "
            f"there is {', '.join(columns)}."
        )
    for column in (target, *drop):
        if column not in columns:
            raise DataError(f"{source} has no column {column!r}. {name_among(column, columns)}")
    if target in drop:
        raise DataError(
            f"{source}: {target} is both the target and dropped. Keep it, or name another --target."
        )
    features = tuple(column for column in columns if column != target and column not in drop)
    if not features:
        raise DataError(f"{source} has no feature left beside the target {target}. Drop fewer columns.")
    if len(frame) < 2:
        raise DataError(f"{source} has {len(frame)} row(s), but training needs at least 2. Add rows.")
    X = numeric(frame, features, source, kept=())
    y = numeric(frame, (target,), source, kept=(target,))[:, 0]
    remarks = read.remarks
    del read, frame  # as large as X
    for column, values in (*zip(features, X.T, strict=True), (target, y)):
        if np.all(values == values[0]):
            advice = f"Try --drop {column}." if column != target else "There is nothing to predict."
            raise DataError(
                f"{source}: column {column} is {values[0]:g} in every row, from row 1 to row "
                f"{len(y)}, so it says nothing. {advice}"
            )
    remarks += tuple(
        f"{source}: column {column} {why}, and trains as a feature. "
        f"Leave it out with --drop {shlex.quote(column)}."
        for column, why in _indices(features, X).items()
    )
    table = Table(name=name, source=source, features=features, target=target, X=X, y=y, remarks=remarks)
    if sha256 not in (None, table.sha256):
        raise DataError(
            f"{source} has the digest {table.sha256}, but the recipe wants {sha256}: "
            "the table, its target or the columns dropped differ. Find the table that was meant."
        )
    return table


def _indices(features: Sequence[str], X: np.ndarray) -> dict[str, str]:
    """The features that rather are an index of the rows, each with the reason."""
    rows = len(X)
    found = {name: "has no name, as an index has none" for name in features if name == _NAMELESS}
    ends = np.isin(X[0], (0, 1)) & (X[-1] - X[0] == rows - 1)  # of few columns are all rows looked at
    for column in np.flatnonzero(ends).tolist() if rows >= _FEWEST_COUNTED else ():
        if np.array_equal(X[:, column], X[0, column] + np.arange(rows)):
            found[features[column]] = "counts the rows"
    return found


def _read_source(data: str, sep: str | None, decimal: str | None) -> tuple[Read, str, str | None]:
    if data == "boston":
        with (files("reproven") / "datasets" / "boston.csv").open() as file:
            return Read(frame=pd.read_csv(file, **EXACTLY)), "boston", "MEDV"
    if data == "diabetes":
        from sklearn.datasets import load_diabetes

        return Read(frame=load_diabetes(as_frame=True, scaled=False).frame), "diabetes", "target"
    return read_file(Path(data), sep=sep, decimal=decimal, bundled=BUNDLED), data, None
