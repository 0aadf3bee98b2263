"""Described: what a pickle says of an object, asked for its parts; nothing of it comes to life.

Every question refuses, in words, what torch.save does not write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from torch import nn

from reproven.files.pickles import Made, Named

ORDERED, SET = "collections OrderedDict", "__builtin__ set"


class Odd(ValueError):
    """What a file describes is no model; says what was found."""


def name_of(kind: type) -> str:
    """A class as a pickle names it."""
    return f"{kind.__module__} {kind.__qualname__}"


def is_call(made: Any, name: str, count: int) -> TypeGuard[Made]:
    """Whether a value is what a call with so many arguments makes, and nothing is done to it after."""
    is_made = isinstance(made, Made) and made.name == name and len(made.args) == count
    return is_made and not made.items and made.state is None


def printable(error: Exception) -> str:
    """What an error says; what a file calls something steers no terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(error))


def word_for(made: Any) -> str:
    """What a value is, in a word."""
    if isinstance(made, Made | Named):
        return made.name.rpartition(" ")[2][:100]
    return type(made).__name__


def shown(value: Any) -> str:
    """A value in a few words."""
    return repr(value)[:100] if isinstance(value, int | str) or is_sizes(value) else f"a {word_for(value)}"


def is_sizes(value: Any) -> bool:
    """Whether a value is a shape or strides, of tensors that there are."""
    return (
        isinstance(value, tuple) and len(value) <= 8 and all(type(n) is int and 0 <= n < 2**63 for n in value)
    )


def state_of(made: Any, what: str) -> dict[str, Any]:
    """What a module holds, as it was pickled."""
    if not isinstance(made, Made) or made.args or made.items or not isinstance(made.state, dict):
        raise Odd(f"what should be {what[:100]!r} is a {word_for(made)} that torch.save does not write")
    return made.state


def part_of(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The parameters, buffers or submodules in a module's state."""
    held = state.get(name)
    if not isinstance(held, dict):
        raise Odd(f"the {name} of a module is a {word_for(held)}, but must be a dict")
    return held


def not_kept(state: Mapping[str, Any]) -> set[str]:
    """The buffers that a module's state_dict leaves out."""
    made = state.get("_non_persistent_buffers_set")
    held = made.args[0] if isinstance(made, Made) and made.name == SET and made.args else ()
    return {name for name in held if isinstance(name, str)} if isinstance(held, list) else set()


def refuse_items(hooks: Any, name: str) -> None:
    """Refuses a tensor with hooks."""
    if not is_call(hooks, ORDERED, 0):
        raise Odd(f"its tensor {name} has hooks")


def refuse_other(made: Made, fresh: nn.Module, what: str) -> None:
    """Refuses a described module that is not, attribute by attribute, the fresh one but for its numbers.

    Its tensors have been read: so it and all in it are modules, and their parts are dicts.
    """
    state, own = made.state, vars(fresh)
    if made.name != name_of(type(fresh)):
        raise Odd(f"what should be {what!r} is a {word_for(made)}, but must be a {type(fresh).__name__}")
    missing = [name for name, value in own.items() if name not in state and value not in (None, {}, set())]
    if odd := [*(name for name in state if name not in own), *missing]:
        raise Odd(f"{what} has or lacks the attribute {odd[0][:100]!r}")
    for name, value in own.items():
        given: Any = state.get(name)
        if name in ("_parameters", "_buffers"):
            tensors = {key: held for key, held in value.items() if held is not None}
            if given.keys() != tensors.keys():
                raise Odd(f"the {name} of {what} are {', '.join(given)[:200]}, not {', '.join(tensors)}")
        elif name == "_modules":
            if list(given) != list(value):
                raise Odd(f"the submodules of {what} are {', '.join(given)[:200]}, not {', '.join(value)}")
            for key, module in value.items():
                refuse_other(given[key], module, key)
        elif name == "training":
            if not isinstance(given, bool):
                raise Odd(f"whether {what} is training is a {word_for(given)}")
        elif not _is_like(given, value):
            raise Odd(f"the attribute {name} of {what} is {shown(given)}, but must be {value}")


def _is_like(given: Any, value: Any) -> bool:
    """Whether a described value is plain, of the same type, and equal; a new module's dicts are empty."""
    if isinstance(value, dict | set):
        if isinstance(given, Made):
            is_empty = given.args in ((), ([],)) and given.name in (ORDERED, SET)
            return is_empty and not given.items and given.state is None
        return given is None or given == {}
    return type(given) is type(value) and bool(given == value)
