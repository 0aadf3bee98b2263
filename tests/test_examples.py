"""The examples, as a user who copied one: `mlflow run`, and every promise that the package makes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from programs import ROOT, SOURCE, run
from projects import mlflow_run, only_run
from servers import started

#: The module of each, a batch of its data as a served model takes it, and what its test rows must reach.
EXAMPLES: dict[str, tuple[str, Any, tuple[str, float]]] = {
    "digits": ("digits", {"inputs": np.zeros((2, 1, 8, 8)).tolist()}, ("test_accuracy", 0.97)),
    "penguins": ("nets", "penguins.csv", ("test_accuracy", 0.95)),
    "residual": ("nets", ROOT / "src" / "reproven" / "datasets" / "boston.csv", ("test_r2", 0.8)),
}


class Copied:
    """An example in a folder of its own, and its commands with its module trusted."""

    def __init__(self, name: str, folder: Path, uri: str) -> None:
        self.name, self.folder, self.uri = name, folder, uri
        self.module, self._rows, _ = EXAMPLES[name]
        shutil.copytree(ROOT / "examples" / name, folder)

    def project(self, *arguments: str) -> Any:
        experiment = ("--experiment-name", self.name)
        done = mlflow_run(str(self.folder), "--env-manager", "local", *experiment, *arguments, uri=self.uri)
        assert done.returncode == 0, done.stderr
        return only_run(MlflowClient(self.uri), self.name)

    def ask(self, *arguments: str, code: int = 0, program: Path = SOURCE) -> str:
        variables = {**os.environ, "REPROVEN_STATE": str(self.folder / "state")}
        done = run(program, *arguments, cwd=self.folder, uri=self.uri, env=variables)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def trusting(self, *arguments: str) -> str:
        return self.ask(*arguments, "--trust", self.module)

    def options(self, **settings: Any) -> list[str]:
        """What the project's command gives to `reproven train`."""
        entry = yaml.safe_load((self.folder / "MLproject").read_text())["entry_points"]["main"]
        values = {name: one["default"] for name, one in entry["parameters"].items()} | settings
        program, command, *given = shlex.split(entry["command"].format(**values))
        assert (program, command) == ("reproven", "train")
        return given

    def body(self) -> dict[str, Any]:
        if isinstance(self._rows, dict):
            return self._rows
        table = pd.read_csv(self.folder / self._rows).head(2)
        return {"dataframe_split": json.loads(table.to_json(orient="split", index=False))}


@pytest.fixture
def copied(request: pytest.FixtureRequest, tmp_path: Path, own: str) -> Copied:
    return Copied(request.param, tmp_path / request.param, own)


@pytest.mark.parametrize("copied", ["residual"], indirect=True)
@pytest.mark.slow
def test_an_example_is_run_and_replayed(copied: Copied) -> None:
    made = copied.project("-P", "epochs=1")
    assert made.info.status == "FINISHED"
    untrusted = copied.ask("replay", made.info.run_id, code=2)
    assert untrusted == ""
    assert "IDENTICAL" in copied.trusting("replay", made.info.run_id)


@pytest.mark.slow
@pytest.mark.parametrize("copied", EXAMPLES, indirect=True)
def test_an_example_keeps_every_promise(copied: Copied) -> None:
    made = copied.project()
    metric, least = EXAMPLES[copied.name][2]
    assert made.data.metrics[metric] > least
    run_id = made.info.run_id
    assert "SOUND" in copied.trusting("audit", run_id)
    assert "IDENTICAL" in copied.trusting("replay", run_id)

    folder = Path(made.info.artifact_uri.removeprefix("file://"))
    died = ("logbooks.journal.Journal.put", "40", "ends", "train", *copied.options())
    copied.ask(*died, "--checkpoint-every", "7steps", program=ROOT / "tests" / "killed.py", code=-9)
    (kept,) = json.loads(copied.ask("doctor", "--json", code=1))["runs"]
    again = json.loads(copied.ask("resume", kept["run_id"], "--json", "--trust", copied.module))
    for name in ("losses.csv", "weights.csv", "outcome.json"):
        assert (Path(again["artifact_uri"]) / name).read_bytes() == (folder / name).read_bytes()

    given = copied.options(epochs=3)
    place = given.index("--seed")
    swept = ("sweep", *given[:place], *given[place + 2 :], "--seeds", "0..2", "--jobs", "2")
    assert "6 runs: 6 FINISHED" in copied.ask(*swept, "--experiment", "swept", "--axis", "clip_norm=1,5")
    assert "clip_norm" in copied.ask("compare", "--experiment", "swept")

    promoted = copied.trusting("promote", run_id, "--name", copied.name, "--alias", "champion")
    assert "champion" in promoted
    serve = ("models", "serve", "-m", f"models:/{copied.name}@champion", "--env-manager", "local")
    with started(*serve, ping="ping", uri=copied.uri) as address:
        content = json.dumps(copied.body()).encode()
        request = urllib.request.Request(
            f"{address}/invocations", content, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert len(json.load(answer)["predictions"]) == 2
