"""Initialisation schemes by name: what they are called, what they take, and how they are drawn.

The names and defaults are torch.nn.init's (a test compares them), beside torch's own way (`default`)
and the notebook's `init_weights` (`by_layer`). Reading a scheme does not import torch; `initialise`
does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reproven.errors import name_among
from reproven.recipes.options import Explained
from reproven.recipes.typed import is_number

#: Schemes and their arguments; None marks a value that must be given.
INIT_SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "by_layer": {},
    "uniform": {"a": 0.0, "b": 1.0},
    "normal": {"mean": 0.0, "std": 1.0},
    "trunc_normal": {"mean": 0.0, "std": 1.0, "a": -2.0, "b": 2.0},
    "constant": {"val": None},
    "ones": {},
    "zeros": {},
    "eye": {},
    "dirac": {"groups": 1},
    "xavier_uniform": {"gain": 1.0},
    "xavier_normal": {"gain": 1.0},
    "kaiming_uniform": {"a": 0.0, "mode": "fan_in", "nonlinearity": "leaky_relu"},
    "kaiming_normal": {"a": 0.0, "mode": "fan_in", "nonlinearity": "leaky_relu"},
    "orthogonal": {"gain": 1.0},
    "sparse": {"sparsity": None, "std": 0.01},
}
_WORDS = {
    "mode": ("fan_in", "fan_out"),
    "nonlinearity": ("linear", "relu", "leaky_relu", "tanh", "sigmoid", "selu"),
}


def parse_init(text: str) -> tuple[str, dict[str, Any]]:
    """Reads a scheme and its arguments.

    Args:
        text: `scheme` or `scheme:name=value,…`, for example `normal:mean=0,std=0.5`.

    Returns:
        The scheme's name, and all its arguments with torch's defaults filled in.

    Raises:
        ValueError: The scheme or an argument is unknown, missing or out of range; its text says which.
    """
    scheme, _, rest = text.partition(":")
    if scheme not in INIT_SCHEMES:
        raise Explained(name_among(scheme, INIT_SCHEMES))
    given = dict(part.partition("=")[::2] for part in rest.split(",")) if rest else {}
    if unknown := [name for name in given if name not in INIT_SCHEMES[scheme]]:
        raise Explained(
            f"{scheme} has no argument {unknown[0]!r}. {name_among(unknown[0], INIT_SCHEMES[scheme])}"
        )
    values: dict[str, Any] = {
        name: _argument(scheme, name, given[name]) if name in given else default
        for name, default in INIT_SCHEMES[scheme].items()
    }
    if missing := [name for name, value in values.items() if value is None]:
        raise Explained(f"{scheme} needs {missing[0]}, as in {scheme}:{missing[0]}=0.1.")
    if "b" in values and values["a"] >= values["b"]:
        raise Explained(f"{scheme} needs a less than b, not {values['a']} and {values['b']}.")
    return scheme, values


def spell_init(text: str) -> str:
    """The canonical spelling, every argument written out, so that equal schemes are equal texts.

    Raises:
        ValueError: As for `parse_init`.
    """
    scheme, values = parse_init(text)
    arguments = ",".join(f"{name}={value}" for name, value in values.items())
    return f"{scheme}:{arguments}" if values else scheme


def _argument(scheme: str, name: str, text: str) -> float | int | str:
    if name in _WORDS:
        if text not in _WORDS[name]:
            raise Explained(f"{name} is {text!r}. {name_among(text, _WORDS[name])}")
        return text
    try:
        value: float = int(text) if name == "groups" else float(text)
    except ValueError:
        value = float("nan")
    if not is_number(value):
        raise Explained(f"{name} of {scheme} is {text!r}, but must be a number.")
    if name in ("std", "groups") and value <= 0:
        raise Explained(f"{name} of {scheme} is {text}, but must be greater than 0.")
    if name == "sparsity" and not 0 <= value <= 1:
        raise Explained(f"{name} of {scheme} is {text}, but must be from 0 to 1.")
    return value
