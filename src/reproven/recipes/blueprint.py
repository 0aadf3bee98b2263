"""The blueprint: what `weights` builds and initialises, without training it. It imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from reproven.errors import InvalidInput
from reproven.recipes import typed
from reproven.recipes.options import Option, problem, problem_in_python, read_all
from reproven.recipes.settings import OPTIONS as RECIPE_OPTIONS

NETWORKS = ("mlp", "testnet", "conv")
_MLP_DEFAULTS = {"variant": "module", "hidden": (10, 10), "inputs": 13}

OPTIONS: Mapping[str, Option] = {
    "network": typed.choice(
        "What to build: the regression network, the convolutional TestNet, or one Conv2d(3, 16, 3).",
        NETWORKS,
    ),
    "variant": RECIPE_OPTIONS["variant"],
    "hidden": RECIPE_OPTIONS["hidden"],
    "inputs": typed.whole("Number of features (mlp).", "13", low=1),
    "init": RECIPE_OPTIONS["init"],
    "init_bias": RECIPE_OPTIONS["init_bias"],
    "seed": RECIPE_OPTIONS["seed"],
    "bins": typed.whole("Bins of each histogram.", "30", low=1, high=10_000),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Blueprint:
    """A network or a layer, and how its weights are drawn.

    Raises:
        InvalidInput: Values are of a wrong type, out of range or contradict each other; it lists all.
    """

    network: str = "mlp"
    variant: str | None = None
    hidden: tuple[int, ...] | None = None
    inputs: int | None = None
    init: str = "default"
    init_bias: float | None = None
    seed: int = 12
    bins: int = 30

    def __post_init__(self) -> None:
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        if problems := _problems(given, problem_in_python):
            raise InvalidInput(problems)
        for name, value in given.items():
            if value is None and self.network == "mlp":
                value = _MLP_DEFAULTS.get(name)
            kept = None if value is None else OPTIONS[name].cast(value)
            object.__setattr__(self, name, kept)

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Blueprint:
        """Reads a blueprint from text, as it comes from a command line.

        Raises:
            InvalidInput: Lists every value that cannot be read, is out of range or contradicts another.
        """
        values, problems = read_all(OPTIONS, texts)
        if problems := problems + _problems(values, problem):
            raise InvalidInput(problems)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; those that are None are left out."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def _problems(values: Mapping[str, Any], problem: Callable[[str, Option, Any], str]) -> list[str]:
    given = {name: value for name, value in values.items() if value is not None}
    problems = [
        problem(name, OPTIONS[name], value)
        for name, value in given.items()
        if not OPTIONS[name].accepts(value)
    ]
    network = given.get("network", "mlp")
    problems += [
        f"{name} is given, but the network {network} has no such option; it belongs to mlp. Leave it out."
        for name in _MLP_DEFAULTS
        if name in given and network in ("testnet", "conv")
    ]
    return problems
