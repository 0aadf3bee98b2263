"""The machine and the code: what a run was made on and from. It reads, and changes nothing."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from reproven import __version__, arithmetic
from reproven.errors import InvalidInput
from reproven.record import Code

#: Packages whose versions can change a run's bits or its record.
PACKAGES = ("torch", "numpy", "scikit-learn", "pandas", "pyarrow", "matplotlib", "mlflow", "click", "pyyaml")

_COPIES = 4  # the weights, their gradients, and two moments
MAX_WEIGHTS = 2**30 - 2**20  # so that a model's file stays below 4 GiB, where ZIP changes its form


@dataclass(frozen=True, slots=True)
class CodeState:
    """The commit that the running code comes from.

    Attributes:
        commit: Its hash.
        branch: The branch checked out; empty where none is.
        patch: What tracked files differ in, as `git diff` tells it; empty where they do not.
    """

    commit: str
    branch: str
    patch: str

    @property
    def dirty(self) -> bool:
        """Whether tracked files differ from the commit."""
        return bool(self.patch)

    @property
    def patch_bytes(self) -> bytes:
        """The patch as git printed it."""
        return self.patch.encode(errors="surrogateescape")


@cache
def code_state() -> CodeState | None:
    """The state of this package's own source; None where it is not in a git checkout (installed).

    It is read once in a process, since the code that runs is the code that was imported.
    """
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="surrogateescape", check=True
        )
        return done.stdout

    try:
        git("ls-files", "--error-unmatch", here.name)
        commit, branch = git("rev-parse", "HEAD").strip(), git("branch", "--show-current").strip()
        return CodeState(commit, branch, git("diff", "--binary", "HEAD"))
    except (OSError, subprocess.CalledProcessError):
        return None


@cache
def code(state: CodeState | None) -> Code:
    """The running code as a record names it: the source by its digest, and the patch by its own."""
    folder, digest = Path(__file__).resolve().parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    source = digest.hexdigest()
    if state is None:
        return Code(source_sha256=source)
    patch = hashlib.sha256(state.patch_bytes).hexdigest() if state.dirty else None
    return Code(source_sha256=source, commit=state.commit, branch=state.branch, patch_sha256=patch)


def require_clean(code: CodeState | None) -> None:
    """Refuses code that no commit names.

    Raises:
        InvalidInput: The code differs from its commit, or is not in a git checkout.
    """
    if code is None:
        where = Path(__file__).resolve().parent
        raise InvalidInput(
            [f"require_clean is true, but {where} is not in a git checkout. Run from a clone."]
        )
    if code.dirty:
        files = re.findall(r"^diff --git a/(.*) b/", code.patch, re.MULTILINE)
        raise InvalidInput(
            [
                f"require_clean is true, but {', '.join(files)} differ from the commit {code.commit[:12]}. "
                "Commit or stash the changes."
            ]
        )


def describe() -> dict[str, Any]:
    """Python, packages, torch's build and threads, libraries, CPU and operating system, as JSON values."""
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
            "mkl_cbwr_branch": arithmetic.mkl_branch(),
            "onednn": "".join(re.findall(r"MKL-DNN v(\S+)", built)),
            "onednn_enabled": torch.backends.mkldnn.enabled,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "threads": torch.get_num_threads(),
            "interop_threads": torch.get_num_interop_threads(),
        },
        "profile": arithmetic.in_force(),
        "variables": {name: os.environ[name] for name in arithmetic.VARIABLES if name in os.environ},
        "cpu": _cpu_model(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }


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


def memory() -> int:
    """The machine's physical memory in bytes, or what a container of it may use."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdigit() else physical


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
