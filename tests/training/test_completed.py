"""Completed: whoever trains a recipe and whoever only hands it out fill in the same, in the same process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from reproven import Recipe
from reproven.arithmetic import profiles
from reproven.tables import data
from reproven.training.completed import completed

TRAIN = "reproven.train(reproven.Recipe(epochs=1), tracking_uri=uri, experiment=name).run_id"
SWEEP = (
    "reproven.sweep(reproven.Study(base={'epochs': '1'}), tracking_uri=uri, experiment=name, jobs=1)"
    ".runs[0].run_id"
)


def in_a_process(first: str, calls: tuple[str, ...], uri: str, name: str) -> list[Any]:
    """What a library user's calls return, or the first line of the error, in a fresh process."""
    code = (
        f"import json\n{first}\nimport reproven\nfrom reproven.errors import InvalidInput\n"
        f"uri, name, found = {uri!r}, {name!r}, []\n"
    )
    for call in calls:
        code += f"try:\n    found.append({call})\nexcept InvalidInput as error:\n"
        code += "    found.append(str(error))\n"
    code += "print(json.dumps(found))"
    own = {name: value for name, value in os.environ.items() if name not in profiles.VARIABLES}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("first", "calls", "profile"),
    [
        ("", (SWEEP, TRAIN), "portable"),
        ("", (TRAIN, SWEEP), "portable"),
        ("import torch, reproven; reproven.enter('native')", (SWEEP, TRAIN), "native"),
    ],
)
@pytest.mark.slow
def test_train_and_sweep_mean_the_same_run_whether_torch_is_there_or_not(
    first: str, calls: tuple[str, ...], profile: str, uri: str, client: MlflowClient
) -> None:
    for run_id in in_a_process(first, calls, uri, f"{profile} by both"):
        run = client.get_run(run_id)
        files = Path(run.info.artifact_uri)
        recipe = Recipe.from_json((files / "recipe.json").read_text())
        expected = completed(Recipe(epochs=1, profile=profile)).recipe
        assert run.data.tags["reproven.recipe.sha256"] == recipe.sha256 == expected.sha256
        assert recipe.profile == profile
        assert json.loads((files / "environment.json").read_text())["profile"] == profile


def test_a_recipe_is_completed_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom reproven import Recipe\nfrom reproven.training.completed import completed\n"
        "completed(Recipe())\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.parametrize(
    ("asked", "device", "profile"),
    [
        (None, "cpu", "portable"),
        ("native", "cpu", "native"),
        (None, "cuda", "native"),
        (None, "auto", "portable"),
    ],
)
def test_the_profile_follows_from_recipe_and_device(asked: str | None, device: str, profile: str) -> None:
    assert profiles.chosen(asked, device) == profile


def test_what_is_handed_out_is_the_same_run_and_finds_its_table(tmp_path: Path) -> None:
    frame = data.load("boston")
    path = Path("houses.csv")
    rows = ["a,b", *(f"{x},{y}" for x, y in zip(frame.X[:, 0], frame.y, strict=True))]
    path.write_text("\n".join(rows))
    found = completed(Recipe(data="houses.csv", target="b"))
    assert found.recipe.data == "houses.csv"
    assert found.handed_out.data == str(tmp_path / "houses.csv")
    again = completed(found.handed_out)
    assert again.recipe == found.recipe
    assert completed(Recipe()).handed_out.data == "boston"
