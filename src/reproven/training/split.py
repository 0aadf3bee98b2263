"""Datasets: a table split into rows for training and testing, and standardised by its training rows alone.

It makes the tensors that training sees, knows nothing of files or MLflow, and draws from no global generator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reproven.errors import DataError
from reproven.files.texts import json_text
from reproven.training.data import Table, sha256_of
from reproven.values.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

_ROWS_AT_ONCE = 1 << 12


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A table split into training and testing rows, standardised by its training rows alone.

    Attributes:
        table: Where it comes from.
        train_rows: Row numbers in the table, int64; ascending where there is no test split.
        test_rows: The others; none where the test size is 0.
        mean: Mean of each feature over the training rows, (features,) float64.
        scale: Standard deviation of each, (features,) float64; 1 where it would be 0.
        target_mean: Likewise of the target, where it is standardised; None where it is taken as it is.
        target_scale: Likewise its standard deviation.
    """

    table: Table
    train_rows: np.ndarray
    test_rows: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    target_mean: float | None = None
    target_scale: float | None = None

    @cached_property
    def split_sha256(self) -> str:
        """Digest of the numbers of training and of testing rows, in order, as little-endian int64."""
        train, test = (rows.astype("<i8").tobytes() for rows in (self.train_rows, self.test_rows))
        return sha256_of(train, b"|", test)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The rows by `train` and, where some are held out, `test`."""
        both = {"train": self.train_rows, "test": self.test_rows}
        return {name: rows for name, rows in both.items() if len(rows)}

    @cached_property
    def observed(self) -> dict[str, np.ndarray]:
        """The target as it is in each part's rows, (rows,) float32."""
        return {name: self.table.y[rows].astype(np.float32) for name, rows in self.parts.items()}

    @property
    def standardisation(self) -> dict[str, Any]:
        """Means and standard deviations as Python numbers, by the names that a regressor has for them."""
        found: dict[str, Any] = {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        if self.target_mean is not None:
            found |= {"target_mean": self.target_mean, "target_scale": self.target_scale}
        return found

    @property
    def standardisation_text(self) -> str:
        """The file with what a state_dict lacks to predict: columns, means and deviations, exactly."""
        columns = {"features": list(self.table.features), "target": self.table.target}
        return json_text(columns | self.standardisation)

    @property
    def loss_label(self) -> str:
        """The training loss with its unit, for axes."""
        return loss_label(self.table.target_label, is_standardised=self.target_mean is not None)

    def part_sha256(self, rows: np.ndarray) -> str:
        """Digest of the table's digest and the numbers of some of its rows."""
        return sha256_of(self.table.sha256.encode(), rows.astype("<i8").tobytes())

    def tensors(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Standardised features, (rows, features) float32, and targets as trained on, (rows,) float32."""
        import torch

        X = np.empty((len(rows), self.table.X.shape[1]), dtype=np.float32)
        for start in range(0, len(rows), _ROWS_AT_ONCE):  # in float64 it would be another table
            some = slice(start, start + _ROWS_AT_ONCE)
            X[some] = (self.table.X[rows[some]] - self.mean) / self.scale
        y = self.table.y[rows]
        if self.target_mean is not None:
            y = (y - self.target_mean) / self.target_scale
        return torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))

    def frame(self, rows: np.ndarray) -> pd.DataFrame:
        """Raw rows with the columns' names, features first and the target last."""
        frame = pd.DataFrame(self.table.X[rows], columns=list(self.table.features))
        frame[self.table.target] = self.table.y[rows]
        return frame


def loss_label(target: str, *, is_standardised: bool) -> str:
    """The training loss with its unit, for axes.

    Args:
        target: The target with its unit.
        is_standardised: Whether the network is trained on the standardised target.
    """
    return (
        f"mean squared error, standardised {target}" if is_standardised else f"mean squared error, {target}²"
    )


def split(table: Table, *, test_size: float, seed: int, standardise_target: bool = False) -> Dataset:
    """Splits a table and fits the standardisation to its training rows.

    Args:
        table: The whole table.
        test_size: Share of the rows for testing, at least 0 and less than 1; rounded up to whole rows.
        seed: Seed of the split, as scikit-learn's `random_state`.
        standardise_target: Whether the target is standardised too.

    Raises:
        DataError: No row is left for training.

    Source: sklearn.model_selection.train_test_split (scikit-learn 1.9), whose rows these are.
    """
    rows = np.arange(len(table.y))
    train_rows, test_rows = rows, rows[:0]
    if test_size:
        held_out = int(np.ceil(test_size * len(rows)))
        if held_out >= len(rows):
            raise DataError(
                f"{table.source} has {len(rows)} rows, and test_size {test_size} leaves none to train on. "
                "Try --test-size 0.2."
            )
        order = np.random.RandomState(seed).permutation(len(rows))
        train_rows, test_rows = order[held_out:], order[:held_out]
    X = table.X[train_rows]
    mean, scale = standardisation(X, out=X)
    del X  # as large as the table
    found = Dataset(table=table, train_rows=train_rows, test_rows=test_rows, mean=mean, scale=scale)
    if not standardise_target:
        return found
    target_mean, target_scale = standardisation(table.y[train_rows, None])
    return replace(found, target_mean=float(target_mean[0]), target_scale=float(target_scale[0]))


def dataset_of(recipe: Recipe, table: Table) -> Dataset:
    """A recipe's table, split and standardised as it says.

    Raises:
        DataError: No row is left for training.
    """
    return split(
        table,
        test_size=recipe.test_size,
        seed=recipe.split_seed or 0,
        standardise_target=bool(recipe.standardise_target),
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
