"""The recipe: everything that changes the bits of a run, and nothing else.

It stands first in the flow: options become a `Recipe`, and every later stage takes its numbers from
one. It imports neither torch nor MLflow, so options are checked (and `--help` answers) before either
is paid for. It never reads a table and never looks at the machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from reproven.arithmetic.profiles import PROFILES
from reproven.errors import InvalidInput
from reproven.files.texts import json_value
from reproven.values import options as kinds
from reproven.values.choices import (
    AUTO,
    BUNDLED,
    DEVICES,
    IMPUTES,
    LOSSES,
    LOSSES_OF,
    MAX_SEED,
    OPTIMIZERS,
    PLAIN,
    PREPROCESSES,
    REGRESSION,
    TASKS,
    UNKNOWNS,
    VARIANTS,
    contradictions,
    those_with,
    usual,
)
from reproven.values.options import Option
from reproven.values.schemes import INIT_SCHEMES, spell_init

FORMAT = 1
_OF_TABLE = (*("target", "drop", "sep", "decimal", "task", "preprocess", "categorical", "impute", "unknown"),)
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
}


def _field(default: Any, option: Option) -> Any:
    return field(default=default, metadata={"option": option})


def _seed(help: str) -> Option:
    return kinds.whole(help, "12", low=0, high=MAX_SEED, metavar="SEED")


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

    data: str = _field(
        "boston",
        kinds.text(
            "Table to train on: boston, diabetes, or a .csv, .tsv, .txt, .parquet, .feather or .xlsx file; "
            "the first three may be packed (.csv.gz).",
            "boston",
            metavar="NAME|PATH",
        ),
    )
    data_sha256: str | None = _field(
        None,
        kinds.digest("Refuse any table but the one with this digest (tag reproven.data.sha256)."),
    )
    target: str | None = _field(
        None,
        kinds.text("Column to predict; boston has MEDV, diabetes has target.", "MEDV", metavar="COLUMN"),
    )
    drop: tuple[str, ...] = _field(
        (), kinds.words("Columns to leave out, with commas or by repeating the option.", "B")
    )
    task: str | None = _field(
        None,
        kinds.choice("What is predicted: numbers, or classes. Told by the target where not given.", TASKS),
    )
    preprocess: str = _field(
        PLAIN,
        kinds.choice(
            "Columns that are no numbers: refuse them, or take texts, booleans, dates and missing values.",
            PREPROCESSES,
        ),
    )
    categorical: tuple[str, ...] = _field(
        (),
        kinds.words(
            "Columns that hold categories, as codes may, with commas or by repeating the option.", "zip"
        ),
    )
    impute: str | None = _field(
        None,
        kinds.choice(
            "What stands for a missing number, told of the training rows; constant is 0. The median where "
            "--preprocess auto is given alone.",
            IMPUTES,
        ),
    )
    unknown: str = _field(
        "ignore",
        kinds.choice("Categories that no training row has: count them for none, or refuse them.", UNKNOWNS),
    )
    sep: str | None = _field(
        None, kinds.separator("What stands between the cells of a text; found out where not given.")
    )
    decimal: str | None = _field(
        None, kinds.decimal("Decimal mark of the numbers of a text; found out where not given.")
    )
    standardise_target: bool | None = _field(
        None,
        kinds.flag(
            "Train on the target divided by its standard deviation, around its mean; predictions and errors "
            "keep its unit. True unless the table is boston or diabetes."
        ),
    )
    test_size: float = _field(
        0.2,
        kinds.number("Share of the rows held out for testing; 0 trains on all rows.", "0.2", low=0, below=1),
    )
    split_seed: int | None = _field(
        None, _seed("Seed of the split into training and testing rows; --seed where not given.")
    )
    variant: str = _field(
        "module", kinds.choice("Network: an nn.Module subclass, or nn.Sequential.", VARIANTS)
    )
    hidden: tuple[int, ...] = _field((10, 10), kinds.widths("Widths of the hidden layers.", "10,10"))
    init: str = _field(
        "default",
        Option(
            help=f"Initial weights: {', '.join(INIT_SCHEMES)}; with arguments as in normal:mean=0,std=0.5.",
            read=spell_init,
            holds=lambda value: bool(spell_init(value)),
            cast=spell_init,
            must="an initialisation scheme",
            example="xavier_uniform",
            metavar="SCHEME",
            has_commas=True,
        ),
    )
    init_bias: float | None = _field(
        None, kinds.number("Value of every bias at the start; the scheme's where not given.", "0.1")
    )
    loss: str | None = _field(
        None,
        kinds.choice("Loss; mse for numbers and cross_entropy for classes where not given.", tuple(LOSSES)),
    )
    loss_arg: tuple[tuple[str, float], ...] = _field(
        (), kinds.amounts("Arguments of the loss, as torch names them.", "delta=0.5", metavar="NAME=VALUE,…")
    )
    optimizer: str = _field(
        None,
        kinds.choice(
            "Optimizer: sgd where not given, on your own table with momentum 0.9 and weight decay 0.003.",
            tuple(OPTIMIZERS),
        ),
    )
    lr: float = _field(
        None,
        kinds.number(
            "Learning rate: 0.001 for boston and diabetes where not given, 0.003 for your own table.",
            "0.001",
            above=0,
        ),
    )
    layer_lr: tuple[tuple[str, float], ...] = _field(
        (),
        kinds.amounts(
            "Learning rates of single layers; --lr for the others.",
            "hidden=0.0001,regression=0.01",
            above=0,
            metavar="LAYER=RATE,…",
        ),
    )
    momentum: float | None = _field(None, kinds.number(f"Momentum ({those_with('momentum')}).", "0.9", low=0))
    dampening: float | None = _field(
        None, kinds.number(f"Dampening of the momentum ({those_with('dampening')}).", "0")
    )
    nesterov: bool | None = _field(None, kinds.flag(f"Nesterov momentum ({those_with('nesterov')})."))
    weight_decay: float | None = _field(
        None,
        kinds.number("Weight decay: L2 penalty, decoupled for adamw (all).", "0.01", low=0),
    )
    betas: tuple[float, ...] | None = _field(
        None, kinds.betas(f"Decay rates of both moments ({those_with('betas')}).", "0.9,0.999")
    )
    eps: float | None = _field(
        None, kinds.number(f"Term added to the denominator ({those_with('eps')}).", "1e-8", low=0)
    )
    amsgrad: bool | None = _field(None, kinds.flag(f"AMSGrad ({those_with('amsgrad')})."))
    alpha: float | None = _field(
        None,
        kinds.number(f"Decay of the squared gradient ({those_with('alpha')}).", "0.99", low=0, below=1),
    )
    centered: bool | None = _field(
        None, kinds.flag(f"Divide by the estimated standard deviation ({those_with('centered')}).")
    )
    epochs: int = _field(
        None,
        kinds.whole(
            "Passes over the training rows: 30 for boston and diabetes where not given; for your own table "
            "as many as make 1,000 updates, at least 20 and at most 400.",
            "30",
            low=1,
        ),
    )
    batch_size: int = _field(
        None,
        kinds.whole(
            "Rows in a batch: 128 for boston and diabetes where not given, 32 for your own table.",
            "128",
            low=1,
        ),
    )
    seed: int = _field(12, _seed("Seed of the initial weights and of the order of the rows."))
    device: str = _field("cpu", kinds.choice("Where to train; auto takes a GPU where there is one.", DEVICES))
    profile: str | None = _field(
        None,
        kinds.choice(
            "Arithmetic: the same bits on every x86-64 CPU, or torch as it comes; portable where the "
            "device is cpu and none is given.",
            PROFILES,
        ),
    )

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in option_fields(type(self))}
        for name in _PAIRS:
            if isinstance(given[name], Mapping):
                given[name] = tuple(given[name].items())
        if problems := _problems(given, kinds.problem_in_python):
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
        values, problems = kinds.read_all(OPTIONS, texts)
        defaults = {item.name: item.default for item in fields(cls)}
        if problems := problems + _problems(defaults | values, kinds.problem):
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


def option_fields(cls: type) -> dict[str, Option]:
    """The options behind a dataclass's fields, by field name."""
    return {item.name: item.metadata["option"] for item in fields(cls)}


OPTIONS: Mapping[str, Option] = option_fields(Recipe)


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
