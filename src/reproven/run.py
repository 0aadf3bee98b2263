"""An open run in MLflow: what is written goes to the store at once.

Only `MlflowClient` is used, here and in `store`: MLflow's fluent functions keep global state and draw from
Python's global random numbers, and would record a crash as FINISHED. Neither module imports torch, so that
a run can be looked up before its arithmetic is chosen.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Dataset as LoggedDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from mlflow.types import ColSpec, Schema
from mlflow.utils.mlflow_tags import MLFLOW_GIT_BRANCH, MLFLOW_GIT_COMMIT, MLFLOW_GIT_DIRTY

from reproven import manifest
from reproven.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from reproven.data import Dataset
    from reproven.environment import CodeState
    from reproven.networks import Regressor
    from reproven.page import Row

PREFIX = "reproven."  # of every tag that is ours
ORIGIN = f"{PREFIX}data.origin"
RECIPE_TAG = f"{PREFIX}recipe.sha256"
SEAL = f"{PREFIX}seal"  # digest of the manifest
REPLAY_OF = f"{PREFIX}replay.of"  # on a replay: the run that it replays
REPLAYED = f"{PREFIX}replayed."  # on a run, with the replay's id: that replay's verdict
VERDICT = f"{PREFIX}verdict"  # on a replay; on a run, the last one
IMAGES = "images"  # where log_image puts them
DESCRIPTION = "mlflow.note.content"
CONTEXT = "mlflow.data.context"
_LONGEST_PARAM = 6000  # MLflow cuts a longer value without a word
_LARGEST_BATCH = 1000  # metrics in one log_batch

os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is for answers
for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)


@contextmanager
def asking(what: str, uri: str) -> Iterator[None]:
    """Turns MLflow's errors into ours, naming what was asked and of which store."""
    try:
        yield
    except MlflowException as error:
        reason = str(error).strip().splitlines()[0]
        shown = without_credentials(uri)
        raise StoreError(f"Cannot {what} in the store {shown}: {reason.replace(uri, shown)}") from error


def without_credentials(uri: str) -> str:
    """A store's address without user and password, for messages and records."""
    return re.sub(r"//[^/@]*@", "//", uri)


@dataclass
class Run:
    """An open run: what is written goes to the store at once, but for metrics (see `Sender`).

    Attributes:
        client: MLflow's client of its store.
        uri: The store's address.
        info: MLflow's own description of it.
        known_params: Params that are there already; their spelling is kept.
        failed: Ends the run as FAILED where the block that uses it comes to its end.
        uploaded: Paths of the artifacts that are there already.
        end_time: When it ended, in milliseconds since 1970; None takes the moment at which it does.
    """

    client: MlflowClient
    uri: str
    info: Any
    known_params: Mapping[str, str]
    failed: bool = False
    end_time: int | None = None
    uploaded: set[Path] = field(default_factory=set)

    @property
    def id(self) -> str:
        """The run's id, 32 hexadecimal digits."""
        return str(self.info.run_id)

    def describe(self, *, params: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Logs params that are not there yet, and tags; both as text.

        A param that `mlflow run` logged keeps its spelling (`1e-3` for 0.001): MLflow refuses a second.
        """
        new = {key: spell(value) for key, value in params.items() if key not in self.known_params}
        with asking(f"describe the run {self.id}", self.uri):
            self.client.log_batch(
                self.id,
                params=[Param(key, value) for key, value in new.items()],
                tags=[RunTag(key, str(value)) for key, value in tags.items()],
            )

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Logs metrics with their own times, in batches."""
        with asking(f"log metrics of the run {self.id}", self.uri):
            for first in range(0, len(rows), _LARGEST_BATCH):
                batch = [
                    Metric(row.key, row.value, row.timestamp, row.step)
                    for row in rows[first : first + _LARGEST_BATCH]
                ]
                self.client.log_batch(self.id, metrics=batch)

    def log_code_state(self, code: CodeState | None) -> None:
        """Tags the run with the commit that its code comes from, by MLflow's own tag names."""
        if code is not None:
            tags = {MLFLOW_GIT_COMMIT: code.commit, MLFLOW_GIT_DIRTY: str(code.dirty).lower()}
            self.describe(params={}, tags=tags | ({MLFLOW_GIT_BRANCH: code.branch} if code.branch else {}))

    def log_dataset(self, dataset: Dataset) -> None:
        """Logs both parts of a split as dataset inputs, with the contexts training and testing."""
        table = dataset.table
        columns = [ColSpec("double", name) for name in (*table.features, table.target)]
        kind = "http" if table.origin.startswith("http") else "local"
        parts = {"training": dataset.train_rows, "testing": dataset.test_rows}
        inputs = [
            {
                "name": table.name,
                "digest": dataset.part_sha256(rows)[:36],  # as much as MLflow keeps
                "context": context,
                "source_type": kind,
                "source": json.dumps({"url" if kind == "http" else "uri": table.origin}),
                "schema": json.dumps({"mlflow_colspec": Schema(columns).to_dict()}),
                "profile": json.dumps({"num_rows": len(rows), "num_elements": len(rows) * len(columns)}),
            }
            for context, rows in parts.items()
            if len(rows)
        ]
        self.log_datasets(inputs)

    def log_datasets(self, datasets: Sequence[Mapping[str, str]]) -> None:
        """Logs dataset inputs, each by its name, digest, context, source, schema and profile."""
        inputs = []
        for dataset in datasets:
            facts = dict(dataset)
            tags = [InputTag(CONTEXT, facts.pop("context"))]
            inputs.append(DatasetInput(LoggedDataset(**facts), tags))
        with asking(f"log the datasets of the run {self.id}", self.uri):
            self.client.log_inputs(self.id, inputs)

    def log_image(self, pixels: np.ndarray, *, key: str, step: int) -> None:
        """Logs an image, (height, width, 4) uint8, so that the UI shows it over time, by key and step."""
        with asking(f"log an image of the run {self.id}", self.uri):
            self.client.log_image(self.id, pixels, key=key, step=step, synchronous=True)

    def upload(self, folder: Path) -> None:
        """Uploads what is new in a folder to the run's artifacts; what is uploaded must not change."""
        with asking(f"upload artifacts of the run {self.id}", self.uri):
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                inner = path.relative_to(folder)
                if inner not in self.uploaded:
                    parent = None if inner.parent == Path() else inner.parent.as_posix()
                    self.client.log_artifact(self.id, str(path), parent)
                    self.uploaded.add(inner)

    def log_model(self, regressor: Regressor, example: pd.DataFrame, *, step: int) -> str:
        """Logs the model that takes raw feature columns, as a LoggedModel of the run.

        Args:
            regressor: On the CPU.
            example: A few raw rows of the features, float64.
            step: The step that the weights come from.

        Returns:
            The model's `models:/` URI.
        """
        from reproven.mlmodel import write_mlmodel  # imports torch

        client = self.client
        with asking(f"log the model of the run {self.id}", self.uri):
            entry = client.create_logged_model(
                self.info.experiment_id, name="model", source_run_id=self.id, model_type="regressor"
            )
            with tempfile.TemporaryDirectory(prefix="reproven-") as folder:
                write_mlmodel(Path(folder), regressor, example, entry=entry)
                seal = manifest.write(Path(folder), manifest.take(Path(folder)))
                client.log_model_artifacts(entry.model_id, folder)
            client.set_logged_model_tags(entry.model_id, {SEAL: seal})
            client.finalize_logged_model(entry.model_id, "READY")
            client.log_outputs(self.id, [LoggedModelOutput(entry.model_id, step)])
        return f"models:/{entry.model_id}"

    def register(self, model_uri: str, name: str, alias: str | None) -> str:
        """Registers a logged model as a new version, points an alias at it, and returns the version."""
        client = self.client
        with asking(f"register the model {name!r}", self.uri):
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            with _use_tracking_uri(self.uri):  # MLflow asks the global one, whatever the client's
                made = client.create_model_version(
                    name, source=model_uri, run_id=self.id, model_id=model_uri.removeprefix("models:/")
                )
            if alias:
                client.set_registered_model_alias(name, alias, made.version)
        return str(made.version)

    def end(self, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""
        with asking(f"end the run {self.id}", self.uri):
            self.client.set_terminated(self.id, status, end_time=self.end_time)


def spell(value: Any) -> str:
    """A param's value as text: lists with commas, pairs with =, true and false in lower case."""
    if isinstance(value, dict):
        text = ",".join(f"{key}={item}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        text = ",".join(str(item) for item in value)
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    if len(text) > _LONGEST_PARAM:
        return f"{text[: _LONGEST_PARAM - 40]}… (whole in recipe.json)"
    return text
