"""Runs for the tests that were stopped at a step, or trained apart, and what is left of one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from forging import Stopped, stop_before
from programs import SOURCE, run
from reproven import Recipe, Trained, train
from reproven.logbooks import shelf
from reproven.logbooks.logbook import Logbook
from reproven.values.metrics import read_metrics

#: What a run's files say of what came out; the others name times, ids or this machine.
OUTCOME = ("losses.csv", "weights.csv", "outcome.json", "histograms.json", "recipe.json", "inputs.json")


@contextmanager
def interrupted(error: type[BaseException] = Stopped) -> Iterator[None]:
    """Expects that a training is stopped."""
    with pytest.raises(error):
        yield


def stopped(recipe: Recipe, step: int, uri: str, **options: Any) -> Logbook:
    """The logbook of a run that was stopped before it recorded a step."""
    before = {book.id for book in shelf.every()}
    with interrupted():
        train(recipe, tracking_uri=uri, watch=stop_before(step), **options)
    (book,) = [book for book in shelf.every() if book.id not in before]
    return book


def outcome(run: Trained) -> dict[str, bytes]:
    folder = Path(run.artifact_uri)
    found = {name: (folder / name).read_bytes() for name in OUTCOME}
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if "images" not in path.parts]
    pictures = [path.name.partition("+timestamp")[0] for path in (folder / "images").iterdir()]
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    tensors = {name: entry.get("tensors") for name, entry in listed.items() if name.endswith(".pth")}
    rows = read_metrics((folder / "metrics.csv").read_text())
    found["metrics"] = repr([(row.key, row.step, row.value) for row in rows]).encode()
    found["files"] = repr((sorted(names), sorted(pictures), tensors)).encode()
    return found


def stored(run: Trained, client: MlflowClient) -> list[Any]:
    """Every value in the store; a gap or a duplicate would show."""
    names = client.get_run(run.run_id).data.metrics
    return [
        (m.key, m.step, m.timestamp, m.value) for n in names for m in client.get_metric_history(run.run_id, n)
    ]


def sent(run: Trained) -> list[Any]:
    rows = read_metrics((Path(run.artifact_uri) / "metrics.csv").read_text())
    return [(row.key, row.step, row.timestamp, row.value) for row in rows]


def metrics_of(model: Any) -> list[Any]:
    """Every value of a logged model, with the dataset that it was measured on."""
    facts = [(m.key, m.value, m.timestamp, m.step, m.dataset_name, m.dataset_digest) for m in model.metrics]
    return sorted(facts)


def train_apart(*arguments: str, uri: str, folder: Path) -> Trained:
    """Trains in a process of its own, from a folder that also holds its logbook."""
    variables = {**os.environ, "REPROVEN_STATE": str(folder / "state")}
    done = run(SOURCE, "train", *arguments, "--json", uri=uri, env=variables, cwd=folder)
    assert done.returncode == 0, done.stderr
    return Trained(**json.loads(done.stdout))
