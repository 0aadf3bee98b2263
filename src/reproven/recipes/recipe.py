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
from typing import Any

from reproven.errors import InvalidInput
from reproven.files.texts import json_value
from reproven.recipes.choices import (
    AUTO,
    BUNDLED,
    LOSSES,
    LOSSES_OF,
    OPTIMIZERS,
    PLAIN,
    REGRESSION,
    contradictions,
    usual,
)
from reproven.recipes.options import Option, problem, problem_in_python, read_all
from reproven.recipes.settings import OPTIONS

FORMAT = 1
_OF_TABLE = ("target", "drop", "sep", "decimal", "task", "preprocess", "categorical", "impute", "unknown")
_PAIRS = ("layer_lr", "loss_arg")
#: What the first recipes meant, that had no such field; written without it, a recipe's digest stays.
_FIRST: Mapping[str, Any] = {
    "task": REGRESSION,
    "loss": "mse",
    "loss_arg": (),
    "preprocess": PLAIN,
    "categorical": (),
    "unknown": "ignore",
    "standardise_target": False,
    "validation_size": 0.0,
}


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
    test_size: float = 0.2
    split_seed: int | None = None
    validation_size: float = 0.0
    variant: str = "module"
    hidden: tuple[int, ...] = (10, 10)
    init: str = "default"
    init_bias: float | None = None
    loss: str | None = None
    loss_arg: tuple[tuple[str, float], ...] = ()
    optimizer: str = _OPEN
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
    epochs: int = _OPEN
    patience: int | None = None
    batch_size: int = _OPEN
    seed: int = 12
    device: str = "cpu"
    profile: str | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in OPTIONS}
        for name in _PAIRS:
            if isinstance(given[name], Mapping):
                given[name] = tuple(given[name].items())
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
    def loss_options(self) -> dict[str, float]:
        """All arguments of the loss, those that are not given by torch's default."""
        return {**LOSSES[str(self.loss)], **dict(self.loss_arg)}

    @property
    def of_table(self) -> dict[str, Any]:
        """What is asked of the table, beside its name and digest: the arguments of `data.load`."""
        return {name: getattr(self, name) for name in _OF_TABLE}

    @property
    def optimizer_options(self) -> dict[str, Any]:
        """The chosen optimizer's options, without the learning rates."""
        return {name: getattr(self, name) for name in OPTIMIZERS[self.optimizer]}

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; those that are None, or as in the first recipes, are left out."""
        values = {name: getattr(self, name) for name in OPTIONS}
        values |= {name: dict(values[name]) for name in _PAIRS if values[name] or name not in _FIRST}
        return {
            name: value
            for name, value in values.items()
            if value is not None and (name, value) not in _FIRST.items()
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
        first = _FIRST if "data_sha256" in values else {}  # an unfinished one leaves open what it lacks
        return cls(**{**first, **values})

    @property
    def sha256(self) -> str:
        """Digest of the canonical text: 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


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
    for name, default in OPTIMIZERS[kept["optimizer"]].items():
        kept[name] = default if kept[name] is None else kept[name]
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
    return kept
