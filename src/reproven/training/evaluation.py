"""Predictions and what they are worth: RMSE, MAE and R², in float64 whatever the network computes in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from reproven.networks import Regressor, in_blocks, in_unit

#: Observed and predicted values, (rows,) float32 each, by part.
Predictions = Mapping[str, tuple[np.ndarray, np.ndarray]]


def predictions(network: nn.Module, X: Tensor, unit: tuple[Tensor, Tensor] | None = None) -> np.ndarray:
    """What a network predicts, (rows,) float32, without touching it (none has layers that know a mode).

    Args:
        network: A network, or a regressor.
        X: Features on its device, (rows, features): standardised for a network, raw for a regressor.
        unit: Mean and standard deviation of the target that the network was trained on, () float64 each; None
            where it was trained on the target as it is. A regressor knows its own.
    """
    with torch.inference_mode():
        predicted = network(X) if isinstance(network, Regressor) else in_blocks(network, X)
        predicted = predicted.cpu() if unit is None else in_unit(predicted.cpu(), *unit)
    found: np.ndarray = predicted.numpy()
    return found


def errors(observed: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Root mean squared error and mean absolute error in the target's unit, and R².

    RMSE = sqrt(mean((y − ŷ)²)), MAE = mean(|y − ŷ|), R² = 1 − Σ(y − ŷ)² / Σ(y − mean(y))².
    R² is left out where the observed values are all equal (or only one), where it is not defined.

    Args:
        observed: y, (rows,).
        predicted: ŷ, (rows,).

    Source: https://scikit-learn.org/stable/modules/model_evaluation.html#regression-metrics
    """
    y, residual = observed.astype(np.float64), observed.astype(np.float64) - predicted
    squares, spread = np.square(residual), np.square(y - y.mean())
    found = {"rmse": float(np.sqrt(squares.mean())), "mae": float(np.abs(residual).mean())}
    if spread.any():
        found["r2"] = float(1 - squares.sum() / spread.sum())
    return found


def errors_by_part(found: Predictions) -> dict[str, float]:
    """The errors of each part, by names such as test_rmse."""
    return {
        f"{part}_{name}": value
        for part, (observed, predicted) in found.items()
        for name, value in errors(observed, predicted).items()
    }
