"""Trust: which modules of others a process may import. A record alone never makes it import one.

Whoever trains names the module, and so trusts it. Whatever goes by a record (replay, resume, revive, predict,
the workers of a sweep) imports what was trusted in this process, or by the variable REPROVEN_TRUST.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from reproven.errors import InvalidInput, Untrusted
from reproven.own.named import is_module, modules_of

VARIABLE = "REPROVEN_TRUST"
_trusted: set[str] = set()


def trust(*modules: str) -> None:
    """Lets this process import modules that records name, and what lies inside of them if they are packages.

    Importing a module runs its code: trust only what you would run yourself.

    Args:
        *modules: Their names as an import would write them, such as `nets` or `project.nets`.

    Raises:
        InvalidInput: One is no name of a module.
    """
    if problems := [_problem(name) for name in modules if not (isinstance(name, str) and is_module(name))]:
        raise InvalidInput(problems)
    _trusted.update(modules)


def _problem(name: object) -> str:
    return f"trust is {name!r}, but must be the name of a module. Try --trust nets for a file nets.py."


def trusted() -> list[str]:
    """All that is trusted, sorted: by this process and by its environment."""
    given = os.environ.get(VARIABLE, "").replace(",", " ").split()
    return sorted(_trusted | {name for name in given if is_module(name)})


def variables() -> dict[str, str]:
    """What a process that is started from here needs in its environment to trust the same."""
    return {VARIABLE: ",".join(found)} if (found := trusted()) else {}


def untrusted(names: Iterable[str]) -> list[str]:
    """The modules among those of these names that may not be imported.

    Args:
        names: Of classes and functions, as `package.module:name`.
    """
    allowed = trusted()
    return [
        module
        for module in modules_of(names)
        if not any(module == one or module.startswith(f"{one}.") for one in allowed)
    ]


def require(names: Iterable[str]) -> None:
    """Refuses names whose modules are not trusted, before a line of these has run.

    Raises:
        Untrusted: It names all such modules.
    """
    names = list(names)
    if modules := untrusted(names):
        raise Untrusted(names=names, modules=modules)
