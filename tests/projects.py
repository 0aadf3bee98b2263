"""`mlflow run` for the tests, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlflow import MlflowClient


def mlflow_run(*arguments: str, uri: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """`mlflow run` as a user types it, with this interpreter first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri}
    command = [sys.executable, "-m", "mlflow", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, **more)


def only_run(client: MlflowClient, experiment: str) -> Any:
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len(found) == 1
    return found[0]
