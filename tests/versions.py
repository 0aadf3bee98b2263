"""The versions that the metadata admits, each row in an environment of its own: `make test-versions`.

`lowest` takes the lower bounds themselves, `newest` whatever is out within the ranges; the others name their
Python and torch. Rows that are not named download a torch of several gigabytes, so they run when asked for:
`.venv/bin/python tests/versions.py python3.10 python3.13`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from programs import NEVER

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
USED = ("search", "dask", "excel")
BOUNDED = [
    Requirement(text)
    for text in (*PROJECT["dependencies"], *(one for extra in USED for one in EXTRAS[extra]))
]
LOWEST = [
    *(f"{r.name}=={one.version}" for r in BOUNDED for one in r.specifier if one.operator == ">="),
    # MLflow 3.7 admits newer ones, and fails with them
    *("sqlalchemy<2.1", "fastapi<0.124"),
]
LOWEST.remove("torch==2.9")  # of which there is no build for the CPU alone but on arm64
#: Name: the Python, torch, and what else is asked for.
ROWS: dict[str, tuple[str, str, list[str]]] = {
    "lowest": ("python3.11", "torch==2.13.0", LOWEST),
    "newest": ("python3.11", "torch==2.13.0", []),
    "torch2.14": ("python3.11", "torch==2.14.1", []),
    "python3.10": ("python3.10", "torch==2.9.0", []),
    "python3.12": ("python3.12", "torch<3", []),
    "python3.13": ("python3.13", "torch<3", []),
}
USUAL = ("lowest", "newest")
TOOLS = ["pytest", "pytest-xdist", "hypothesis", "psycopg[binary]", "picklescan", "fickling", "uv"]
TESTS = [
    *("test_promises.py", "test_serving.py", "proof", "runs", "training", "store", "comparisons", "files"),
    *("recipes", "values", "sweeps/test_sweep.py", "sweeps/test_study.py"),
]
SHOWN = ("torch", "mlflow", "numpy", "pandas", "scikit-learn", "scipy", "matplotlib")


def built(name: str) -> Path:
    """The programs of a row's environment, made where it is not there."""
    python, torch, others = ROWS[name]
    folder = ROOT / "build" / "versions" / name
    pip = [str(folder / "bin" / "pip"), "install", "--quiet"]
    if not (folder / "whole").exists():
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--seed", "--python", python, folder], check=True)
        subprocess.run([*pip, torch], check=True)
        (folder / "constraints.txt").write_text("\n".join(others))
        subprocess.run(
            [*pip, "-c", folder / "constraints.txt", "-e", f"{ROOT}[{','.join(USED)}]", *TOOLS], check=True
        )
        (folder / "whole").touch()
    return folder / "bin"


def passes(name: str) -> bool:
    """Prints what is installed in a row's environment, and whether the tests pass there."""
    programs = built(name)
    code = f"import importlib.metadata as m; print(*(f'{{n}} {{m.version(n)}}' for n in {SHOWN}), sep=', ')"
    print(f"\n{name}: ", end="", flush=True)
    subprocess.run([programs / "python", "-c", code], check=True)
    tests = [str(ROOT / "tests" / test) for test in TESTS]
    how = ("-q", "-o", "filterwarnings=default", "--numprocesses", "2", "--dist", "loadfile")
    variables = {**os.environ, NEVER: "1", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    return not subprocess.run(
        [programs / "pytest", *how, "-m", "not slow", *tests], cwd=ROOT, env=variables
    ).returncode


if __name__ == "__main__":
    results = {name: passes(name) for name in sys.argv[1:] or USUAL}
    print("", *(f"{name}: {'passed' if passed else 'FAILED'}" for name, passed in results.items()), sep="\n")
    sys.exit(not all(results.values()))
