"""Python for arm64, emulated: Debian's, with torch and what this package needs, kept in a cache folder.

Debian's packages come by apt into a folder of their own, Python's by pip; nothing of the machine is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from programs import ROOT

TORCH = "2.9.1"  # the last with a build for arm64 that needs nothing of CUDA
_DEBIAN = (
    *(
        "python3.11",
        "python3.11-minimal",
        "libpython3.11-stdlib",
        "libpython3.11-minimal",
        "libc6",
        "libgcc-s1",
    ),
    *("libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libsqlite3-0"),
    *("libuuid1", "libcrypt1", "libgomp1"),
)
_PYTHON = (
    *(
        "numpy",
        "pandas",
        "scipy",
        "scikit-learn",
        "matplotlib",
        "mlflow",
        "mpmath",
        "filelock",
        "platformdirs",
    ),
    *("click", "typing_extensions", "sympy", "networkx", "jinja2", "fsspec"),  # the last five for torch
)


def missing() -> str:
    """What this machine lacks for it; empty where nothing."""
    lacking = [one for one in ("qemu-aarch64", "apt-get", "dpkg") if shutil.which(one) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


def python() -> tuple[list[str], dict[str, str]]:
    """The command that starts it, and the variables that it needs."""
    folder = user_cache_path("reproven-tests") / f"arm64-torch-{TORCH}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "whole").exists():
            _debian(folder)
            _wheels(folder)
            (folder / "whole").touch()
    root = folder / "root"
    command = ["qemu-aarch64", "-L", str(root), str(root / "usr" / "bin" / "python3.11")]
    variables = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(folder / "site"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return command, {**os.environ, **variables}


def _debian(folder: Path) -> None:
    for one in ("lists/partial", "cache/archives/partial", "debs", "root"):
        (folder / one).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    options = [
        *(
            "-oAPT::Architecture=arm64",
            "-oAPT::Architectures=arm64",
            f"-oDir::State::Lists={folder / 'lists'}",
        ),
        *(
            f"-oDir::State::status={folder / 'status'}",
            f"-oDir::Cache={folder / 'cache'}",
            "-oDebug::NoLocking=1",
        ),
    ]
    _run("apt-get", *options, "-q", "update", cwd=folder)
    _run("apt-get", *options, "-q", "download", *_DEBIAN, cwd=folder / "debs")
    for package in (folder / "debs").glob("*.deb"):
        _run("dpkg", "-x", str(package), str(folder / "root"), cwd=folder)


def _wheels(folder: Path) -> None:
    wheels = folder / "wheels"
    options = [
        "--only-binary=:all:",
        "--python-version=3.11",
        "--implementation=cp",
        "--platform=manylinux2014_aarch64",
    ]
    options += [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, 37)]
    options += ["--abi=cp311", "--abi=abi3", "--abi=none", "--dest", str(wheels)]
    download = (sys.executable, "-m", "pip", "download", "--quiet", *options)
    _run(*download, "--no-deps", f"torch=={TORCH}", cwd=folder)  # pip would take what torch needs on x86-64
    _run(*download, "--constraint", str(ROOT / "constraints.txt"), *_PYTHON, cwd=folder)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    shutil.rmtree(wheels)


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
