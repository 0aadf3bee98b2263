"""Networks, built and initialised: each starts with the weights of `torch.manual_seed(seed); Network()`.

The one place that draws initial weights; it forks torch's global generator and leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from reproven.errors import InvalidInput, name_among
from reproven.machine.environment import require_memory
from reproven.networks import VARIANTS, ConvTestNet
from reproven.own import modules
from reproven.own.generators import Draws
from reproven.recipes.blueprint import Blueprint
from reproven.recipes.recipe import Recipe
from reproven.recipes.schemes import parse_init


def build(recipe: Recipe, *, inputs: int, outputs: int = 1) -> nn.Module:
    """The network of a recipe, on the CPU, with its initial weights.

    Args:
        recipe: What to build.
        inputs: Number of features.
        outputs: Number of targets, or of classes.

    Raises:
        InvalidInput: It does not fit into memory, or a learning rate or a scheme does not fit it.
        Untrusted, OwnCodeError: The user's own network cannot be had.
    """
    if recipe.network is not None:
        told = dict(zip(modules.TOLD, (inputs, outputs), strict=True))
        return _own(recipe, modules.arguments_of(recipe.network, dict(recipe.network_args), told))
    require_memory(weights_in_mlp(inputs, recipe.hidden, outputs), recipe.hidden)
    try:
        return build_mlp(
            recipe.network_name,
            inputs,
            recipe.hidden,
            outputs,
            init=recipe.init,
            bias=recipe.init_bias,
            seed=recipe.seed,
        )
    except (RuntimeError, MemoryError) as error:
        raise InvalidInput(
            [f"hidden is {list(recipe.hidden)}, but such layers do not fit into memory. Try --hidden 10,10."]
        ) from error


def _own(recipe: Recipe, arguments: Mapping[str, Any]) -> nn.Module:
    name = recipe.network_name
    with Draws(recipe.seed).noting_others():
        network = modules.make(name, arguments)
    layers = modules.layers_of(network)
    if strange := [layer for layer, _ in recipe.layer_lr if layer not in layers]:
        raise InvalidInput(
            [
                f"layer_lr names {layer!r}, but no layer of {name} is called so. {name_among(layer, layers)}"
                for layer in strange
            ]
        )
    try:
        return _seeded(lambda: network, init=recipe.init, bias=recipe.init_bias, seed=recipe.seed)
    except ValueError as error:
        raise InvalidInput(
            [f"init is {recipe.init}, which does not fit {name}: {error}. Try --init default."]
        ) from error


def build_blueprint(blueprint: Blueprint) -> nn.Module:
    """The network or the layer of a blueprint, on the CPU, with its initial weights.

    Raises:
        InvalidInput: The scheme does not fit the network, or this does not fit into memory.
    """
    init, bias, seed = blueprint.init, blueprint.init_bias, blueprint.seed
    try:
        if blueprint.network == "conv":
            return _seeded(lambda: nn.Conv2d(3, 16, 3), init=init, bias=bias, seed=seed)
        if blueprint.network == "testnet":
            return _seeded(ConvTestNet, init=init, bias=bias, seed=seed)
        inputs, hidden = blueprint.inputs or 0, blueprint.hidden or ()
        require_memory(weights_in_mlp(inputs, hidden), hidden)
        return build_mlp(blueprint.variant or "", inputs, hidden, init=init, bias=bias, seed=seed)
    except ValueError as error:
        problem = f"init is {init}, which does not fit {blueprint.network}: {error}."
        raise InvalidInput([f"{problem} Try --init xavier_uniform."]) from error


def build_mlp(
    variant: str,
    inputs: int,
    hidden: tuple[int, ...],
    outputs: int = 1,
    *,
    init: str,
    bias: float | None,
    seed: int,
) -> nn.Module:
    """A perceptron on the CPU with the weights of `torch.manual_seed(seed); Network()`, then `init`'s.

    Args:
        variant: `module` or `sequential`; with equal seeds both start with equal bits.
        inputs: Number of features.
        hidden: Width of each hidden layer.
        outputs: Number of targets, or of classes.
        init: Initialisation scheme, as `initialisation.parse_init` reads it.
        bias: Value of every bias; None leaves them to the scheme.
        seed: Seed of the draws, first of the construction and again of the scheme.
    """
    return _seeded(lambda: VARIANTS[variant](inputs, hidden, outputs), init=init, bias=bias, seed=seed)


def weights_in_mlp(inputs: int, hidden: tuple[int, ...], outputs: int = 1) -> int:
    """How many numbers `build_mlp` draws or sets for a network of these widths."""
    return sum((width_in + 1) * width_out for width_in, width_out in pairwise((inputs, *hidden, outputs)))


def _seeded(build: Callable[[], nn.Module], *, init: str, bias: float | None, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator, and so
        torch.default_generator.manual_seed(seed)  # does torch.nn.init.sparse_ whatever it is given
        network = build()
        torch.default_generator.manual_seed(seed)
        initialise(network, init, bias=bias)
    return network


def initialise(network: nn.Module, init: str, *, bias: float | None) -> None:
    """Overwrites a network's weights with draws from torch's global generator, layer by layer.

    `by_layer` is the notebook's `init_weights`: convolutions normal with mean 0 and std 0.5, linear
    layers uniform on [-0.1, 0.1] with bias 0.01. The named schemes draw every weight and leave the
    biases as they are. `_seeded` seeds the generator before and puts it back after.

    Args:
        network: Its Linear and Conv2d weights are overwritten in place.
        init: A scheme as `parse_init` reads it; `default` leaves what torch drew at construction.
        bias: Value of every bias, after the scheme; None leaves them.

    Raises:
        ValueError: The scheme does not fit a layer's shape, as `dirac` and a linear layer.

    Source: https://docs.pytorch.org/docs/stable/nn.init.html
    """
    scheme, values = parse_init(init)
    # modules() goes from the outside in and apply() the other way; among leaves both keep the order
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    for layer in layers:
        if scheme == "by_layer" and isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, mean=0.0, std=0.5)
        elif scheme == "by_layer":
            torch.nn.init.uniform_(layer.weight, a=-0.1, b=0.1)
            if layer.bias is not None:
                torch.nn.init.constant_(layer.bias, 0.01)
        elif scheme != "default":
            getattr(torch.nn.init, f"{scheme}_")(layer.weight, **values)
        if bias is not None and layer.bias is not None:
            torch.nn.init.constant_(layer.bias, bias)
