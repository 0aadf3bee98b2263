"""Finding: what a name names, imported and held against it. Nothing is imported that is not trusted."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from reproven.errors import OwnCodeError
from reproven.own import trust
from reproven.own.sources import from_here

if TYPE_CHECKING:
    from torch import nn


def find_network(name: str) -> Callable[..., nn.Module]:
    """The network's class, or a function that returns one.

    Raises:
        Untrusted: Its module may not be imported.
        OwnCodeError: Its module cannot be imported, or has no such class or function of its own.
    """
    from torch import nn

    found: Callable[..., nn.Module] = _found(name)
    if isinstance(found, type) and not issubclass(found, nn.Module):
        raise OwnCodeError(
            f"{name} is a class, but must be a subclass of torch.nn.Module, or a function that returns "
            "a module."
        )
    return found


def find_function(name: str) -> Callable[..., Any]:
    """A function: a loss, a metric, or what returns the data.

    Raises:
        Untrusted, OwnCodeError: As for `find_network`.
    """
    found = _found(name)
    if not isinstance(found, FunctionType):
        raise OwnCodeError(f"{name} is a class, but must be a function.")
    return found


def _found(name: str) -> Any:
    trust.require([name])
    module_name, _, attribute = name.partition(":")
    module = imported(module_name)
    try:
        found = getattr(module, attribute)
    except AttributeError as error:
        there = [key for key, value in vars(module).items() if _is_own(value, module_name)]
        raise OwnCodeError(
            f"{name} is not there: {module_name} has {', '.join(there) or 'no class and no function'}."
        ) from error
    if not isinstance(found, type | FunctionType) or found.__qualname__ != attribute:
        raise OwnCodeError(f"{name} is no class and no function of {module_name}, but must be one.")
    if found.__module__ != module_name:
        raise OwnCodeError(
            f"{name} is {found.__module__}:{found.__qualname__}, which {module_name} only hands on. "
            "Name that."
        )
    return found


def _is_own(value: Any, module: str) -> bool:
    return isinstance(value, type | FunctionType) and value.__module__ == module


def imported(module: str) -> Any:
    """A module, from the current folder or the environment, as `python -m` would find it.

    Raises:
        OwnCodeError: It cannot be imported; says why.
    """
    here = from_here()
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise OwnCodeError(
            f"{module} cannot be imported: {type(error).__name__}: {error}. It is looked for in {here} and "
            "among the installed packages."
        ) from error
