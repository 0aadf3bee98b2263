"""Named: a class or a function by `package.module:name`, as recipes and records write it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_PART = r"[^\W\d]\w*"
_NAME = re.compile(rf"{_PART}(\.{_PART})*:{_PART}")
_MODULE = re.compile(rf"{_PART}(\.{_PART})*")


def is_named(text: Any) -> bool:
    """Whether a text names something at the top of a module; no part may begin with two underscores."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None and not _hides(text)


def is_module(text: str) -> bool:
    """Whether a text may name a module."""
    return _MODULE.fullmatch(text) is not None and not _hides(text)


def _hides(text: str) -> bool:
    return any(part.startswith("__") for part in re.split(r"[.:]", text))


def module_of(name: str) -> str:
    """The module of what is named."""
    return name.partition(":")[0]


def plain_name(name: str) -> str:
    """What is named, without its module."""
    return name.rpartition(":")[2]


def modules_of(names: Iterable[str]) -> list[str]:
    """The modules of what is named, each once, in their order."""
    return list(dict.fromkeys(map(module_of, names)))


def made_of(name: str, arguments: Mapping[str, Any]) -> str:
    """What a network is made of, as the text that a saved model holds."""
    return json.dumps({"network": name, "arguments": dict(arguments)}, sort_keys=True, separators=(",", ":"))


def read_made_of(text: Any) -> tuple[str, dict[str, Any]]:
    """Reads what `made_of` wrote; nothing of it is imported.

    Raises:
        ValueError: It is something else.
    """
    try:
        values = json.loads(text)
        name, arguments = values["network"], values["arguments"]
        if (
            set(values) == {"network", "arguments"}
            and is_named(name)
            and all(map(str.isidentifier, arguments))
        ):
            return name, dict(arguments)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        pass
    raise ValueError("what it says that its network is made of cannot be read")


def name_of(thing: Any) -> Any:
    """The name of a class or a function, and every other value as it is.

    What no other process could import keeps a name that is none, such as `__main__:Net`, so that whoever
    checks it says so (`why_not`).
    """
    if isinstance(thing, str) or not callable(thing) or not hasattr(thing, "__qualname__"):
        return thing
    return f"{thing.__module__}:{thing.__qualname__}"


def why_not(text: str) -> str:
    """Why a text names nothing that can be imported, in a sentence; empty where it is no such name at all."""
    module, colon, name = text.partition(":")
    if not colon:
        return ""
    if module == "__main__":
        return (
            f"No other process can import what a script or a notebook defines. Put {name} into a file of its "
            f"own, such as nets.py (in a notebook: %%writefile nets.py), and name it nets:{name}."
        )
    if "." in name:
        return f"It must stand at the top of its module, but {name} stands inside of something."
    return "Names must be Python's, and none may begin with two underscores." if _hides(text) else ""
