"""Installing: ranges in the metadata, exact versions in the lock, and no more needed than is said."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT
from reproven.machine.environment import PACKAGES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LINES = (ROOT / "constraints.txt").read_text().splitlines()[1:]
LOCK: dict[str, str] = {
    canonicalize_name(name): version for name, version in (line.split("==") for line in LINES)
}


def requirements(*extras: str) -> dict[str, Requirement]:
    texts = (*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra]))
    return {canonicalize_name((found := Requirement(text)).name): found for text in texts}


def test_the_lock_is_exact_within_every_range_and_installed_here() -> None:
    assert LOCK["torch"] == "2.13.0"
    assert all(re.fullmatch(r"[\w.]+", version) for version in LOCK.values())
    for name, requirement in requirements("search", "dask", "excel").items():
        assert requirement.specifier.contains(LOCK[name]), name
        assert {one.operator for one in requirement.specifier} == {">=", "<"}, name
    for name in needed("reproven", "dev") - {"setuptools"}:  # as pip freezes
        assert importlib.metadata.version(name).partition("+")[0] == LOCK[name], name


def needed(distribution: str, extra: str = "", found: set[str] | None = None) -> set[str]:
    """The names of all that a distribution needs, and what that needs."""
    found = set() if found is None else found
    for text in importlib.metadata.requires(distribution) or ():
        one = Requirement(text)
        name = canonicalize_name(one.name)
        if one.marker and not one.marker.evaluate({"extra": extra}):
            continue
        for more in one.extras or [""]:
            if name == "reproven":
                needed(name, more, found)
            elif name not in found or more:
                found.add(name)
                needed(name, more, found)
    return found


def test_an_environment_of_mlflow_run_has_the_versions_of_the_lock() -> None:
    dependencies = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    (pins,) = [item["pip"] for item in dependencies if isinstance(item, dict)]
    assert pins[0] == "torch==2.13.0"
    assert dict(pin.split("==") for pin in pins) == {
        name: LOCK[name] for name in {*requirements("search"), *PACKAGES}
    }
    assert "python=3.11" in dependencies


def test_what_is_imported_is_declared() -> None:
    names = {"yaml": "pyyaml", "sklearn": "scikit-learn"}
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        imported |= set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
    third_party = imported - set(sys.stdlib_module_names) - {"reproven"}
    assert {names.get(name, name) for name in third_party} <= set(requirements("search", "dask", "excel"))


#: Of Unix, or of Linux alone.
MISSING = ("fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty")
NO_FUNCTIONS = ("sched_getaffinity", "setpriority", "sysconf", "killpg", "mkfifo", "chown")
NO_SIGNALS = ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "pthread_sigmask")
ELSEWHERE = f"""
import os, pkgutil, signal, sys
import dask, distributed, filelock, mlflow, mlflow.pyfunc, optuna, torch  # they have their own ways

for name in {MISSING}:
    sys.modules[name] = None
for name in {NO_FUNCTIONS}:
    delattr(os, name)
for name in {NO_SIGNALS}:
    delattr(signal, name)
import reproven
for module in pkgutil.walk_packages(reproven.__path__, "reproven."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
signal.SIGKILL = 9  # which subprocess needs here
from reproven.machine import environment
assert environment.processors() == os.cpu_count() and environment.memory() == sys.maxsize
run = reproven.train(reproven.Recipe(epochs=2)).run_id
assert reproven.replay(run).verdict == "IDENTICAL"
"""


@pytest.mark.slow
def test_a_system_without_what_is_linux_s_alone_imports_trains_and_replays() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None
from reproven.cli import main
main(prog_name="reproven")
"""


@pytest.mark.parametrize(
    ("package", "options", "extra"),
    [
        ("optuna", ["--axis", "lr=1e-3..1e-1", "--search", "random", "--trials", "2"], "search"),
        ("optuna", ["--axis", "lr=1e-3,1e-2", "--pruner", "median"], "search"),
        ("distributed", ["--executor", "dask://127.0.0.1:1", "--tracking-uri", "http://127.0.0.1:1"], "dask"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_installs_it(
    package: str, options: list[str], extra: str
) -> None:
    command = [sys.executable, "-c", WITHOUT, package, "sweep", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"Install it: pip install 'reproven[{extra}]'." in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path().glob("mlflow.db"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel, made from the source distribution, and no more."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert len(list(folder.glob("*.tar.gz"))) == 1
    venv.create(folder / "venv", with_pip=True)
    pip = [str(folder / "venv" / "bin" / "pip"), "install", "--quiet"]
    subprocess.run([*pip, f"torch=={LOCK['torch']}"], check=True)
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), str(wheel)], check=True)
    return folder / "venv" / "bin"


REVIVE = """
import sys, reproven
model = reproven.revive(sys.argv[1])
print(type(model).__name__, reproven.__file__)
"""


@pytest.mark.slow
def test_an_empty_environment_trains_replays_and_revives_without_the_repository(installed: Path) -> None:
    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(installed / program), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    trained = json.loads(run("reproven", "train", "--epochs", "3", "--json"))
    assert "IDENTICAL" in run("reproven", "replay", trained["run_id"])
    kind, place = run("python", "-c", REVIVE, trained["run_id"]).split()
    assert kind == "Regressor"
    assert Path(place).is_relative_to(installed.parent)
    assert "SOUND" in run("reproven", "audit", trained["run_id"])
    assert run("reproven", "replay", "--shipped").count("IDENTICAL: ") == 4
    assert run("reproven", "--version").startswith(f"reproven {PROJECT['version']}, torch {LOCK['torch']}")
    about = json.loads(run("reproven", "about", "--json"))
    assert Path(about["shipped"]).is_relative_to(installed.parent)


@pytest.mark.slow
def test_the_two_commands_of_a_new_clone(tmp_path: Path) -> None:
    """They install what they need, and end in what README shows."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    readme = (clone / "README.md").read_text()
    ran = subprocess.run(["make", "run"], cwd=clone, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    for row in re.findall(r"^(?:run|sequential|module) +(?:status|FINISHED) .*$", readme, re.MULTILINE):
        assert row in lines
    assert lines[-1].startswith("Next: make verify")
    verified = subprocess.run(["make", "verify"], cwd=clone, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.count("IDENTICAL: ") == 6
