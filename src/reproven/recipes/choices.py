"""Choices: what a recipe may choose among, with torch's own defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_SEED = 2**32 - 1  # the largest that numpy's RandomState, which splits the rows, takes

#: The tables that the package has; they are trained on as the notebook does it.
BUNDLED = ("boston", "diabetes")
VARIANTS = ("module", "sequential")
USUAL_HIDDEN = (10, 10)
DEVICES = ("cpu", "cuda", "auto")
TASKS = REGRESSION, CLASSIFICATION = ("regression", "classification")
PREPROCESSES = PLAIN, AUTO = ("none", "auto")
IMPUTES = ("median", "mean", "most_frequent", "constant")
UNKNOWNS = ("ignore", "refuse")
STANDARDISE = FEATURES, NONE = ("features", "none")
STEP, EPOCH = "step", "epoch"

#: The options of each optimizer, with torch's own defaults (a test compares them with torch.optim).
OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False},
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False},
    "adamw": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False},
    "rmsprop": {
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
    },
}
#: The others of torch.optim by their names in lower case (a test compares them), and those that are refused.
OTHER_OPTIMIZERS = (
    *("adadelta", "adafactor", "adagrad", "adamax", "asgd", "muon", "nadam", "radam", "rprop"),
)
REFUSED_OPTIMIZERS: Mapping[str, str] = {
    "lbfgs": "evaluates the loss several times for one update",
    "sparseadam": "takes sparse gradients alone",
}
#: The schedulers of torch.optim.lr_scheduler, whether their arguments count steps or epochs where nothing is
#: said, and those that are refused.
SCHEDULES: Mapping[str, str] = {
    "ConstantLR": EPOCH,
    "CosineAnnealingLR": EPOCH,
    "CosineAnnealingWarmRestarts": EPOCH,
    "CyclicLR": STEP,
    "ExponentialLR": EPOCH,
    "LinearLR": EPOCH,
    "MultiStepLR": EPOCH,
    "OneCycleLR": STEP,
    "PolynomialLR": EPOCH,
    "ReduceLROnPlateau": EPOCH,
    "StepLR": EPOCH,
}
PLATEAU = "ReduceLROnPlateau"
REFUSED_SCHEDULES: Mapping[str, str] = {
    "ChainedScheduler": "is made of other schedulers",
    "LambdaLR": "takes a function",
    "MultiplicativeLR": "takes a function",
    "SequentialLR": "is made of other schedulers",
}


#: The metrics that are measured of each part's rows, by what is predicted.
METRICS_OF: Mapping[str, tuple[str, ...]] = {
    REGRESSION: ("rmse", "mae", "r2"),
    CLASSIFICATION: ("log_loss", "accuracy", "balanced_accuracy", "macro_f1", "roc_auc"),
}
OF_TASKS = tuple(metric for metrics in METRICS_OF.values() for metric in metrics)


#: The losses, their arguments with torch's own defaults, and the task that each is for.
LOSSES: Mapping[str, Mapping[str, float]] = {
    "mse": {},
    "l1": {},
    "huber": {"delta": 1.0},
    "smooth_l1": {"beta": 1.0},
    "cross_entropy": {"label_smoothing": 0.0},
    "bce_with_logits": {"pos_weight": 1.0},
}
LOSSES_OF: Mapping[str, tuple[str, ...]] = {
    REGRESSION: ("mse", "l1", "huber", "smooth_l1"),
    CLASSIFICATION: ("cross_entropy", "bce_with_logits"),
}


#: What a run on a bundled table takes where nothing is given: the notebook's.
NOTEBOOK: Mapping[str, Any] = {"optimizer": "sgd", "lr": 0.001, "batch_size": 128, "epochs": 30}
#: And what one on a table of one's own takes: with these the default network was within 1.1 of a linear or a
#: logistic regression on 43 of 47 tables (docs/explanation/tables.md), and the notebook's on 2 of 44.
OWN: Mapping[str, Any] = {"optimizer": "sgd", "lr": 0.003, "batch_size": 32}
_OF_OWN_OPTIMIZER: Mapping[str, float] = {"momentum": 0.9, "weight_decay": 0.003}
_UPDATES, _EPOCHS = 1000, (20, 400)


def usual(values: Mapping[str, Any]) -> dict[str, Any]:
    """What stands for the settings of a training that are not given, but for the epochs on one's own table.

    Args:
        values: A recipe's, by name; None where not given.
    """
    of_table = NOTEBOOK if values["data"] in BUNDLED else OWN
    found = dict(of_table)
    if of_table is OWN and values["optimizer"] is None:
        found |= _OF_OWN_OPTIMIZER
    return {name: value for name, value in found.items() if values[name] is None}


def usual_epochs(rows: int, batch_size: int) -> int:
    """Epochs on a table of one's own where none are given: as many as make 1,000 updates, from 20 to 400.

    Args:
        rows: Those that train.
        batch_size: Rows in a batch.
    """
    fewest, most = _EPOCHS
    return min(most, max(fewest, -(-_UPDATES // -(-rows // batch_size))))


def those_with(name: str) -> str:
    """The optimizers that have an option, with commas."""
    return ", ".join(optimizer for optimizer, options in OPTIMIZERS.items() if name in options)


def layer_names(variant: str, hidden: tuple[int, ...]) -> tuple[str, ...]:
    """The names that `layer_lr` may use: the network's submodules that have weights, outer ones first."""
    if variant == "module":
        return (*(f"hidden{i}" for i in range(1, len(hidden) + 1)), "regression")
    return ("hidden", *(f"hidden.{2 * i}" for i in range(len(hidden))), "regression")


def rows_tested(rows: int, test_size: float, fold: tuple[int, int] | None) -> int:
    """How many of a table's rows are held out for testing: a share, rounded up, or those of a fold."""
    return math.ceil(test_size * rows) if fold is None else len(range(fold[0] - 1, rows, fold[1]))
