"""Modules: a network of the user's own, made by its name and arguments, and looked at before it is taken."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from reproven.errors import OwnCodeError
from reproven.own.failing import blaming
from reproven.own.finding import find_network
from reproven.own.named import plain_name

#: What the table tells a network that takes an argument of this name which is not given.
TOLD = ("inputs", "outputs")
_BUFFERS = (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)


def arguments_of(name: str, given: Mapping[str, Any], told: Mapping[str, int]) -> dict[str, Any]:
    """The arguments that a network is made with: those that are given, and `TOLD` where it takes such.

    Raises:
        Untrusted, OwnCodeError: The network cannot be had, or does not take these.
    """
    factory = find_network(name)
    found = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # nothing can be known of it
        return found
    found |= {key: value for key, value in told.items() if key in signature.parameters and key not in given}
    try:
        signature.bind(**found)
    except TypeError as error:
        raise OwnCodeError(
            f"{name} cannot be made of {_shown(found)}: {error}. It takes {plain_name(name)}{signature}. "
            "Give what it takes with --network-arg."
        ) from error
    return found


def _shown(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "no argument"


def make(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network of its class or function; what it draws comes from the global generators.

    Raises:
        Untrusted, OwnCodeError: It cannot be had, or is none that can be kept and made again.
    """
    factory: Callable[..., nn.Module] = find_network(name)
    with blaming(f"Making {name} of {_shown(arguments)}"):
        network = factory(**arguments)
    if not isinstance(network, nn.Module):
        raise OwnCodeError(f"{name} returned a {type(network).__name__}, but must return a torch.nn.Module.")
    if problem := _problem(network):
        raise OwnCodeError(f"{name} {problem}")
    return network


def _problem(network: nn.Module) -> str | None:
    """Why a network cannot be trained and kept, in words that follow its name."""
    for key, one in network.named_parameters():
        if isinstance(one, nn.parameter.UninitializedParameter):
            return f"has the lazy layer {key.rpartition('.')[0]}. Say how many inputs it has."
        if one.dtype != torch.float32:
            return f"has the parameter {key} of {one.dtype}, but must have torch.float32."
    if not any(one.requires_grad for one in network.parameters()):
        return "has no parameter to train."
    for key, value in network.state_dict().items():
        if (
            not isinstance(value, torch.Tensor)
            or value.layout != torch.strided
            or value.dtype not in _BUFFERS
        ):
            kinds = ", ".join(str(kind).removeprefix("torch.") for kind in _BUFFERS)
            return f"keeps {key}, which is no dense tensor of {kinds}."
    return None


def layers_of(network: nn.Module) -> list[str]:
    """The names that a learning rate may be given by: of modules with parameters, outer ones first."""
    holds = [(name, list(one.parameters())) for name, one in network.named_modules()]
    return sorted((name for name, own in holds if name and own), key=lambda name: name.count("."))
