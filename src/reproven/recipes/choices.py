"""Choices: what a recipe may choose among, with torch's own defaults, and what does not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reproven.arithmetic.profiles import PORTABLE
from reproven.errors import name_among
from reproven.recipes.schemes import parse_init

MAX_SEED = 2**32 - 1  # the largest that numpy's RandomState, which splits the rows, takes

#: The tables that the package has; they are trained on as the notebook does it.
BUNDLED = ("boston", "diabetes")
VARIANTS = ("module", "sequential")
DEVICES = ("cpu", "cuda", "auto")
TASKS = REGRESSION, CLASSIFICATION = ("regression", "classification")
PREPROCESSES = PLAIN, AUTO = ("none", "auto")
IMPUTES = ("median", "mean", "most_frequent", "constant")
UNKNOWNS = ("ignore", "refuse")

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
#: logistic regression on 43 of 47 tables (docs/tables.md), and the notebook's on 2 of 44.
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


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """Everything in which a recipe's values, each good by itself, do not go together."""
    optimizer = values["optimizer"] or NOTEBOOK["optimizer"]
    all_options = dict.fromkeys(name for options in OPTIMIZERS.values() for name in options)
    problems = [
        f"{name} is given, but {optimizer} has no such option; it belongs to {those_with(name)}. "
        f"Leave it out, or use --optimizer {those_with(name).split(',')[0]}."
        for name in all_options
        if values[name] is not None and name not in OPTIMIZERS[optimizer]
    ]
    if values["nesterov"] and optimizer == "sgd" and (not values["momentum"] or values["dampening"]):
        problems.append(
            "nesterov is true, but needs momentum greater than 0 and dampening 0. Try --momentum 0.9."
        )
    problems += [
        f"{name} is given, but {values['data']} has no such thing: texts have it. Leave it out."
        for name in ("sep", "decimal")
        if values[name] is not None and values["data"] in BUNDLED
    ]
    if values["sep"] is not None and values["sep"] == values["decimal"]:
        problems.append("sep and decimal are both ','. Try --sep ';', or leave both out.")
    names = layer_names(values["variant"], tuple(values["hidden"]))
    layers = [name for name, _ in values["layer_lr"]]
    for name in dict.fromkeys(layers):
        if name not in names:
            problems.append(f"layer_lr names {name!r}, but no layer is called so. {name_among(name, names)}")
        if layers.count(name) > 1:
            problems.append(f"layer_lr names {name} {layers.count(name)} times. Give it one rate.")
        if "." in name and name.split(".")[0] in layers:
            problems.append(f"layer_lr names {name} and {name.split('.')[0]}, which holds it. Give one.")
    if values["profile"] == PORTABLE and values["device"] != "cpu":
        problems.append(
            f"profile is portable, but device is {values['device']}: GPUs have bits of their own. "
            "Try --profile native."
        )
    problems += _of_loss(values)
    if values["patience"] is not None and not values["validation_size"]:
        problems.append(
            f"patience is {values['patience']}, but validation_size is 0: there is no row to tell a better "
            "epoch by. Try --validation-size 0.2."
        )
    if parse_init(values["init"])[0] == "dirac":
        problems.append("init is dirac, but that is for convolutions alone. Try --init eye.")
    return problems


def _of_loss(values: Mapping[str, Any]) -> Iterator[str]:
    task, loss = values["task"], values["loss"]
    task = task or (REGRESSION if values["data"] in BUNDLED else None)
    if task is not None and loss is not None and loss not in LOSSES_OF[task]:
        yield (
            f"loss is {loss}, but the task is {task}, for which there are {', '.join(LOSSES_OF[task])}. "
            f"Try --loss {LOSSES_OF[task][0]}."
        )
    if task == CLASSIFICATION and values["standardise_target"]:
        yield "standardise_target is true, but classes have no scale. Leave it out."
    for name, value in dict(values["loss_arg"]).items():
        if loss is None:
            yield f"loss_arg names {name!r}, but no loss is given. Try --loss huber."
        elif name not in LOSSES[loss]:
            yield f"loss_arg names {name!r}, but {loss} has {', '.join(LOSSES[loss]) or 'no argument'}."
        elif not _TAKES[name](value):
            yield f"loss_arg gives {name} {value:g}, which {loss} does not take. Try --loss-arg {name}=0.5."


_TAKES: Mapping[str, Callable[[float], bool]] = {
    "delta": lambda value: value > 0,
    "beta": lambda value: value >= 0,
    "label_smoothing": lambda value: 0 <= value <= 1,
    "pos_weight": lambda value: value > 0,
}
