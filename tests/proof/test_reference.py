"""The bundles that are shipped: whole, sealed, without a path of a machine, and still true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Cli
from reproven import audit, seal
from reproven.values.snapshot import Snapshot

REFERENCE = ROOT / "src" / "reproven" / "reference"
BUNDLES = sorted(path for path in REFERENCE.iterdir() if path.is_dir())


def test_the_notebook_s_experiments_are_there() -> None:
    names = ["adam-layer-rates", "module-adam-arm64", "module-sgd", "sequential-sgd"]
    assert [path.name for path in BUNDLES] == names


def test_each_is_still_true_to_the_bit(cli: Cli) -> None:
    done = cli("replay", "--shipped", "--json")  # wherever the package is
    found = json.loads(done.stdout)["replays"]
    assert [(v["verdict"], v["name"]) for v in found] == [("IDENTICAL", path.name) for path in BUNDLES]
    assert done.returncode == 0


def test_one_was_recorded_on_another_architecture_by_another_torch() -> None:
    environment = json.loads((REFERENCE / "module-adam-arm64" / "environment.json").read_text())
    assert environment["machine"] == "aarch64"
    assert environment["torch"]["version"] == "2.9.1+cpu"


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.name)
def test_each_is_what_the_table_of_seals_says(path: Path) -> None:
    (row,) = re.findall(rf"\| \[{path.name}\].*`([0-9a-f]{{64}})` \|", (REFERENCE / "README.md").read_text())
    found = audit(str(path), seal=row)
    assert (found.findings, found.notes) == ((), ())
    assert seal(str(path)) == row


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.name)
def test_each_was_made_from_a_commit_that_can_be_had(path: Path) -> None:
    snapshot = Snapshot.read((path / "run.json").read_text())
    assert snapshot.tags["mlflow.source.git.dirty"] == "false"
    assert json.loads((path / "inputs.json").read_text())["code"]["patch_sha256"] is None


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.name)
def test_none_has_a_path_of_the_machine_that_made_it(path: Path) -> None:
    for file in path.rglob("*"):
        if file.is_file():
            assert not re.search(rb"/(home|root|tmp|work|Users|usr)/\w", file.read_bytes()), file


def test_both_variants_have_the_same_losses_and_weights() -> None:
    outcomes = [
        json.loads((REFERENCE / n / "outcome.json").read_text()) for n in ("module-sgd", "sequential-sgd")
    ]
    assert outcomes[0]["epoch_weights"] == outcomes[1]["epoch_weights"]
    assert (REFERENCE / "module-sgd/losses.csv").read_text() == (
        REFERENCE / "sequential-sgd/losses.csv"
    ).read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("cpu", ["Haswell-v4", "Opteron_G5"])
def test_each_is_true_on_another_cpu(cpu: str) -> None:
    """The whole replay on an emulated CPU: store, training, comparison and verdict."""
    command = ["qemu-x86_64", "-cpu", cpu, sys.executable, str(ROOT / "src"), "replay", *map(str, BUNDLES)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [v["verdict"] for v in json.loads(done.stdout)["replays"]] == ["IDENTICAL"] * len(BUNDLES)
