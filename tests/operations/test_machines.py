"""The same bits on other machines: processors, architectures, versions of torch, numbers of threads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest

import arm64
from conftest import ROOT

OPERATING = ROOT / "tests" / "operating.py"
#: From SSE alone to AVX2 with FMA; which kernels run follows from them.
MODELS = ("Nehalem", "SandyBridge", "Opteron_G5", "Haswell-v4")
#: What makes libraries take other kernels, and other orders of additions.
OTHERWISE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OPENBLAS_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F",
}


NONE: Mapping[str, str] = MappingProxyType({})


def digests(*options: str, before: Sequence[str] = (), variables: Mapping[str, str] = NONE) -> dict[str, str]:
    """What operating.py prints in a process of its own."""
    command = [*before, sys.executable, str(OPERATING), *options]
    return read(command, {**os.environ, **variables})


def read(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    return digests("2")


def test_other_kernels_and_threads_change_no_bit(here: dict[str, str]) -> None:
    assert digests("1", variables=OTHERWISE) == here


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "4"])
def test_any_number_of_threads_changes_no_bit(threads: str, here: dict[str, str]) -> None:
    assert digests(threads) == here


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-x86_64")
@pytest.mark.parametrize("model", MODELS)
def test_any_processor_ends_in_the_same_bits(model: str, here: dict[str, str]) -> None:
    assert digests(before=("qemu-x86_64", "-cpu", model)) == here


@pytest.mark.slow
@pytest.mark.skipif(bool(arm64.missing()), reason=arm64.missing() or "all is there")
@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_arm64_and_an_older_torch_end_in_the_same_bits(threads: str, here: dict[str, str]) -> None:
    command, environment = arm64.python()
    assert read([*command, str(OPERATING), threads], environment) == here


@pytest.mark.slow
def test_torch_as_it_comes_has_other_bits_with_other_kernels() -> None:
    """Or this proof could not fail."""
    assert digests("--native", "2") != digests("--native", "1", variables=OTHERWISE)
