"""The machine and the code: what a run was made on and from. It reads, and changes nothing."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from reproven._version import __version__
from reproven.arithmetic import profiles
from reproven.errors import InvalidInput
from reproven.files.manifest import file_sha256
from reproven.own.sources import is_own_file

#: Packages whose versions can change a run's bits or its record.
PACKAGES = ("torch", "numpy", "scikit-learn", "pandas", "pyarrow", "matplotlib", "mlflow", "click", "pyyaml")

#: The modules of these, and of others that a run is made with.
_IMPORTED = (
    *("torch", "numpy", "sklearn", "pandas", "pyarrow", "matplotlib", "mlflow", "click", "yaml"),
    *("scipy", "jinja2", "filelock", "platformdirs", "sqlalchemy", "optuna"),
)
_AT_START = ("sitecustomize", "usercustomize")
_MKL_CBWR_BRANCH = 1  # of mkl_types.h
_COPIES = 4  # the weights, their gradients, and two moments
_ADDRESSES = 2**29  # bytes, of which a short training takes two thirds once it is prepared
LARGEST_FILE = 2**32  # bytes, of a model
MAX_WEIGHTS = 2**30 - 2**20  # so that a model's file stays below 4 GiB, where ZIP changes its form


def describe(profile: str) -> dict[str, Any]:
    """Python, packages, torch's build and threads, libraries, CPU and operating system, as JSON values.

    Args:
        profile: Of the arithmetic that is computed in.
    """
    import torch

    built = torch.__config__.show()
    return {
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "installed": dict(_installed()),
        "torch": {
            "version": torch.__version__,
            "git": torch.version.git_version,
            "cuda": torch.version.cuda,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "mkl": "".join(re.findall(r"Math Kernel Library Version (\S+)", built)),
            "mkl_cbwr_branch": _mkl_branch(),
            "onednn": "".join(re.findall(r"MKL-DNN v(\S+)", built)),
            "onednn_enabled": torch.backends.mkldnn.enabled,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "threads": torch.get_num_threads(),
            "interop_threads": torch.get_num_interop_threads(),
        },
        "profile": profile,
        **({"arithmetic": profiles.PORTABLE_ARITHMETIC} if profile == profiles.PORTABLE else {}),
        **(
            {"beside": {name: file_sha256(path) for name, path in found.items()}}
            if (found := beside())
            else {}
        ),
        "variables": {name: os.environ[name] for name in profiles.VARIABLES if name in os.environ},
        "cpu": _cpu_model(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }


def beside() -> dict[str, Path]:
    """What runs in this process in place of Python's modules or an installed package's, and at its start.

    Returns:
        The file of each such module that no installed package brings, by the module's name.
    """
    names = sorted({*sys.stdlib_module_names, *_IMPORTED, *_AT_START} & set(sys.modules))
    specs = {name: getattr(sys.modules[name], "__spec__", None) for name in names}
    files = {name: Path(spec.origin) for name, spec in specs.items() if spec and spec.has_location}
    return {name: path for name, path in files.items() if is_own_file(path) and is_own_file(path.parent)}


def _mkl_branch() -> int | None:
    """MKL's conditional numerical reproducibility branch, as mkl_cbwr_get reports it; None without MKL."""
    import torch

    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        return int(ctypes.CDLL(str(library)).mkl_serv_cbwr_get(_MKL_CBWR_BRANCH))
    except (OSError, AttributeError):
        return None


@cache
def _installed() -> dict[str, str]:
    """Every installed distribution with its version, local label included, by the names of their folders."""
    folders = (folder for path in sys.path for folder in Path(path or ".").glob("*.dist-info"))
    pairs = (folder.name.removesuffix(".dist-info").rpartition("-") for folder in folders)
    return {name: version for name, _, version in sorted(pairs)}


@cache
def package_version(package: str) -> str:
    """The installed version of a package; of this one, its own."""
    return __version__ if package == "reproven" else importlib.metadata.version(package)


@cache
def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def processors() -> int:
    """How many processors this process may use; all of them where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """The machine's physical memory in bytes, or what a container of it may use.

    Where the system does not say, there is enough: then training itself finds out.
    """
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return sys.maxsize
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdigit() else physical


@contextmanager
def bounded_files() -> Iterator[None]:
    """No file is written in the block that is larger than any of a run: a server may send one without end."""
    try:
        import resource
    except ImportError:  # this system has no such limit
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = LARGEST_FILE if soft == resource.RLIM_INFINITY else min(soft, LARGEST_FILE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def require_addresses() -> None:
    """Refuses a process that may take so little memory more that a training might end in the middle.

    Raises:
        InvalidInput: Its limit, as `ulimit -v` sets it, is nearly reached: a library ends then.
    """
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # this system has no such limit, or does not say what is taken
        return
    if limit != resource.RLIM_INFINITY and limit - taken < _ADDRESSES:
        told = f"{(limit - taken) / 2**30:.2f} GiB of addresses are left of {limit / 2**30:.2f}"
        raise InvalidInput([f"{told}, but a training needs {_ADDRESSES / 2**30:g} GiB. Raise `ulimit -v`."])


def require_memory(weights: int, hidden: Sequence[int]) -> None:
    """Refuses a network that cannot be trained here, before anything of it is made.

    Args:
        weights: How many it has.
        hidden: The widths of its hidden layers.

    Raises:
        InvalidInput: Weights, gradients and two moments of them, float32, need more than all memory, or the
            weights are more than a model's file can hold.
    """
    needed, there = _COPIES * 4 * weights, memory()
    widths = ",".join(map(str, hidden))
    shown = widths if len(widths) < 50 else f"{widths[:50]}…"
    what = f"hidden is {shown}, which makes {weights} weights."
    if needed > there:
        raise InvalidInput(
            [
                f"{what} Training them needs {needed / 2**30:.1f} GiB, but there are {there / 2**30:.1f} GiB "
                "of memory here. Try --hidden 10,10."
            ]
        )
    if weights > MAX_WEIGHTS:
        raise InvalidInput([f"{what} A model's file holds {MAX_WEIGHTS} at most. Try --hidden 10,10."])


def resolve_device(device: str) -> str:
    """`cpu` or `cuda` for `cpu`, `cuda` or `auto`.

    Raises:
        InvalidInput: A GPU is asked for and torch sees none.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput(
            [f"device is cuda, but torch {torch.__version__} sees no GPU here. Try --device cpu."]
        )
    return device
