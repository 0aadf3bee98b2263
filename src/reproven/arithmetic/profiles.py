"""Arithmetic profiles: which instructions torch and MKL may choose, and so which bits come out.

`native` is torch as it comes: it chooses by CPU and thread count, and rounds accordingly. `portable` gives
the same bits on every x86-64 CPU: one thread, torch's baseline kernels, MKL's compatible branch, and a
square root that is rounded correctly (see `sqrt`). It must be entered before torch is imported, because
torch and MKL choose once. This module imports torch only where it is asked what is in force.

Source: https://www.intel.com/content/www/us/en/docs/onemkl/developer-guide-linux/2024-0/
    obtaining-numerically-reproducible-results.html (MKL_CBWR)
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproven.errors import InvalidInput

PORTABLE, NATIVE = "portable", "native"
PROFILES = (PORTABLE, NATIVE)

#: What the portable profile sets before torch is imported; whatever was set before is overruled.
PORTABLE_VARIABLES: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
#: Variables that can change the bits. No other is recorded: one may hold a secret.
VARIABLES = (
    *PORTABLE_VARIABLES,
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
_MKL_CBWR_BRANCH, _MKL_CBWR_COMPATIBLE = 1, 3  # of mkl_types.h


def enter(profile: str) -> None:
    """Has torch take up a profile when it is imported; does nothing for `native`, which is torch as it comes.

    Raises:
        InvalidInput: There is no such profile, or torch is imported already and computes in another one.
    """
    if profile not in PROFILES:
        raise InvalidInput([f"profile is {profile!r}, but must be one of {', '.join(PROFILES)}."])
    prefer(chosen(profile, "cpu", taken_up()))


def prefer(profile: str) -> None:
    """Has torch take up a profile when it is imported; does nothing for `native`, or where torch is there."""
    if profile == PORTABLE and "torch" not in sys.modules:
        _set(PORTABLE_VARIABLES)


def _set(variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        _BEFORE.setdefault(name, os.environ.get(name))
        os.environ[name] = value


def users_environment() -> dict[str, str]:
    """The environment as it was before a profile was taken up: what another process starts from."""
    return {name: value for name, value in (os.environ | _BEFORE).items() if value is not None}


def take_on(recorded: Mapping[str, Any]) -> None:
    """Has torch take up, when it is imported, the arithmetic that an environment was recorded with.

    In native arithmetic these are its threads and variables; what is set already stays as it is.

    Args:
        recorded: As `environment.describe` tells it; of its variables, no others than `VARIABLES` are set.
    """
    profile = recorded.get("profile")
    prefer(PORTABLE if profile == PORTABLE else NATIVE)
    if profile == NATIVE and "torch" not in sys.modules:
        for name in _BEFORE:  # another run's profile, which torch has not seen
            os.environ.pop(name, None)
        os.environ.update(users_environment())
        variables, built = recorded.get("variables"), recorded.get("torch")
        threads = built.get("threads") if isinstance(built, dict) else None
        wanted = dict.fromkeys(_THREADS, threads)
        wanted |= variables if isinstance(variables, dict) else {}
        has_threads = any(name in os.environ for name in _THREADS)  # one of them says it for the other
        for name in VARIABLES:
            is_left = has_threads and name in _THREADS
            if not is_left and _SETTING.fullmatch(str(wanted.get(name, ""))):
                _set({name: os.environ.get(name, str(wanted[name]))})


def suits(recorded: Mapping[str, Any]) -> bool:
    """Whether this process computes in the profile, and in native on the threads, of an environment."""
    import torch

    built = recorded.get("torch")
    threads = built.get("threads") if isinstance(built, dict) else None
    same_threads = recorded.get("profile") == PORTABLE or threads == torch.get_num_threads()
    return in_force() == recorded.get("profile") and same_threads


def in_force() -> str:
    """The profile that this process computes in, asked of torch and MKL themselves."""
    import torch

    kernels, branch = torch.backends.cpu.get_cpu_capability(), mkl_branch()
    portable = kernels == "DEFAULT" and torch.get_num_threads() == 1 and branch == _MKL_CBWR_COMPATIBLE
    return PORTABLE if portable else NATIVE


def mkl_branch() -> int | None:
    """MKL's conditional numerical reproducibility branch, as mkl_cbwr_get reports it; None without MKL."""
    import torch

    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        return int(ctypes.CDLL(str(library)).mkl_serv_cbwr_get(_MKL_CBWR_BRANCH))
    except (OSError, AttributeError):
        return None


def taken_up() -> str | None:
    """The profile that this process cannot leave any more; None as long as torch is not imported."""
    return in_force() if "torch" in sys.modules else None


def chosen(asked: str | None, device: str, there: str | None = None) -> str:
    """The profile that a recipe is trained in. The one place that knows what it is where none is asked for.

    Args:
        asked: The recipe's own; None where it names none.
        device: `cpu`, `cuda`, or `auto` as long as nobody knows which of them it is.
        there: What the process had taken up when it was asked; None where it can still take up any.

    Raises:
        InvalidInput: Another one is in force, and it is too late to change it.
    """
    if device == "cuda":
        return NATIVE
    if there is None:
        return asked or PORTABLE
    if asked in (None, there):
        return there
    how = (
        "Call reproven.enter('portable') before anything imports torch, or start with "
        + " ".join(f"{name}={value}" for name, value in PORTABLE_VARIABLES.items())
        if asked == PORTABLE
        else f"Unset {', '.join(PORTABLE_VARIABLES)} and start Python anew"
    )
    raise InvalidInput([f"profile is {asked}, but this process computes in the {there} one. {how}."])
