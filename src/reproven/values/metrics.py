"""Metrics: their names, which way is better, which one chooses, and their values as rows of a file."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reproven.errors import RecordError
from reproven.files.names import METRICS
from reproven.files.texts import csv_text, read_rows, whole_number
from reproven.own.named import plain_name
from reproven.recipes.choices import CLASSIFICATION, METRICS_OF, OF_TASKS, TASKS

PARTS = ("test", "train", "validation")
_PARTS = tuple(f"{part}_" for part in PARTS)
#: All that there are without the user's own, after each epoch.
ERRORS = tuple(f"{part}_{error}" for part in PARTS for error in OF_TASKS)
_GROWING = ("r2", "accuracy", "f1", "auc", "score")  # the ends of a metric's name, of which more is better


def more_is_better(metric: str) -> bool:
    """Whether the greatest value of a metric is the best one; of errors the least is."""
    return metric.endswith(_GROWING)


_LOSSES: Mapping[str, str] = {
    "mse": "mean squared error",
    "l1": "mean absolute error",
    "huber": "Huber loss",
    "smooth_l1": "smooth L1 loss",
    "cross_entropy": "cross entropy (nats)",
    "bce_with_logits": "binary cross entropy (nats)",
}


def loss_label(loss: str, target: str, *, is_standardised: bool) -> str:
    """The training loss with its unit, for axes.

    Args:
        loss: One of `choices.LOSSES`, or a function of the user's own.
        target: The target with its unit; several are not listed.
        is_standardised: Whether the network is trained on the standardised target.
    """
    if "," in target.partition(" (")[0]:
        target = "targets"
    unit = f"standardised {target}" if is_standardised else f"{target}²" if loss == "mse" else target
    return f"{_LOSSES.get(loss) or plain_name(loss)}, {unit}"


def is_of_task(metric: str, task: str) -> bool:
    """Whether runs that predict this have a metric."""
    return metric.partition("_")[2] in METRICS_OF[task]


def choosing_metric(part: str, task: str | None = None) -> str:
    """The metric of a part by which an epoch, or a run, is chosen where nobody names one.

    Args:
        part: Of the rows.
        task: What is predicted; None counts for numbers.
    """
    return f"{part}_log_loss" if task == CLASSIFICATION else f"{part}_rmse"


def usual_metric(runs: Sequence[Mapping[str, float]], parts: Sequence[str] = ("validation", "test")) -> str:
    """The metric by which runs are compared where nobody names one: the first that all of them have.

    Args:
        runs: The last values of each run's metrics.
        parts: Of the rows, those that count first.
    """
    names = [choosing_metric(part, task) for part in parts for task in TASKS]
    shared = (name for name in names if runs and all(name in run for run in runs))
    return next(shared, choosing_metric(parts[-1]))


def is_of_validation(metric: str) -> bool:
    """Whether a metric is measured on validation rows: who chooses by it leaves the test rows out."""
    return metric.startswith("validation_")


def estimate(metric: str, values: Mapping[str, float]) -> str | None:
    """Says that the test rows still tell how good the chosen one of several runs is; or nothing.

    Args:
        metric: By which it was chosen.
        values: The last value of each of its metrics.
    """
    test = metric.replace("validation_", "test_", 1)
    if not is_of_validation(metric) or test not in values:
        return None
    return (
        f"The test rows took no part in the choice: its {test} of {values[test]:.6g} is an honest estimate."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """The best epoch so far, the first of equals, and how long to wait for a better one.

    Attributes:
        metric: By which it is the best.
        patience: Epochs without a better one after which training stops.
        epochs: Epochs completed.
        epoch: How many were completed when it was over; 0 before the first.
        errors: The errors after it.
    """

    metric: str
    patience: int
    epochs: int = 0
    epoch: int = 0
    errors: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_last(self) -> bool:
        """Whether the last epoch is the best."""
        return self.epochs == self.epoch > 0

    @property
    def has_waited(self) -> bool:
        """Whether training stops here."""
        return self.epochs - self.epoch >= self.patience

    def after(self, errors: Mapping[str, float]) -> Best:
        """The best epoch once another one, with these errors, is over."""
        epochs = self.epochs + 1
        if self.epoch and not self._is_worse_than(errors[self.metric]):
            return replace(self, epochs=epochs)
        return replace(self, epochs=epochs, epoch=epochs, errors=errors)

    def _is_worse_than(self, value: float) -> bool:
        best = self.errors[self.metric]
        return value > best if more_is_better(self.metric) else value < best


def worse_than_mean(values: Mapping[str, float], *, is_standardised: bool) -> str | None:
    """Says that a model predicts worse than the mean of the rows would, with the likely cause; or nothing.

    R² compares a model's squared error with that of the mean, which has 0. Of classes, the area under the ROC
    curve is 0.5 for scores that say nothing.

    Args:
        values: The last value of each metric.
        is_standardised: Whether the network was trained on the standardised target.
    """
    parts = ("test", "validation", "train")
    for part in parts:
        if values.get(f"{part}_roc_auc", 1) <= 0.5:
            return (
                f"No better than guessing the classes of the {part} rows ({part}_roc_auc is "
                f"{values[f'{part}_roc_auc']:.3g}). Try another --lr, more --epochs, or more rows."
            )
    bad = {part: values[f"{part}_r2"] for part in parts if values.get(f"{part}_r2", 0) < 0}
    if not bad:
        return None
    if "train" not in bad:
        why = "it learnt its training rows alone. Try fewer --epochs, a smaller --hidden, or more rows."
    elif is_standardised:
        why = "it has not learnt its training rows either. Try another --lr, or more --epochs."
    else:
        why = (
            "it has not learnt its training rows either, and its target is trained on as it is. "
            "Try --standardise-target true, or more --epochs."
        )
    part, r2 = next(iter(bad.items()))
    return f"Worse than predicting the mean of the {part} rows ({part}_r2 is {r2:.3g}): {why}"


_HEADER = ("key", "step", "timestamp", "value")


@dataclass(frozen=True, order=True, slots=True)
class Row:
    """One value of a metric.

    Attributes:
        key: The metric's name.
        step: Its step.
        timestamp: When it was measured, in milliseconds since 1970.
        value: A finite float64.
    """

    key: str
    step: int
    timestamp: int
    value: float


def last(rows: Iterable[Row]) -> dict[str, Row]:
    """The last value of each metric by its key, as MLflow has it: by step, then time, then the greatest."""
    return {row.key: row for row in sorted(rows, key=lambda row: (row.step, row.timestamp, row.value))}


def last_errors(rows: Iterable[Row]) -> list[Row]:
    """Of all values of metrics, the last one of each error."""
    return [row for row in last(rows).values() if row.key.startswith(_PARTS) and row.key != "train_loss"]


def is_key(name: str) -> bool:
    """Whether a text can name a metric, a param or a tag in MLflow, where it may become a path."""
    return (
        bool(re.fullmatch(r"[\w.\-: /]{1,250}", name))
        and posixpath.normpath(name) == name
        and name[0] not in "./"
    )


def rows_text(rows: Sequence[Row]) -> str:
    """Metrics as CSV, values by `repr`, so that they read back exactly."""
    return csv_text(_HEADER, ((r.key, r.step, r.timestamp, repr(r.value)) for r in rows))


def read_metrics(text: str) -> list[Row]:
    """Reads what `rows_text` wrote.

    Raises:
        RecordError: It is not such a text.
    """
    found = []
    for number, cells in enumerate(read_rows(METRICS, text, _HEADER)[1], start=2):
        try:
            row = Row(cells[0], whole_number(cells[1]), whole_number(cells[2]), float(cells[3]))
            if not is_key(row.key) or repr(row.value) != cells[3] or not math.isfinite(row.value):
                raise ValueError(f"{cells[0][:50]!r} is no name, or {cells[3][:50]!r} no finite number")
            found.append(row)
        except (ValueError, IndexError) as error:
            raise RecordError(f"{METRICS}, line {number} cannot be read: {error}.") from error
    return found
