"""Tables: what a file or a bundled name says, in float64, with a digest of its content.

Reading refuses what cannot be trained on, naming file, column and row. Nothing here knows of MLflow.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reproven.errors import DataError, name_among
from reproven.files.columns import IGNORE, Column, Schema
from reproven.files.shapes import as_taken, kind_of_array
from reproven.own.named import is_named
from reproven.recipes.choices import AUTO, BUNDLED, CLASSIFICATION, NONE, PLAIN, REGRESSION
from reproven.tables.arrays import Arrays, holds_arrays, is_function, read_arrays
from reproven.tables.frames import EXACTLY, Read, read_file
from reproven.tables.kinds import Asked, hints, taken

#: Where the bundled numbers come from; datasets/README.md says more.
_ORIGINS = {
    "boston": "https://lib.stat.cmu.edu/datasets/boston",
    "diabetes": "https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html",
}
#: What pandas calls a first column without a name, as it writes its own index.
_NAMELESS = "Unnamed: 0"
#: Fewer rows may be in order by chance.
_FEWEST_COUNTED = 10
#: What marks a table that a run kept: it has what was trained on alone.
MARK = {b"reproven": b"kept"}
_UNITS = {("boston", "MEDV"): "1,000 USD", ("diabetes", "target"): "progression score"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns as numbers, one or several of them the target.

    Attributes:
        name: `boston`, `diabetes`, or the file's name.
        source: What errors call it: the path as given, or the bundled table's name.
        features: Names of the feature columns.
        target: Name of the target column; of several, with commas.
        X: Features as the schema makes numbers of them, (rows, numbers) float64; or an array that is taken as
            it is, rows first, float32 or int64.
        y: Target, (rows,) float64, or (rows, targets); of classes, their places.
        schema: What the columns hold; None where all are plain numbers.
        remarks: What its user should know of it, in sentences.
    """

    name: str
    source: str
    features: tuple[str, ...]
    target: str
    X: np.ndarray
    y: np.ndarray
    schema: Schema | None = None
    remarks: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the target's columns."""
        return tuple(column.name for column in self.schema.targets) if self.schema else (self.target,)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes to predict; none where numbers are."""
        return self.schema.classes if self.schema else ()

    @property
    def task(self) -> str:
        """What is predicted: `classification` or `regression`."""
        return CLASSIFICATION if self.classes else REGRESSION

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of a row, where the features are an array that the network takes as it is."""
        return self.X.shape[1:] if self.schema is not None and self.schema.array else None

    @property
    def place(self) -> str:
        """What it is read again by: a bundled table's name, a function's name, or an absolute path."""
        is_name = self.source in BUNDLED or is_function(self.source)
        return self.source if is_name else str(Path(self.source).resolve())

    @property
    def origin(self) -> str:
        """Where the numbers come from: its place, or the address of a bundled table's source."""
        return _ORIGINS.get(self.source) or self.place

    @property
    def target_label(self) -> str:
        """The target with its unit where that is known, for axes."""
        return target_label(self.name, self.target)

    def frame(self, rows: np.ndarray | slice = slice(None)) -> pd.DataFrame:
        """Some rows of the features as the table has them, with the columns' names. An array has none."""
        if self.schema is not None:
            return self.schema.frame(self.X[rows])
        return pd.DataFrame(self.X[rows], columns=list(self.features))

    @cached_property
    def sha256(self) -> str:
        """Digest of names and schema (as JSON) and of values, X by rows and then y, little-endian."""
        said: dict[str, Any] = {"features": self.features, "target": self.target}
        if self.schema:
            said["schema"] = self.schema.text()
        names = json.dumps(said, sort_keys=True)
        kind = "<f8" if self.shape is None else self.X.dtype.newbyteorder("<")
        X, y = np.ascontiguousarray(self.X, dtype=kind), np.ascontiguousarray(self.y, dtype="<f8")
        return sha256_of(names.encode(), X.reshape(-1).data, y.reshape(-1).data)


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
    sha256: str | None = None,
    target: str | None = None,
    drop: tuple[str, ...] = (),
    task: str | None = None,
    preprocess: str = PLAIN,
    categorical: tuple[str, ...] = (),
    impute: str | None = None,
    unknown: str = IGNORE,
    sep: str | None = None,
    decimal: str | None = None,
    standardise: str | None = None,
) -> Table:
    """Reads a table.

    Args:
        data: `boston`, `diabetes`, or the path of a file that `frames.read_file` reads.
        sha256: The digest that it must have; None takes any table.
        target: Column to predict, or several with commas; needed for a file. Columns without header are named
            0, 1, 2, ….
        drop: Columns to leave out.
        task: `regression` or `classification`; None takes what the target holds.
        preprocess: `auto` takes texts, booleans, dates and missing values as they are, and leaves out the
            rows without a target; `none` refuses them.
        categorical: Columns that hold categories.
        impute: Where given, values may be missing.
        unknown: As a `Schema` has it.
        sep: What stands between the cells of a text, as for `frames.read_file`; so is `decimal`.
        decimal: Its decimal mark.
        standardise: Where it is `none`, an array of two dimensions is taken as it is too.

    Raises:
        Untrusted, OwnCodeError: The user's own function that returns the data cannot be had, or fails.
        DataError: The table is not there, or cannot be trained on, naming file, columns and rows; or it is
            another one.
    """
    arrays = read_arrays(data) if holds_arrays(data) else None
    if arrays is not None and (arrays.X.ndim > 2 or standardise == NONE):
        return _same(_array_table(data, arrays, target=target, task=task), sha256)
    if _is_kept(Path(data)):
        drop, sep, decimal = (), None, None
    if arrays is None:
        read, source, usual_target = _read_source(data, sep, decimal)
    else:
        read, source, usual_target = Read(frame=arrays.frame()), data, ",".join(arrays.targets)
        del arrays  # as large as the frame
    frame = read.frame
    name = _name(data)
    target = target or usual_target
    columns = list(frame.columns)
    if target is None:
        raise DataError(
            f"{source} has no target named. Name the column to predict with --target: "
            f"there is {', '.join(columns)}."
        )
    targets = (target,) if target in columns else tuple(part.strip() for part in target.split(","))
    for column in (*targets, *drop, *categorical):
        if column not in columns:
            raise DataError(f"{source} has no column {column!r}. {name_among(column, columns)}")
    if both := [column for column in targets if column in drop]:
        raise DataError(
            f"{source}: {both[0]} is both the target and dropped. Keep it, or name another --target."
        )
    features = tuple(column for column in columns if column not in targets and column not in drop)
    if not features:
        raise DataError(f"{source} has no feature left beside the target {target}. Drop fewer columns.")
    remarks = list(read.remarks)
    if preprocess == AUTO and (empty := frame[list(targets)].isna().any(axis=1)).any():
        frame = frame[~empty].reset_index(drop=True)
        remarks.append(f"{source}: {empty.sum()} row(s) without {target} are left out.")
    if len(frame) < 2:
        raise DataError(f"{source} has {len(frame)} row(s), but training needs at least 2. Add rows.")
    asked = Asked(
        features=features,
        targets=targets,
        task=task,
        takes_all=preprocess == AUTO,
        categorical=categorical,
        takes_missing=impute is not None,
        unknown=unknown,
    )
    command = ["reproven", "train", "--data", data, "--target", target, "--preprocess", AUTO]
    schema, X, y = taken(frame, asked, source, command=command, drop=drop)
    del read, frame  # as large as X
    table = Table(
        name=name,
        source=source,
        features=features,
        target=target,
        X=X,
        y=y if len(targets) > 1 else np.ascontiguousarray(y[:, 0]),
        schema=None if schema.is_plain and len(targets) == 1 else schema,
        remarks=(*remarks, *hints(schema, X, y, source, task=task)),
    )
    return _same(table, sha256)


def _same(table: Table, sha256: str | None) -> Table:
    """A table, if it is the one that is wanted."""
    if sha256 not in (None, table.sha256):
        raise DataError(
            f"{table.source} has the digest {table.sha256}, but the recipe wants {sha256}: "
            "the table, its target or the columns dropped differ. Find the table that was meant."
        )
    return table


def _name(data: str) -> str:
    """What a run calls its table."""
    return data if data in BUNDLED or is_named(data) else Path(data).name


def _array_table(data: str, arrays: Arrays, *, target: str | None, task: str | None) -> Table:
    """A table whose one feature is an array."""
    if target not in (None, ",".join(arrays.targets)):
        raise DataError(f"{data} has the target {','.join(arrays.targets)}, and not {target}. Leave it out.")
    X = as_taken(arrays.X, f"{data}: X")
    asked = Asked(
        features=(),
        targets=arrays.targets,
        task=task,
        takes_all=False,
        categorical=(),
        takes_missing=False,
        unknown=IGNORE,
    )
    schema, _, y = taken(arrays.target_frame(), asked, data, command=["reproven", "train"], drop=())
    return Table(
        name=_name(data),
        source=data,
        features=("X",),
        target=",".join(arrays.targets),
        X=X,
        y=y if len(arrays.targets) > 1 else np.ascontiguousarray(y[:, 0]),
        schema=replace(schema, features=(Column("X", kind_of_array(X)),)),
    )


def _is_kept(path: Path) -> bool:
    """Whether a file is a table that a run kept, by its mark."""
    if path.suffix != ".parquet" or not path.is_file():
        return False
    from pyarrow.parquet import read_schema

    try:
        metadata = read_schema(path).metadata or {}
    except Exception:  # no class is common to all that a broken file can be; it is said when it is read
        return False
    return all(metadata.get(name) == value for name, value in MARK.items())


def _read_source(data: str, sep: str | None, decimal: str | None) -> tuple[Read, str, str | None]:
    if data == "boston":
        with (files("reproven") / "datasets" / "boston.csv").open() as file:
            return Read(frame=pd.read_csv(file, **EXACTLY)), "boston", "MEDV"
    if data == "diabetes":
        from sklearn.datasets import load_diabetes

        return Read(frame=load_diabetes(as_frame=True, scaled=False).frame), "diabetes", "target"
    return read_file(Path(data), sep=sep, decimal=decimal, bundled=BUNDLED), data, None
