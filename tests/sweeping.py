"""Sweeps for the tests, and the bits of their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from reproven import Study, Swept
from reproven.sweeps.axes import read_axes

BITS = ("losses.csv", "weights.csv", "outcome.json", "recipe.json", "histograms.json")


def study(*axes: str, epochs: int = 2, **about: Any) -> Study:
    base = {"epochs": str(epochs), **about.pop("base", {})}
    return Study(base=base, axes=read_axes(axes)[0], **about)


def bits(artifact_uri: str) -> dict[str, bytes]:
    """What a run's files say of what came out."""
    return {name: (Path(artifact_uri) / name).read_bytes() for name in BITS}


def bits_of(swept: Swept, client: MlflowClient) -> dict[str, dict[str, bytes]]:
    return {
        run.recipe_sha256: bits(client.get_run(str(run.run_id)).info.artifact_uri)
        for run in swept.runs
        if run.run_id
    }
