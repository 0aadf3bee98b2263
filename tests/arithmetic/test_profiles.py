"""Portable arithmetic: the same bits on every CPU model, and nothing else that changes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import arm64
import reproven
from conftest import ROOT, Cli
from reproven import Recipe, train
from reproven.errors import InvalidInput

DIGESTS = ROOT / "tests" / "cpu_digests.py"
CPUS = ("Haswell-v4", "SandyBridge", "EPYC-Rome", "Opteron_G5", "Skylake-Server", "max")
Digests = dict[str, dict[str, str]]


def digests(
    *arguments: str, cpu: str | None = None, cwd: Path = ROOT, variables: Mapping[str, str] | None = None
) -> Digests:
    """What cpu_digests.py prints in a process of its own, on this machine's CPU or an emulated one."""
    emulator = ["qemu-x86_64", "-cpu", cpu] if cpu else []
    command = [*emulator, sys.executable, str(DIGESTS), *arguments]
    environment = {**os.environ, **(variables or {})}
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
    assert (ROOT / "docs" / "explanation" / "portable.md").read_text().count(f"| {row} |") == 8


@pytest.mark.slow
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


#: What a user's machine may have set.
OTHERWISE = {
    "OMP_NUM_THREADS": "7",
    "MKL_NUM_THREADS": "3",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_DYNAMIC": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Nehalem",
    "LC_ALL": "C",
    "PYTHONHASHSEED": "1",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F",
}


def test_variables_of_the_user_change_no_bit(here: Digests) -> None:
    assert digests("--quick", variables=OTHERWISE).items() <= here.items()


def test_the_working_directory_changes_no_bit(here: Digests, elsewhere: Digests) -> None:
    assert elsewhere.items() <= here.items()


@pytest.mark.slow
@pytest.mark.skipif(bool(arm64.missing()), reason=arm64.missing() or "all is there")
@pytest.mark.parametrize("threads", ["1", "4"])
def test_arm64_with_an_older_torch_ends_in_the_same_bits(threads: str, here: Digests) -> None:
    command, environment = arm64.python()
    environment |= {"OMP_NUM_THREADS": threads}
    done = subprocess.run(
        [*command, str(DIGESTS)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == here


def test_the_command_line_is_portable_by_default(cli: Cli) -> None:
    for arguments, profile in (((), "portable"), (("--profile", "native"), "native")):
        done = cli("train", "--epochs", "1", "--json", "--experiment", "profiles", *arguments)
        said = json.loads(done.stdout)
        assert said["profile"] == profile
        files = Path(said["artifact_uri"])
        assert Recipe.from_json((files / "recipe.json").read_text()).profile == profile
        environment: dict[str, Any] = json.loads((files / "environment.json").read_text())
        assert environment["profile"] == profile
        assert environment.get("arithmetic") == ("nearest float32" if profile == "portable" else None)


def test_a_process_that_imported_torch_is_portable_too(uri: str) -> None:
    for asked, profile in ((None, "portable"), ("native", "native"), ("portable", "portable")):
        run = train(Recipe(epochs=1, profile=asked), tracking_uri=uri, experiment="profiles")
        recipe = Recipe.from_json((Path(run.artifact_uri) / "recipe.json").read_text())
        assert (run.profile, recipe.profile) == (profile, profile)


def test_enter_says_what_is_usual_in_a_process(uri: str) -> None:
    reproven.enter("native")
    try:
        assert train(Recipe(epochs=1), tracking_uri=uri, experiment="profiles").profile == "native"
        asked = Recipe(epochs=1, profile="portable")
        assert train(asked, tracking_uri=uri, experiment="profiles").profile == "portable"
    finally:
        reproven.enter("portable")
    assert train(Recipe(epochs=1), tracking_uri=uri, experiment="profiles").profile == "portable"


def test_enter_refuses_a_profile_that_there_is_not() -> None:
    with pytest.raises(InvalidInput, match="profile is 'portabel', but must be one of portable, native"):
        reproven.enter("portabel")


def test_portable_arithmetic_is_for_the_cpu() -> None:
    with pytest.raises(InvalidInput, match="profile is portable, but device is cuda"):
        Recipe(profile="portable", device="cuda")
