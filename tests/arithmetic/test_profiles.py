"""Portable arithmetic: the same bits on every CPU model, and nothing else that changes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reproven
from conftest import ROOT, Cli
from reproven import Recipe, train
from reproven.arithmetic import operations, profiles
from reproven.errors import InvalidInput

DIGESTS = ROOT / "tests" / "cpu_digests.py"
CPUS = ("Haswell-v4", "SandyBridge", "EPYC-Rome", "Opteron_G5", "Skylake-Server", "max")
Digests = dict[str, dict[str, str]]


def digests(*arguments: str, cpu: str | None = None, cwd: Path = ROOT, **variables: str) -> Digests:
    """What cpu_digests.py prints in a process of its own, on this machine's CPU or an emulated one."""
    emulator = ["qemu-x86_64", "-cpu", cpu] if cpu else []
    command = [*emulator, sys.executable, str(DIGESTS), *arguments]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    found: Digests = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def here() -> Digests:
    return digests()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Digests:
    """The quick ones, of a process in another folder."""
    return digests("--quick", cwd=tmp_path_factory.mktemp("elsewhere"))


def test_quick_digests_are_among_the_whole(here: Digests, elsewhere: Digests) -> None:
    assert len(here) > 2 * len(elsewhere)
    assert elsewhere.items() <= here.items()


def test_readme_shows_the_digests_of_this_machine_too(here: Digests) -> None:
    names = ("sgd module", "adam module", "adamw module rich", "rmsprop module rich")
    row = " | ".join(f"`{here[name]['final weights'][:12]}`" for name in names)
    assert (ROOT / "README.md").read_text().count(f"| {row} |") == 7


@pytest.mark.usefixtures("emulator")
def test_another_cpu_ends_in_the_same_bits(here: Digests) -> None:
    """The one that has least in common with those of today; the test below takes others, and all digests."""
    assert digests("--quick", cpu="Opteron_G5").items() <= here.items()


@pytest.mark.slow
@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("cpu", CPUS)
def test_every_cpu_ends_in_the_same_bits(cpu: str, here: Digests) -> None:
    assert digests(cpu=cpu) == here


@pytest.mark.slow
@pytest.mark.usefixtures("emulator")
def test_native_arithmetic_does_depend_on_the_cpu() -> None:
    """Otherwise the tests above would show nothing: two models of one maker end in other bits."""
    found = [digests("--quick", "--profile", "native", cpu=cpu) for cpu in ("Haswell-v4", "SandyBridge")]
    assert found[0]["sgd module"]["final weights"] != found[1]["sgd module"]["final weights"]


USERS_VARIABLES: list[dict[str, Any]] = [
    {"OMP_NUM_THREADS": "7", "MKL_NUM_THREADS": "3"},
    {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
    {"MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "true", "OPENBLAS_NUM_THREADS": "2"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C"},
]


ALL_AT_ONCE = {name: value for variables in USERS_VARIABLES for name, value in variables.items()}


@pytest.mark.parametrize(
    "variables", [ALL_AT_ONCE, *(pytest.param(each, marks=pytest.mark.slow) for each in USERS_VARIABLES)]
)
def test_variables_of_the_user_change_no_bit(variables: dict[str, Any], here: Digests) -> None:
    assert digests("--quick", **variables).items() <= here.items()


def test_the_working_directory_changes_no_bit(here: Digests, elsewhere: Digests) -> None:
    assert elsewhere.items() <= here.items()


@pytest.mark.slow
def test_in_portable_arithmetic_sgd_is_still_a_stock_loop_s() -> None:
    which = ("-k", "sgd or notebook or lr", "tests/training/test_loop.py")
    command = [sys.executable, "-m", "pytest", "-q", *which]
    environment = {**os.environ, **profiles.PORTABLE_VARIABLES}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


def test_the_square_root_is_correctly_rounded() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(100_000, generator=generator) * 10 ** (torch.rand(100_000, generator=generator) * 60 - 30)
    expected = np.sqrt(x.numpy().astype(np.longdouble)).astype(np.float32)
    assert np.array_equal(operations.sqrt(profiles.PORTABLE)(x).numpy(), expected)


def test_the_command_line_is_portable_by_default(fresh_cli: Cli) -> None:
    for arguments, profile in (((), "portable"), (("--profile", "native"), "native")):
        done = fresh_cli("train", "--epochs", "1", "--json", "--experiment", "profiles", *arguments)
        said = json.loads(done.stdout)
        assert said["profile"] == profile
        files = Path(said["artifact_uri"])
        assert Recipe.from_json((files / "recipe.json").read_text()).profile == profile
        environment: dict[str, Any] = json.loads((files / "environment.json").read_text())
        assert environment["profile"] == profile
        branch = environment["torch"]["mkl_cbwr_branch"]
        assert (branch == 3) == (profile == "portable")


@pytest.mark.skipif(profiles.in_force() == profiles.PORTABLE, reason="this process is portable")
def test_a_process_that_imported_torch_records_what_it_is(uri: str) -> None:
    run = train(Recipe(epochs=1), tracking_uri=uri, experiment="profiles")
    recipe = Recipe.from_json((Path(run.artifact_uri) / "recipe.json").read_text())
    assert (run.profile, recipe.profile) == ("native", "native")
    with pytest.raises(InvalidInput, match=r"this process computes in the native one. Call reproven\.enter"):
        train(Recipe(epochs=1, profile="portable"), tracking_uri=uri)


def test_enter_makes_a_fresh_process_portable() -> None:
    code = (
        "import reproven; reproven.enter('portable')\n"
        "from reproven.arithmetic import profiles; print(profiles.in_force())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "portable\n"


@pytest.mark.skipif(profiles.in_force() == profiles.PORTABLE, reason="this process is portable")
def test_enter_refuses_where_it_comes_too_late() -> None:
    with pytest.raises(InvalidInput, match=r"native one. Call reproven\.enter\('portable'\) before anything"):
        reproven.enter("portable")
    reproven.enter("native")


def test_enter_refuses_a_profile_that_there_is_not() -> None:
    with pytest.raises(InvalidInput, match="profile is 'portabel', but must be one of portable, native"):
        reproven.enter("portabel")


def test_portable_arithmetic_is_for_the_cpu() -> None:
    with pytest.raises(InvalidInput, match="profile is portable, but device is cuda"):
        Recipe(profile="portable", device="cuda")
