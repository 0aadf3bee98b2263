"""Predictions and what they are worth, in float64 whatever the network computes in.

Of numbers RMSE, MAE and R²; of classes accuracies, F1, log loss and the area under the ROC curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from reproven.arithmetic import functions
from reproven.blocks import in_blocks
from reproven.files.texts import json_text
from reproven.own.failing import blaming
from reproven.values.metrics import is_key

#: Observed and predicted values by part: of numbers (rows,) or (rows, targets) float32 both; of classes their
#: places, (rows,) int64, and the probability of each, (rows, classes) float32.
Predictions = Mapping[str, tuple[np.ndarray, np.ndarray]]
#: What measures them: from observed and predicted values of some rows to a number.
Measure = Callable[[np.ndarray, np.ndarray], float]


def told(network: nn.Module, X: Tensor, then: Callable[[Tensor], Tensor]) -> np.ndarray:
    """What a bare network predicts, float32, the same bits as its whole model, in evaluation mode.

    Args:
        network: The network; it is left in the mode that it is in.
        X: Standardised features on its device, (rows, numbers) float32.
        then: Makes predictions of its outputs, (rows, outputs) float32, on the CPU.
    """
    is_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            predicted: np.ndarray = then(in_blocks(network, X).cpu()).numpy()
    finally:
        network.train(is_training)
    return predicted


def measured(observed: np.ndarray, predicted: np.ndarray, targets: Sequence[str] = ()) -> dict[str, float]:
    """All metrics of some rows; of several targets their means, and each as in `rmse.price`.

    Args:
        observed: As `Predictions` has it; likewise `predicted`.
        targets: The names of several targets; one that can name no metric is named by its place.
    """
    if observed.dtype == np.int64:
        return scores(observed, predicted)
    if observed.ndim == 1:
        return errors(observed, predicted)
    each = [errors(y, found) for y, found in zip(observed.T, predicted.T, strict=True)]
    shared = [name for name in each[0] if all(name in one for one in each)]
    found = {name: sum(one[name] for one in each) / len(each) for name in shared}
    for place, one in enumerate(each):
        target = targets[place] if place < len(targets) and is_key(f"r2.{targets[place]}") else str(place)
        found |= {f"{name}.{target}": value for name, value in one.items()}
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


def scores(observed: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """How well classes are told.

    accuracy is the share of rows whose most probable class is theirs; balanced_accuracy its mean over the
    classes that occur; macro_f1 the mean of F1 = 2 TP / (2 TP + FP + FN) over classes that occur or are told;
    log_loss = mean(−log p) of the rows' own classes, in nats, p clipped at float32's epsilon; roc_auc the
    area under the ROC curve, of several classes its mean over each against the rest, left out where one
    does not occur.

    Args:
        observed: The place of each row's class, (rows,) int64.
        probabilities: Of each class, (rows, classes) float32.

    Source: https://scikit-learn.org/stable/modules/model_evaluation.html#classification-metrics
    """
    classes = probabilities.shape[1]
    counts = confusion(observed, probabilities)
    right, occur, told = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    seen = (occur + told) > 0
    found = {
        "accuracy": float(right.sum() / len(observed)),
        "balanced_accuracy": float((right[occur > 0] / occur[occur > 0]).mean()),
        "macro_f1": float((2 * right[seen] / (occur + told)[seen]).mean()),
        "log_loss": _log_loss(probabilities[np.arange(len(observed)), observed]),
    }
    if (occur > 0).all() and classes > 1:
        which = [1] if classes == 2 else range(classes)
        areas = [_area(observed == place, probabilities[:, place]) for place in which]
        found["roc_auc"] = sum(areas) / len(areas)
    return found


def confusion(observed: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """How many rows of each class (down) are told to be of each (across), (classes, classes) int64."""
    classes = probabilities.shape[1]
    pairs = observed * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def confusion_text(found: Predictions, classes: Sequence[str]) -> str:
    """The file that says how many rows of each class are told to be of each, by part."""
    counts = {part: confusion(*pair).tolist() for part, pair in found.items()}
    return json_text({"classes": list(classes), **counts})


def _log_loss(own: np.ndarray) -> float:
    epsilon = float(np.finfo(np.float32).eps)
    logs = functions.log(np.clip(own, epsilon, 1 - epsilon))
    return -float(logs.astype(np.float64).mean())


def _area(is_it: np.ndarray, scores: np.ndarray) -> float:
    """The area under the ROC curve, by ranks of scores, of equal ones the mean (Mann & Whitney 1947)."""
    order = np.argsort(scores, kind="stable")  # the other kind is out of order on emulated CPUs with AVX2
    is_next = np.diff(scores[order], prepend=scores[order[0]]) != 0
    places = np.cumsum(is_next)
    counts = np.bincount(places)
    ranks = np.empty(len(scores))
    ranks[order] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positives = int(is_it.sum())
    negatives = len(is_it) - positives
    above = ranks[is_it].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def by_part(
    found: Predictions, targets: Sequence[str] = (), own: Mapping[str, Measure] = MappingProxyType({})
) -> dict[str, float]:
    """The metrics of each part, by names such as test_rmse; of several targets as `measured` has them.

    Args:
        found: What was observed and predicted.
        targets: The names of several targets.
        own: Functions of the user's own that measure it too, by their names; what is not finite is left out.

    Raises:
        OwnCodeError: One of them fails, or returns no number.
    """
    return {
        f"{part}_{name}": value
        for part, pair in found.items()
        for name, value in (measured(*pair, targets) | _measured_by(own, pair)).items()
    }


def _measured_by(own: Mapping[str, Measure], pair: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    values = {}
    for name, measure in own.items():
        with blaming(f"The metric {name}"):
            values[name] = float(measure(*pair))
    return {name: value for name, value in values.items() if math.isfinite(value)}
