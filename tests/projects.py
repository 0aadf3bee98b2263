"""`mlflow run` for the tests, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from programs import MLFLOW, run


def mlflow_run(*arguments: str, uri: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """`mlflow run` as a user types it, with this interpreter first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return run(MLFLOW, "run", *arguments, uri=uri, env={**os.environ, "PATH": path}, **more)


def edit_losses(clone: Path) -> None:
    """Edits a clone's training so that the losses of perceptrons are half as large again."""
    training = clone / "src" / "reproven" / "training" / "losses.py"
    text, told = training.read_text(), "return float(value), slope."
    assert text.count(told) == 1
    training.write_text(text.replace(told, "return float(value + value / 2), (slope + slope / 2)."))


def only_run(client: MlflowClient, experiment: str) -> Any:
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len(found) == 1
    return found[0]
