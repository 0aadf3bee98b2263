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

from reproven.arithmetic.profiles import PORTABLE, PROFILES
from reproven.errors import InvalidInput, name_among
from reproven.files.texts import json_value
from reproven.values import options as kinds
from reproven.values.options import Option
from reproven.values.schemes import INIT_SCHEMES, parse_init, spell_init

FORMAT = 1
MAX_SEED = 2**32 - 1  # the largest that numpy's RandomState, which splits the rows, takes

#: The tables that the package has; they are trained on as the notebook does it.
BUNDLED = ("boston", "diabetes")
VARIANTS = ("module", "sequential")
DEVICES = ("cpu", "cuda", "auto")

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


#: What the first recipes meant, that had no such field; written without it, a recipe's digest stays.
_FIRST: Mapping[str, Any] = {"standardise_target": False, "validation_size": 0.0}


def _with(name: str) -> str:
    return ", ".join(optimizer for optimizer, options in OPTIMIZERS.items() if name in options)


def _field(default: Any, option: Option) -> Any:
    return field(default=default, metadata={"option": option})


def _seed(help: str) -> Option:
    return kinds.whole(help, "12", low=0, high=MAX_SEED, metavar="SEED")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One training run, determined: equal recipes on equal machines give equal bits.

    Optimizer options left at None take torch's default for the chosen optimizer; those that it does not
    have stay None, and giving one is an error. `split_seed` left at None is `seed`, and
    `standardise_target` is true for every table but the bundled ones. Once a table is read
    (`data.load`), `data` is its name, `target` its target and `data_sha256` its digest.

    Raises:
        InvalidInput: Values are of a wrong type, out of range or contradict each other; it lists all.
    """

    data: str = _field(
        "boston",
        kinds.text(
            "Table to train on: boston, diabetes, or a .csv or .parquet file.",
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
    validation_size: float = _field(
        0.0,
        kinds.number(
            "Share of the rows held out to choose epochs and runs by; 0 chooses none.",
            "0.2",
            low=0,
            below=1,
        ),
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
    optimizer: str = _field("sgd", kinds.choice("Optimizer.", tuple(OPTIMIZERS)))
    lr: float = _field(0.001, kinds.number("Learning rate.", "0.001", above=0))
    layer_lr: tuple[tuple[str, float], ...] = _field(
        (),
        kinds.rates("Learning rates of single layers; --lr for the others.", "hidden=0.0001,regression=0.01"),
    )
    momentum: float | None = _field(None, kinds.number(f"Momentum ({_with('momentum')}).", "0.9", low=0))
    dampening: float | None = _field(
        None, kinds.number(f"Dampening of the momentum ({_with('dampening')}).", "0")
    )
    nesterov: bool | None = _field(None, kinds.flag(f"Nesterov momentum ({_with('nesterov')})."))
    weight_decay: float | None = _field(
        None,
        kinds.number("Weight decay: L2 penalty, decoupled for adamw (all).", "0.01", low=0),
    )
    betas: tuple[float, ...] | None = _field(
        None, kinds.betas(f"Decay rates of both moments ({_with('betas')}).", "0.9,0.999")
    )
    eps: float | None = _field(
        None, kinds.number(f"Term added to the denominator ({_with('eps')}).", "1e-8", low=0)
    )
    amsgrad: bool | None = _field(None, kinds.flag(f"AMSGrad ({_with('amsgrad')})."))
    alpha: float | None = _field(
        None,
        kinds.number(f"Decay of the squared gradient ({_with('alpha')}).", "0.99", low=0, below=1),
    )
    centered: bool | None = _field(
        None, kinds.flag(f"Divide by the estimated standard deviation ({_with('centered')}).")
    )
    epochs: int = _field(30, kinds.whole("Passes over the training rows.", "30", low=1))
    patience: int | None = _field(
        None,
        kinds.whole(
            "Stop after so many epochs without a better validation error, and keep the best epoch's weights.",
            "10",
            low=1,
        ),
    )
    batch_size: int = _field(128, kinds.whole("Rows in a batch.", "128", low=1))
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
        if isinstance(self.layer_lr, Mapping):
            given["layer_lr"] = tuple(self.layer_lr.items())
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
    def optimizer_options(self) -> dict[str, Any]:
        """The chosen optimizer's options, without the learning rates."""
        return {name: getattr(self, name) for name in OPTIMIZERS[self.optimizer]}

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; those that are None, or as in the first recipes, are left out."""
        values = {name: getattr(self, name) for name in OPTIONS}
        values["layer_lr"] = dict(self.layer_lr)
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
        return cls(**{**_FIRST, **values})

    @property
    def sha256(self) -> str:
        """Digest of the canonical text: 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def option_fields(cls: type) -> dict[str, Option]:
    """The options behind a dataclass's fields, by field name."""
    return {item.name: item.metadata["option"] for item in fields(cls)}


OPTIONS: Mapping[str, Option] = option_fields(Recipe)


def layer_names(variant: str, hidden: tuple[int, ...]) -> tuple[str, ...]:
    """The names that `layer_lr` may use: the network's submodules that have weights, outer ones first."""
    if variant == "module":
        return (*(f"hidden{i}" for i in range(1, len(hidden) + 1)), "regression")
    return ("hidden", *(f"hidden.{2 * i}" for i in range(len(hidden))), "regression")


def _problems(values: Mapping[str, Any], problem: Callable[[str, Option, Any], str]) -> list[str]:
    """Everything that is wrong with these values, each in one message: first alone, then together."""
    defaults = {item.name: item.default for item in fields(Recipe)}
    bad = {
        name: problem(name, OPTIONS[name], value)
        for name, value in values.items()
        if value is not defaults[name] and not OPTIONS[name].accepts(value)
    }
    sound = {name: defaults[name] if name in bad else value for name, value in values.items()}
    return [*bad.values(), *_contradictions(sound)]


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    optimizer = values["optimizer"]
    all_options = dict.fromkeys(name for options in OPTIMIZERS.values() for name in options)
    problems = [
        f"{name} is given, but {optimizer} has no such option; it belongs to {_with(name)}. "
        f"Leave it out, or use --optimizer {_with(name).split(',')[0]}."
        for name in all_options
        if values[name] is not None and name not in OPTIMIZERS[optimizer]
    ]
    if values["nesterov"] and optimizer == "sgd" and (not values["momentum"] or values["dampening"]):
        problems.append(
            "nesterov is true, but needs momentum greater than 0 and dampening 0. Try --momentum 0.9."
        )
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
    if values["patience"] is not None and not values["validation_size"]:
        problems.append(
            f"patience is {values['patience']}, but validation_size is 0: there is no row to tell a better "
            "epoch by. Try --validation-size 0.2."
        )
    if parse_init(values["init"])[0] == "dirac":
        problems.append("init is dirac, but that is for convolutions alone. Try --init eye.")
    return problems


def _resolved(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are kept: one type each, and the defaults that depend on others filled in."""
    kept: dict[str, Any] = {
        name: value if value is None else OPTIONS[name].cast(value) for name, value in values.items()
    }
    for name, default in OPTIMIZERS[kept["optimizer"]].items():
        kept[name] = default if kept[name] is None else kept[name]
    if kept["standardise_target"] is None:
        kept["standardise_target"] = kept["data"] not in BUNDLED
    if kept["split_seed"] is None:
        kept["split_seed"] = kept["seed"]
    return kept
