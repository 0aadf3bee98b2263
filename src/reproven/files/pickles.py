"""A pickle as a description of what it would make: a few instructions are read, and nothing is made.

A pickle is a program. Here its instructions are not run but written down: where it would call something by
its name, there stands a `Made` with that name and the arguments. Nothing is imported, nothing is called,
and each instruction costs a bounded amount of memory. Only the instructions of torch.save are known.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PERSISTENT = "persistent id"
_PROTOCOL = 2
_TEXTS = {
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "UNICODE",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINUNICODE8",
}
_PLAIN = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
_LIMIT = 1 << 26  # bytes of a pickle without its tensors; the default network's has 2,280


class OddPickle(ValueError):
    """Bytes that are no pickle of torch.save; says what was found."""


@dataclass(frozen=True, slots=True)
class Named:
    """A class or a function that a pickle names, as `module name`."""

    name: str


@dataclass(slots=True)
class Made:
    """What a pickle would make by a call.

    Attributes:
        name: What it would call, as `module name`, or `PERSISTENT`.
        args: With what.
        items: What it would put into it by key.
        state: What it would give it as its state; None where it would give none.
    """

    name: str
    args: tuple[Any, ...]
    items: dict[str, Any] = field(default_factory=dict)
    state: Any = None


def names(content: bytes) -> list[str]:
    """What the pickles in some bytes name, as `module.name`, sorted; as far as they can be read.

    One pickle may follow another, as in a file of torch.save's old form.
    """
    found: set[str] = set()
    file = io.BytesIO(content[:_LIMIT])
    try:
        with _quietly():
            while True:
                found.update(_named_by_one(file))
    except Exception:  # what stands there is no pickle, or nothing; it is not run, so which does not matter
        pass
    return sorted(name.replace(" ", ".") for name in found)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without pickletools' own warnings of a text that is spelled oddly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _named_by_one(file: io.BytesIO) -> Iterator[str]:
    memo: dict[int, Any] = {}
    texts: list[Any] = []  # what stands on the stack, as far as it is a text
    for code, argument, _ in pickletools.genops(file):
        if code.name in ("GLOBAL", "INST"):
            yield str(argument)
        elif code.name == "STACK_GLOBAL":
            yield " ".join(str(text) for text in texts[-2:])
        if code.name in _TEXTS:
            texts.append(argument)
        elif code.name in ("GET", "BINGET", "LONG_BINGET"):
            texts.append(memo.get(int(argument or 0)))
        elif code.name == "MEMOIZE":
            memo[len(memo)] = texts[-1] if texts else None
        elif code.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument or 0)] = texts[-1] if texts else None


def read(content: bytes) -> Any:
    """What a pickle of torch.save would make: dicts, lists, tuples, texts, numbers, `Named` and `Made`.

    Raises:
        OddPickle: It uses an instruction that torch.save does not write, or uses one wrongly.
    """
    if len(content) > _LIMIT:
        raise OddPickle(f"its pickle has {len(content)} bytes, and at most {_LIMIT} are read")
    file = io.BytesIO(content)
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        with _quietly():
            for code, argument, _ in pickletools.genops(file):
                if code.name == "PROTO" and argument != _PROTOCOL:
                    raise OddPickle(f"its pickle has protocol {argument}, but torch.save writes {_PROTOCOL}")
                _follow(code.name, argument, stack, memo)
    except OddPickle:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise OddPickle(f"its pickle is broken: {str(error)[:200]}") from error
    if file.read() or len(stack) != 1:
        raise OddPickle("its pickle is broken: more follows after its end, or is left over")
    return stack[0]


def _follow(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """Takes one instruction down."""
    if name in _PLAIN:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name in ("EMPTY_DICT", "EMPTY_LIST"):
        stack.append({} if name == "EMPTY_DICT" else [])
    elif name == "MARK":
        stack.append(_MARK)
    elif name in _TUPLES:
        stack[-_TUPLES[name] :] = [tuple(_last(stack, _TUPLES[name]))]
    elif name == "TUPLE":
        stack.append(tuple(_above_mark(stack)))
    elif name in ("SETITEM", "SETITEMS"):
        pairs = _above_mark(stack) if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
        _put(stack[-1], pairs)
    elif name in ("APPEND", "APPENDS"):
        values = _above_mark(stack) if name == "APPENDS" else [stack.pop()]
        if not isinstance(stack[-1], list):
            raise TypeError("only a list is appended to")
        stack[-1].extend(values)
    elif name == "GLOBAL":
        stack.append(Named(argument))
    elif name == "BINPERSID":
        stack.append(Made(PERSISTENT, _tuple(stack.pop())))
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, called = _tuple(stack.pop()), stack.pop()
        if not isinstance(called, Named):
            raise TypeError("what is called has no name")
        stack.append(Made(called.name, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if not isinstance(stack[-1], Made) or stack[-1].state is not None:
            raise TypeError("what gets a state cannot have one")
        stack[-1].state = state
    elif name not in ("PROTO", "STOP"):
        raise OddPickle(f"its pickle has the instruction {name}, which torch.save does not write")


def _last(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise IndexError("the stack is too short")
    return stack[-count:]


def _above_mark(stack: list[Any]) -> list[Any]:
    values: list[Any] = []
    while (value := stack.pop()) is not _MARK:
        values.append(value)
    return values[::-1]


def _put(into: Any, pairs: list[Any]) -> None:
    held = into.items if isinstance(into, Made) else into
    if not isinstance(held, dict) or not all(isinstance(key, str) for key in pairs[::2]):
        raise TypeError("only texts are keys, and only of a dict")
    held.update(zip(pairs[::2], pairs[1::2], strict=True))


def _tuple(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise TypeError("the arguments of a call are no tuple")
    return value
