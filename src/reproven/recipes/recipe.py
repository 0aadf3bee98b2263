"""The recipe: everything that changes the bits of a run, and nothing else.

It stands first in the flow: options become a `Recipe`, and every later stage takes its numbers from
one. It imports neither torch nor MLflow, so options are checked (and `--help` answers) before either
is paid for. It never reads a table and never looks at the machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from reproven.errors import InvalidInput
from reproven.files.names import OF_FEATURES, OF_TARGET
from reproven.files.texts import json_value
from reproven.own.named import is_named, name_of
from reproven.recipes.choices import (
    AUTO,
    BUNDLED,
    CLASSIFICATION,
    FEATURES,
    LOSSES,
    LOSSES_OF,
    NONE,
    OPTIMIZERS,
    PLAIN,
    REGRESSION,
    SCHEDULES,
    USUAL_HIDDEN,
    VARIANTS,
    usual,
)
from reproven.recipes.conflicts import contradictions, own_network
from reproven.recipes.options import Option, problem, problem_in_python, read_all
from reproven.recipes.settings import OPTIONS
from reproven.recipes.typed import fold_of

FORMAT = 1
_OF_TABLE = (
    *("target", "drop", "sep", "decimal", "task", "preprocess", "categorical", "impute", "unknown"),
    "standardise",
)
_ARGUMENTS = ("network_args", "loss_args", "optimizer_args", "schedule_args")
_PAIRS = ("layer_lr", *_ARGUMENTS)
_NAMING = ("data", "network", "loss")
#: What the first recipes meant, that had no such field; written without it, a recipe's digest stays.
_FIRST: Mapping[str, Any] = {
    "task": REGRESSION,
    "loss": "mse",
    **dict.fromkeys(_ARGUMENTS, ()),
    "metrics": (),
    "preprocess": PLAIN,
    "categorical": (),
    "unknown": "ignore",
    "standardise": FEATURES,
    "standardise_target": False,
    "validation_size": 0.0,
}


#: Named arguments with plain values; they are kept as pairs, sorted by name.
Arguments: TypeAlias = "tuple[tuple[str, Any], ...] | Mapping[str, Any]"
_OPEN: Any = None  # filled in by what the recipe is for, or once its table is read


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One training run, determined: equal recipes on equal machines give equal bits.

    Optimizer options left at None take torch's default for the chosen optimizer; those that it does not
    have stay None, and giving one is an error. `split_seed` left at None is `seed`. Optimizer, learning rate,
    batch size and epochs left at None are the notebook's for the bundled tables, and others for one's own.
    What the table must tell stays None until it is read (`completed`): then `data` is its name, `target` its
    target, `data_sha256` its digest; `task` and `loss` are those of the target, `standardise_target` is true
    for numbers of one's own, and `epochs` follows from the rows that train.

    Raises:
        InvalidInput: Values are of a wrong type, out of range or contradict each other; it lists all.
    """

    data: str = "boston"
    data_sha256: str | None = None
    target: str | None = None
    drop: tuple[str, ...] = ()
    task: str | None = None
    preprocess: str = PLAIN
    categorical: tuple[str, ...] = ()
    impute: str | None = None
    unknown: str = "ignore"
    sep: str | None = None
    decimal: str | None = None
    standardise_target: bool | None = None
    standardise: str | None = None
    test_size: float = 0.2
    split_seed: int | None = None
    fold: str | None = None
    validation_size: float = 0.0
    network: str | None = None
    network_args: Arguments = ()
    variant: str | None = None
    hidden: tuple[int, ...] = _OPEN
    init: str = "default"
    init_bias: float | None = None
    loss: str | None = None
    loss_args: Arguments = ()
    metrics: tuple[str, ...] = ()
    optimizer: str = _OPEN
    optimizer_args: Arguments = ()
    lr: float = _OPEN
    layer_lr: tuple[tuple[str, float], ...] = ()
    momentum: float | None = None
    dampening: float | None = None
    nesterov: bool | None = None
    weight_decay: float | None = None
    betas: tuple[float, ...] | None = None
    eps: float | None = None
    amsgrad: bool | None = None
    alpha: float | None = None
    centered: bool | None = None
    schedule: str | None = None
    schedule_args: Arguments = ()
    schedule_per: str | None = None
    clip_norm: float | None = None
    epochs: int = _OPEN
    patience: int | None = None
    batch_size: int = _OPEN
    seed: int = 12
    device: str = "cpu"
    allow_nondeterministic: bool | None = None
    profile: str | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in OPTIONS}
        for name in _PAIRS:
            if isinstance(given[name], Mapping):
                given[name] = tuple(given[name].items())
        given |= {name: name_of(given[name]) for name in _NAMING}
        if isinstance(given["metrics"], tuple | list):
            given["metrics"] = tuple(map(name_of, given["metrics"]))
        if problems := _problems(given, problem_in_python):
            raise InvalidInput(problems)
        for name, value in _resolved(given).items():
            object.__setattr__(self, name, value)

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Recipe:
        """Reads a recipe from text, as it comes from a command line or from `mlflow run -P`.

        Args:
            texts: Field names and their values as typed; fields left out take their defaults.

        Raises:
            InvalidInput: Lists every value that cannot be read, is out of range or contradicts another.
        """
        values, problems = read_all(OPTIONS, texts)
        defaults = {item.name: item.default for item in fields(cls)}
        if problems := problems + _problems(defaults | values, problem):
            raise InvalidInput(problems)
        return cls(**values)

    @property
    def network_name(self) -> str:
        """The network as one would name it: a variant, or `package.module:name`."""
        return str(self.network or self.variant)

    @property
    def own(self) -> dict[str, str]:
        """What is named of the user's own, by the field that names it: a module is imported for each."""
        named = {name: getattr(self, name) for name in _NAMING} | {metric: metric for metric in self.metrics}
        return {field: name for field, name in named.items() if is_named(name)}

    @property
    def loss_options(self) -> dict[str, Any]:
        """All arguments of the loss, those of torch's own that are not given by its default."""
        return {**LOSSES.get(str(self.loss), {}), **dict(self.loss_args)}

    @property
    def fits(self) -> tuple[str, ...]:
        """What is fitted to the training rows, by the names that files have for it, beside an encoding."""
        features = OF_FEATURES if self.standardise != NONE else ()
        return features + (OF_TARGET if self.standardise_target else ())

    @property
    def of_table(self) -> dict[str, Any]:
        """What is asked of the table, beside its name and digest: the arguments of `data.load`."""
        return {name: getattr(self, name) for name in _OF_TABLE}

    @property
    def optimizer_options(self) -> dict[str, Any]:
        """The chosen optimizer's options, without the learning rates."""
        own = {name: getattr(self, name) for name in OPTIMIZERS.get(self.optimizer, ())}
        return own | dict(self.optimizer_args)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; those that are None, or as in the first recipes, are left out."""
        values = {name: getattr(self, name) for name in OPTIONS}
        values |= {name: dict(values[name]) for name in _PAIRS if values[name] or name not in _FIRST}
        first = _first(self.data)
        return {
            name: value
            for name, value in values.items()
            if value is not None and (name, value) not in first.items()
        }

    def to_json(self) -> str:
        """The canonical text: sorted keys, floats by `repr`, a format number; its digest names the recipe."""
        values = {"format": FORMAT, **self.to_dict()}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Reads what `to_json` wrote.

        Raises:
            InvalidInput: It is not such a text, or its values are not a recipe.
        """
        try:
            values = json_value(text)
        except ValueError as error:
            raise InvalidInput([f"The recipe is not JSON: {error}."]) from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise InvalidInput([f"The recipe is not of format {FORMAT}, which this version reads."])
        if unknown := sorted(set(values) - set(OPTIONS)):
            raise InvalidInput([f"The recipe has unknown fields: {', '.join(unknown)}."])
        is_finished = "data_sha256" in values  # an unfinished one leaves open what it lacks
        first = _first(values.get("data")) if is_finished else {}
        return cls(**{**first, **values})

    @property
    def sha256(self) -> str:
        """Digest of the canonical text: 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _may_be_array(data: Any) -> bool:
    """Whether data are named that only tell once they are read whether their features are columns."""
    return is_named(data) or str(data).endswith(".npz")


def _first(data: Any) -> Mapping[str, Any]:
    """What the first recipes meant; of arrays there was none."""
    return {n: v for n, v in _FIRST.items() if n != "standardise"} if _may_be_array(data) else _FIRST


def _problems(values: Mapping[str, Any], problem: Callable[[str, Option, Any], str]) -> list[str]:
    """Everything that is wrong with these values, each in one message: first alone, then together."""
    defaults = {item.name: item.default for item in fields(Recipe)}
    bad = {
        name: problem(name, OPTIONS[name], value)
        for name, value in values.items()
        if value is not defaults[name] and not OPTIONS[name].accepts(value)
    }
    sound = {name: defaults[name] if name in bad else value for name, value in values.items()}
    return [*bad.values(), *contradictions(sound)]


def _resolved(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are kept: one type each, and the defaults that depend on others filled in."""
    kept: dict[str, Any] = {
        name: value if value is None else OPTIONS[name].cast(value) for name, value in values.items()
    }
    kept |= usual(kept)
    if own_network(kept) is None:
        kept |= {"variant": kept["network"] or kept["variant"] or VARIANTS[0], "network": None}
        kept["hidden"] = kept["hidden"] or USUAL_HIDDEN
    for name, default in OPTIMIZERS.get(kept["optimizer"], {}).items():
        kept[name] = default if kept[name] is None else kept[name]
    if kept["schedule"] is not None and kept["schedule_per"] is None:
        kept["schedule_per"] = SCHEDULES[kept["schedule"]]
    if kept["loss"] in LOSSES_OF[CLASSIFICATION] and kept["task"] is None:
        kept["task"] = CLASSIFICATION
    if not _may_be_array(kept["data"]) and kept["standardise"] is None:
        kept["standardise"] = FEATURES
    if kept["data"] in BUNDLED and kept["task"] is None:
        kept["task"] = REGRESSION
    if kept["task"] is not None and kept["loss"] is None:
        kept["loss"] = LOSSES_OF[kept["task"]][0]
    if kept["preprocess"] == AUTO and kept["impute"] is None:
        kept["impute"] = "median"
    if kept["standardise_target"] is None and kept["task"] is not None:
        kept["standardise_target"] = kept["data"] not in BUNDLED and kept["task"] == REGRESSION
    if kept["split_seed"] is None:
        kept["split_seed"] = kept["seed"]
    if kept["fold"] is not None:
        _, folds = fold_of(kept["fold"]) or (1, 1)
        kept["test_size"] = 1 / folds
    return kept
