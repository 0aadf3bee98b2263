"""Datasets: a table split into training, validation and testing rows, standardised by the first alone.

It makes the tensors that training sees, knows nothing of files or MLflow, and draws from no global generator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from reproven.errors import DataError
from reproven.files.columns import CATEGORY, NUMBER, REFUSE, parted
from reproven.files.texts import json_text
from reproven.recipes.choices import NONE, rows_tested
from reproven.recipes.recipe import Recipe
from reproven.recipes.typed import fold_of
from reproven.tables.data import Table, sha256_of
from reproven.tables.encoding import Encoding, fit

if TYPE_CHECKING:
    from torch import Tensor

_ROWS_AT_ONCE = 1 << 12


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A table split into training, validation and testing rows, standardised by its training rows alone.

    Attributes:
        table: Where it comes from.
        train_rows: Row numbers in the table, int64; ascending where no row is held out.
        validation_rows: Those held out for validation; none where the validation size is 0.
        test_rows: The others; none where the test size is 0.
        mean: Mean of each number that the network sees over the training rows, (numbers,) float64; None where
            features are taken as they are.
        scale: Standard deviation of each, (numbers,) float64; 1 where it would be 0; None likewise.
        target_mean: Likewise of the target, () float64 or (targets,), where it is standardised; None where it
            is taken as it is.
        target_scale: Likewise its standard deviation.
        encoding: How the table's numbers become those; None where they are taken as they are.
    """

    table: Table
    train_rows: np.ndarray
    validation_rows: np.ndarray
    test_rows: np.ndarray
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    target_mean: np.ndarray | None = None
    target_scale: np.ndarray | None = None
    encoding: Encoding | None = None

    @cached_property
    def split_sha256(self) -> str:
        """Digest of the numbers of training, testing and any validation rows, as little-endian int64."""
        parts = (self.train_rows, self.test_rows, self.validation_rows)
        train, test, validation = (rows.astype("<i8").tobytes() for rows in parts)
        return sha256_of(train, b"|", test, *((b"|", validation) if validation else ()))

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The rows by `train` and, where some are held out, `validation` and `test`."""
        all_rows = {"train": self.train_rows, "validation": self.validation_rows, "test": self.test_rows}
        return {name: rows for name, rows in all_rows.items() if len(rows)}

    @cached_property
    def observed(self) -> dict[str, np.ndarray]:
        """The target as it is in each part's rows, float32; of classes, their places, int64."""
        kind = np.int64 if self.table.classes else np.float32
        return {name: self.table.y[rows].astype(kind) for name, rows in self.parts.items()}

    @property
    def fitted(self) -> dict[str, Any]:
        """All that was fitted to the training rows as Python values, by the names that a model has for it."""
        found: dict[str, Any] = {}
        if self.mean is not None and self.scale is not None:
            found |= {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        if self.target_mean is not None and self.target_scale is not None:
            found |= {"target_mean": self.target_mean.tolist(), "target_scale": self.target_scale.tolist()}
        if self.encoding is not None:
            found |= self.encoding.numbers
        if self.table.schema is not None:
            found["schema"] = self.table.schema.text()
        return found

    def text_of(self, fitted: Mapping[str, Any]) -> str:
        """The file with what a state_dict lacks to predict: columns, means and deviations, exactly.

        Args:
            fitted: As `fitted` tells it, and what else a model holds.
        """
        columns: dict[str, Any] = {"features": list(self.table.features), "target": self.table.target}
        if self.encoding is not None:
            columns["numbers"] = list(self.encoding.names)
        return json_text({**columns, **fitted})

    @property
    def width(self) -> int:
        """How many numbers the network sees of a row."""
        if self.table.shape is not None:
            return math.prod(self.table.shape)
        return self.table.X.shape[1] if self.encoding is None else len(self.encoding.source)

    def _seen(self, X: np.ndarray) -> np.ndarray:
        """Some rows of a table as the network sees them, float64."""
        found = encoded(X, self.encoding)
        return found if self.mean is None or self.scale is None else (found - self.mean) / self.scale

    def part_sha256(self, rows: np.ndarray) -> str:
        """Digest of the table's digest and the numbers of some of its rows."""
        return sha256_of(self.table.sha256.encode(), rows.astype("<i8").tobytes())

    def tensors(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Features as the network sees them, (rows, numbers) float32, and targets as trained on.

        These are float32, (rows,) or (rows, targets); of classes their places, int64. An array's features
        have its shape, and where they are whole numbers they are int64.
        """
        import torch

        if self.table.shape is not None:
            X = self.table.X[rows]
        else:
            X = np.empty((len(rows), self.width), dtype=np.float32)
            for start in range(0, len(rows), _ROWS_AT_ONCE):  # in float64 it would be another table
                some = slice(start, start + _ROWS_AT_ONCE)
                X[some] = self._seen(self.table.X[rows[some]])
        y = self.table.y[rows]
        if self.table.classes:
            return torch.from_numpy(X), torch.from_numpy(y.astype(np.int64))
        if self.target_mean is not None:
            y = (y - self.target_mean) / self.target_scale
        return torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))


def split(
    table: Table,
    *,
    test_size: float,
    validation_size: float = 0.0,
    seed: int,
    fold: tuple[int, int] | None = None,
    standardise: bool = True,
    standardise_target: bool = False,
    impute: str | None = None,
) -> Dataset:
    """Splits a table, and fits encoding and standardisation to its training rows.

    Args:
        table: The whole table.
        test_size: Share of the rows for testing, at least 0 and less than 1; rounded up to whole rows.
        validation_size: Likewise for validation. They follow the testing rows in the order that is drawn,
            so that these are the same whether there are any.
        seed: Seed of the split, as scikit-learn's `random_state`.
        fold: Which fold of how many is tested, counted from 1; None for as many rows as the test size says.
        standardise: Whether the features are standardised.
        standardise_target: Whether the target is.
        impute: What stands for a missing number, as `encoding.fit` has it.

    Raises:
        DataError: No row is left for training, or a category that must be known is in no training row.

    Source: sklearn.model_selection.train_test_split (scikit-learn 1.9), whose rows these are for numbers.
    """
    order = np.arange(len(table.y))
    testing = rows_tested(len(order), test_size, fold)
    validating = int(np.ceil(validation_size * len(order)))
    if testing + validating >= len(order):
        sizes, leave, advice = f"test_size {test_size}", "leaves", "--test-size 0.2"
        if validating:
            sizes, leave = f"{sizes} with validation_size {validation_size}", "leave"
            advice = f"{advice} --validation-size 0.2"
        raise DataError(
            f"{table.source} has {len(order)} rows, and {sizes} {leave} none to train on. Try {advice}."
        )
    if testing or validating:
        order = np.random.RandomState(seed).permutation(len(order))
    classes = table.y if table.classes else None
    if fold is not None:
        test_rows, others = folded(order, fold, classes)
    else:
        test_rows, others = taken(order, testing, classes)
    validation_rows, train_rows = taken(others, validating, classes)
    found = Dataset(
        table=table,
        train_rows=train_rows,
        validation_rows=validation_rows,
        test_rows=test_rows,
        encoding=_encoding(table, train_rows, impute),
    )
    if standardise:
        X = encoded(table.X[train_rows], found.encoding)
        mean, scale = standardisation(X, out=X)
        del X  # as large as the table
        found = replace(found, mean=mean, scale=scale)
    if not standardise_target:
        return found
    y = table.y[train_rows]
    target_mean, target_scale = standardisation(y.reshape(len(y), -1))
    shape = y.shape[1:]
    return replace(found, target_mean=target_mean.reshape(shape), target_scale=target_scale.reshape(shape))


def folded(
    order: np.ndarray, fold: tuple[int, int], classes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """One fold's rows, and the others, both in an order.

    Without classes a fold is a piece of the order. With classes the rows are dealt to the folds in turn, one
    class after the other: so folds differ by one row at most, and by one of each class.

    Args:
        order: Row numbers.
        fold: Which of how many, counted from 1.
        classes: The class of each row of the table; None where rows have none.

    Source: sklearn.model_selection.KFold (scikit-learn 1.9), whose rows these are for numbers.
    """
    number, of = fold
    if classes is None:
        own = np.array_split(order, of)[number - 1]
    else:
        own = order[np.argsort(classes[order], kind="stable")][number - 1 :: of]
    is_taken = np.isin(order, own)
    return order[is_taken], order[~is_taken]


def taken(order: np.ndarray, count: int, classes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """So many rows from the front of an order, and the others, both in that order.

    Args:
        order: Row numbers.
        count: How many are taken, fewer than there are.
        classes: The class of each row of the table, so that each gives its share, by largest remainders, and
            keeps one row at least; None where rows have none.

    Source: Hamilton's method of largest remainders, as in Balinski & Young (1982), "Fair Representation".
    """
    if classes is None:
        return order[:count], order[count:]
    own = classes[order]
    different, sizes = np.unique(own, return_counts=True)
    shares = sizes * count / len(order)
    wanted = np.minimum(np.floor(shares), sizes - 1).astype(int)
    for place in np.argsort(-(shares - wanted), kind="stable"):
        if wanted.sum() < count and wanted[place] < sizes[place] - 1:
            wanted[place] += 1
    is_taken = np.zeros(len(order), bool)
    for label, number in zip(different, wanted, strict=True):
        is_taken[np.flatnonzero(own == label)[:number]] = True
    return order[is_taken], order[~is_taken]


def encoded(X: np.ndarray, encoding: Encoding | None) -> np.ndarray:
    """A table's numbers, (rows, numbers) float64, as the network sees them before they are standardised."""
    if encoding is None:
        return X
    import torch

    from reproven import networks

    numbers = (torch.from_numpy(part) for part in (X, encoding.source, encoding.fill, encoding.code))
    found: np.ndarray = networks.encoded(*numbers).numpy()
    return found


def _encoding(table: Table, train_rows: np.ndarray, impute: str | None) -> Encoding | None:
    """What is fitted where features may be more than numbers that are there.

    Raises:
        DataError: A category that must be known is in no training row.
    """
    schema = table.schema
    if schema is None or schema.array is not None:
        return None
    if not (schema.takes_missing or any(c.kind != NUMBER for c in schema.features)):
        return None
    for column, numbers in parted(table.X, schema.features):
        if column.kind == CATEGORY and schema.unknown == REFUSE:
            values = numbers[:, 0]
            is_strange = ~np.isnan(values) & ~np.isin(values, values[train_rows])
            if is_strange.any():
                row = int(np.argmax(is_strange))
                raise DataError(
                    f"{table.source}: column {column.name}, row {row + 1} is "
                    f"{column.levels[int(values[row])]!r}, which no training row has, and unknown is refuse. "
                    "Try another --split-seed, or --unknown ignore."
                )
    return fit(schema, table.X[train_rows], impute=impute or "median")


def dataset_of(recipe: Recipe, table: Table) -> Dataset:
    """A recipe's table, split, encoded and standardised as it says.

    Raises:
        DataError: As for `split`.
    """
    return split(
        table,
        test_size=recipe.test_size,
        validation_size=recipe.validation_size,
        seed=recipe.split_seed or 0,
        fold=None if recipe.fold is None else fold_of(recipe.fold),
        standardise=recipe.standardise != NONE,
        standardise_target=bool(recipe.standardise_target),
        impute=recipe.impute,
    )


def standardisation(X: np.ndarray, *, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, (columns,) float64 each; 1 for a constant column.

    These are the bits of sklearn.preprocessing.StandardScaler (a test compares them). It is written out
    because importing scikit-learn takes longer than training the default network.

    Args:
        X: Features, (rows, columns) float64.
        out: An array like X that may be written over, X itself too; None takes a new one.

    Source: the corrected two-pass algorithm in Chan, Golub & LeVeque (1983), "Algorithms for computing
        the sample variance: analysis and recommendations", equation 1.7.
    """
    rows = len(X)
    mean = X.sum(axis=0) / rows
    deviation = np.subtract(X, mean, out=out)
    correction = deviation.sum(axis=0) ** 2 / rows
    squares = np.square(deviation, out=deviation)
    variance = (squares.sum(axis=0) - correction) / rows
    epsilon = np.finfo(np.float64).eps
    rounding = rows * epsilon * variance + (rows * mean * epsilon) ** 2  # its bound on the error
    return mean, np.where(variance <= rounding, 1.0, np.sqrt(variance))
