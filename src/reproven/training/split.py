"""Datasets: a table split into training, validation and testing rows, standardised by the first alone.

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


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A table split into training, validation and testing rows, standardised by its training rows alone.

    Attributes:
        table: Where it comes from.
        train_rows: Row numbers in the table, int64; ascending where no row is held out.
        validation_rows: Those held out for validation; none where the validation size is 0.
        test_rows: The others; none where the test size is 0.
        mean: Mean of each feature over the training rows, (features,) float64.
        scale: Standard deviation of each, (features,) float64; 1 where it would be 0.
        target_mean: Likewise of the target, where it is standardised; None where it is taken as it is.
        target_scale: Likewise its standard deviation.
    """

    table: Table
    train_rows: np.ndarray
    validation_rows: np.ndarray
    test_rows: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    target_mean: float | None = None
    target_scale: float | None = None

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

        X, y = (self.table.X[rows] - self.mean) / self.scale, self.table.y[rows]
        if self.target_mean is not None:
            y = (y - self.target_mean) / self.target_scale
        return torch.from_numpy(X.astype(np.float32)), torch.from_numpy(y.astype(np.float32))

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


def split(
    table: Table,
    *,
    test_size: float,
    validation_size: float = 0.0,
    seed: int,
    standardise_target: bool = False,
) -> Dataset:
    """Splits a table and fits the standardisation to its training rows.

    Args:
        table: The whole table.
        test_size: Share of the rows for testing, at least 0 and less than 1; rounded up to whole rows.
        validation_size: Likewise for validation. They follow the testing rows in the order that is drawn,
            so that these are the same whether there are any.
        seed: Seed of the split, as scikit-learn's `random_state`.
        standardise_target: Whether the target is standardised too.

    Raises:
        DataError: No row is left for training.

    Source: sklearn.model_selection.train_test_split (scikit-learn 1.9), whose rows these are.
    """
    order = np.arange(len(table.y))
    testing, validating = (int(np.ceil(size * len(order))) for size in (test_size, validation_size))
    held_out = testing + validating
    if held_out >= len(order):
        sizes, leave, advice = f"test_size {test_size}", "leaves", "--test-size 0.2"
        if validating:
            sizes, leave = f"{sizes} with validation_size {validation_size}", "leave"
            advice = f"{advice} --validation-size 0.2"
        raise DataError(
            f"{table.source} has {len(order)} rows, and {sizes} {leave} none to train on. Try {advice}."
        )
    if held_out:
        order = np.random.RandomState(seed).permutation(len(order))
    train_rows = order[held_out:]
    mean, scale = standardisation(table.X[train_rows])
    found = Dataset(
        table=table,
        train_rows=train_rows,
        validation_rows=order[testing:held_out],
        test_rows=order[:testing],
        mean=mean,
        scale=scale,
    )
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
        validation_size=recipe.validation_size,
        seed=recipe.split_seed or 0,
        standardise_target=bool(recipe.standardise_target),
    )


def standardisation(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, (columns,) float64 each; 1 for a constant column.

    These are the bits of sklearn.preprocessing.StandardScaler (a test compares them). It is written out
    because importing scikit-learn takes longer than training the default network.

    Args:
        X: Features, (rows, columns) float64.

    Source: the corrected two-pass algorithm in Chan, Golub & LeVeque (1983), "Algorithms for computing
        the sample variance: analysis and recommendations", equation 1.7.
    """
    rows = len(X)
    mean = X.sum(axis=0) / rows
    deviation = X - mean
    correction = deviation.sum(axis=0) ** 2 / rows
    variance = ((deviation**2).sum(axis=0) - correction) / rows
    epsilon = np.finfo(np.float64).eps
    rounding = rows * epsilon * variance + (rows * mean * epsilon) ** 2  # its bound on the error
    return mean, np.where(variance <= rounding, 1.0, np.sqrt(variance))
