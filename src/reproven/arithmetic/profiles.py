"""Arithmetic profiles: whose numbers come out of a network.

`portable` gives the same bits on every machine, with every version of torch and any number of threads: each
result is the nearest float32 to the exact one (see `rounding`). `native` is torch as it comes: it chooses its
instructions by CPU, threads and variables, and rounds accordingly.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from reproven.errors import InvalidInput

PORTABLE, NATIVE = "portable", "native"
PROFILES = (PORTABLE, NATIVE)
#: What portable arithmetic is, as it is recorded: another one would be told by another name.
PORTABLE_ARITHMETIC = "nearest float32"

#: Variables that can change native bits. No other is recorded: one may hold a secret.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "OMP_DYNAMIC",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
)
_BEFORE: dict[str, str | None] = {}  # what the user had in the variables that were set here
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_SETTING = re.compile(r"[A-Za-z0-9_,]+")
_usual = PORTABLE
_meanwhile: ContextVar[str | None] = ContextVar("meanwhile", default=None)


def enter(profile: str) -> None:
    """Has recipes that name no profile take this one, in this process.

    Raises:
        InvalidInput: There is no such profile.
    """
    global _usual
    if profile not in PROFILES:
        raise InvalidInput([f"profile is {profile!r}, but must be one of {', '.join(PROFILES)}."])
    _usual = profile


def usual() -> str:
    """The profile where none is asked for."""
    return _meanwhile.get() or _usual


@contextmanager
def meanwhile(profile: str | None) -> Iterator[None]:
    """Inside of it, another profile is usual in this thread; None leaves it."""
    token = _meanwhile.set(profile or _meanwhile.get())
    try:
        yield
    finally:
        _meanwhile.reset(token)


def chosen(asked: str | None, device: str) -> str:
    """The profile that a recipe is trained in. The one place that knows what it is where none is asked for.

    Args:
        asked: The recipe's own; None where it names none.
        device: `cpu` or `cuda`; portable arithmetic is for the CPU.
    """
    return NATIVE if device == "cuda" else asked or usual()


def users_environment() -> dict[str, str]:
    """The environment as it was before `take_on` set any variable: what another process starts from."""
    return {name: value for name, value in (os.environ | _BEFORE).items() if value is not None}


def take_on(recorded: Mapping[str, Any]) -> None:
    """Has torch take up, when it is imported, the threads and variables that a native run was recorded with.

    What is set already stays as it is; portable arithmetic needs none of it.

    Args:
        recorded: As `environment.describe` tells it; of its variables, no others than `VARIABLES` are set.
    """
    if "torch" in sys.modules:
        return
    for name in _BEFORE:  # another run's, which torch has not seen
        os.environ.pop(name, None)
    os.environ.update(users_environment())
    if recorded.get("profile") != NATIVE:
        return
    variables, built = recorded.get("variables"), recorded.get("torch")
    threads = built.get("threads") if isinstance(built, dict) else None
    wanted = dict.fromkeys(_THREADS, threads)
    wanted |= variables if isinstance(variables, dict) else {}
    has_threads = any(name in os.environ for name in _THREADS)  # one of them says it for the other
    for name in VARIABLES:
        is_left = has_threads and name in _THREADS
        value = str(wanted.get(name, ""))
        if not is_left and name not in os.environ and _SETTING.fullmatch(value):
            _BEFORE.setdefault(name, None)
            os.environ[name] = value


def suits(recorded: Mapping[str, Any]) -> bool:
    """Whether this process computes as an environment was recorded: native arithmetic on as many threads."""
    import torch

    built = recorded.get("torch")
    threads = built.get("threads") if isinstance(built, dict) else None
    return recorded.get("profile") != NATIVE or threads == torch.get_num_threads()
