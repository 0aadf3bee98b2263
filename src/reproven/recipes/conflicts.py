"""Conflicts: in what the values of a recipe, each good by itself, do not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reproven.arithmetic.profiles import PORTABLE
from reproven.errors import name_among
from reproven.own.named import is_named, plain_name
from reproven.recipes.choices import (
    BUNDLED,
    CLASSIFICATION,
    EPOCH,
    LOSSES,
    LOSSES_OF,
    NOTEBOOK,
    OF_TASKS,
    OPTIMIZERS,
    OTHER_OPTIMIZERS,
    PLATEAU,
    REFUSED_OPTIMIZERS,
    REFUSED_SCHEDULES,
    REGRESSION,
    SCHEDULES,
    USUAL_HIDDEN,
    VARIANTS,
    layer_names,
    those_with,
)
from reproven.recipes.schemes import parse_init
from reproven.recipes.typed import fold_of, is_number

_USUAL_TEST_SIZE = 0.2


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """Everything in which a recipe's values, each good by itself, do not go together."""
    optimizer = values["optimizer"] or NOTEBOOK["optimizer"]
    problems = [*_of_optimizer(values, optimizer), *_of_schedule(values)]
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
    problems += _of_network(values)
    layers = [name for name, _ in values["layer_lr"]]
    for name in dict.fromkeys(layers):
        if layers.count(name) > 1:
            problems.append(f"layer_lr names {name} {layers.count(name)} times. Give it one rate.")
        if "." in name and name.split(".")[0] in layers:
            problems.append(f"layer_lr names {name} and {name.split('.')[0]}, which holds it. Give one.")
    if values["profile"] == PORTABLE and values["device"] != "cpu":
        problems.append(
            f"profile is portable, but device is {values['device']}: GPUs have bits of their own. "
            "Try --profile native."
        )
    problems += [*_of_loss(values), *_of_metrics(values)]
    if values["fold"] is not None and values["test_size"] not in (
        _USUAL_TEST_SIZE,
        1 / _folds(values["fold"]),
    ):
        problems.append(
            f"test_size is {values['test_size']:g}, but fold is {values['fold']}, which says what is tested. "
            "Leave test_size out."
        )
    if values["patience"] is not None and not values["validation_size"]:
        problems.append(
            f"patience is {values['patience']}, but validation_size is 0: there is no row to tell a better "
            "epoch by. Try --validation-size 0.2."
        )
    if parse_init(values["init"])[0] == "dirac" and not is_named(values["network"]):
        problems.append("init is dirac, but that is for convolutions alone. Try --init eye.")
    return problems


def _folds(fold: str) -> int:
    found = fold_of(fold)
    return found[1] if found else 1


def own_network(values: Mapping[str, Any]) -> str | None:
    """The user's own network by its name; None where it is one of the built-in ones."""
    network = values["network"]
    return None if network in (None, *VARIANTS) else str(network)


def _of_network(values: Mapping[str, Any]) -> Iterator[str]:
    network, variant = values["network"], values["variant"]
    if own := own_network(values):
        for name in ("variant", "hidden"):
            if values[name] is not None:
                yield (
                    f"{name} is given, but the network is {own}, which has no such option. Leave it out; "
                    "what it takes is given by --network-arg."
                )
        return
    if network is not None and variant not in (None, network):
        yield f"network is {network}, but variant is {variant}, which means the same thing. Give one of them."
    if values["network_args"]:
        yield (
            f"network_args is given, but the network is {network or variant or VARIANTS[0]}, which takes "
            "--hidden alone. Leave it out, or name your own: --network package.module:Class."
        )
    names = layer_names(network or variant or VARIANTS[0], tuple(values["hidden"] or USUAL_HIDDEN))
    for name in dict.fromkeys(name for name, _ in values["layer_lr"]):
        if name not in names:
            yield f"layer_lr names {name!r}, but no layer is called so. {name_among(name, names)}"


def _of_optimizer(values: Mapping[str, Any], optimizer: str) -> Iterator[str]:
    if optimizer in REFUSED_OPTIMIZERS:
        yield (
            f"optimizer is {optimizer}, which {REFUSED_OPTIMIZERS[optimizer]}, so it cannot be used here. "
            f"There is {', '.join((*OPTIMIZERS, *OTHER_OPTIMIZERS))}."
        )
        return
    own = OPTIMIZERS.get(optimizer, {})
    for name in dict.fromkeys(name for options in OPTIMIZERS.values() for name in options):
        if values[name] is None or name in own:
            continue
        if optimizer in OTHER_OPTIMIZERS:
            yield (
                f"{name} is given, but is an option of {those_with(name)}; what {optimizer} takes is given "
                f"by --optimizer-arg {name}=VALUE."
            )
            continue
        yield (
            f"{name} is given, but {optimizer} has no such option; it belongs to {those_with(name)}. "
            f"Leave it out, or use --optimizer {those_with(name).split(',')[0]}."
        )
    arguments = dict(values["optimizer_args"])
    if arguments and optimizer in OPTIMIZERS:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in own)
        yield f"optimizer_args is given, but {optimizer} has options of its own: {options}. Use these."
    elif "lr" in arguments:
        yield "optimizer_args names lr, which has an option of its own. Use --lr."


def _of_schedule(values: Mapping[str, Any]) -> Iterator[str]:
    schedule, per = values["schedule"], values["schedule_per"]
    if schedule in REFUSED_SCHEDULES:
        yield (
            f"schedule is {schedule}, which {REFUSED_SCHEDULES[schedule]}, and no recipe can hold that. "
            f"There is {', '.join(SCHEDULES)}."
        )
    if schedule is None:
        for name in ("schedule_args", "schedule_per"):
            if values[name]:
                yield f"{name} is given, but no schedule is. Try --schedule CosineAnnealingLR."
    if schedule == PLATEAU:
        if not values["validation_size"]:
            yield (
                f"schedule is {PLATEAU}, but validation_size is 0: there is no row to see a plateau by. "
                "Try --validation-size 0.2."
            )
        if per not in (None, EPOCH):
            yield f"schedule is {PLATEAU}, which counts epochs, but schedule_per is {per}. Leave it out."
    if "scale_fn" in dict(values["schedule_args"]):
        yield "schedule_args names scale_fn, which is a function, and no recipe can hold that. Leave it out."


def _of_metrics(values: Mapping[str, Any]) -> Iterator[str]:
    names = [plain_name(name) for name in values["metrics"]]
    for name in dict.fromkeys(names):
        if names.count(name) > 1 or name in (*OF_TASKS, "loss"):
            yield f"metrics names {name}, but there is one of that name already. Call the function otherwise."


def _of_loss(values: Mapping[str, Any]) -> Iterator[str]:
    task, loss = values["task"], values["loss"]
    task = task or (REGRESSION if values["data"] in BUNDLED else None)
    if task is not None and loss in LOSSES and loss not in LOSSES_OF[task]:
        yield (
            f"loss is {loss}, but the task is {task}, for which there are {', '.join(LOSSES_OF[task])}. "
            f"Try --loss {LOSSES_OF[task][0]}."
        )
    if task == CLASSIFICATION and values["standardise_target"]:
        yield "standardise_target is true, but classes have no scale. Leave it out."
    for name, value in dict(values["loss_args"]).items():
        if loss is None:
            yield f"loss_args names {name!r}, but no loss is given. Try --loss huber."
        elif loss not in LOSSES:
            continue
        elif name not in LOSSES[loss]:
            yield f"loss_args names {name!r}, but {loss} has {', '.join(LOSSES[loss]) or 'no argument'}."
        elif not (is_number(value) and _TAKES[name](value)):
            yield f"loss_args gives {name} {value!r}, which {loss} does not take. Try --loss-arg {name}=0.5."


_TAKES: Mapping[str, Callable[[float], bool]] = {
    "delta": lambda value: value > 0,
    "beta": lambda value: value >= 0,
    "label_smoothing": lambda value: 0 <= value <= 1,
    "pos_weight": lambda value: value > 0,
}
