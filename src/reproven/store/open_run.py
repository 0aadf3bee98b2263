"""A run in MLflow: what is written goes to the store at once, and may be written twice without harm.

Only `MlflowClient` is used, here and in `store`: MLflow's fluent functions keep global state and draw from
Python's global random numbers, and would record a crash as FINISHED. Neither module imports torch, so that
a run can be looked up before its arithmetic is chosen.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import tempfile
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Dataset as LoggedDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, Schema, TensorSpec

from reproven.errors import Gone, StoreError
from reproven.files import manifest
from reproven.files.columns import CATEGORY, NUMBER
from reproven.own.named import plain_name
from reproven.recipes.choices import CLASSIFICATION
from reproven.recipes.options import spell
from reproven.store.address import without_credentials
from reproven.store.mlmodel import write_mlmodel
from reproven.store.tags import (
    CONTEXT,
    SEAL,
)

if TYPE_CHECKING:
    from reproven.tables.data import Table
    from reproven.tables.split import Dataset
    from reproven.values.metrics import Row

_LONGEST_PARAM = 6000  # MLflow cuts a longer value without a word
_LARGEST_BATCH = 1000  # metrics in one log_batch

os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is for answers
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # nor are a file's bytes a progress
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # about 12 s instead of 4 minutes: what a
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # store does not take now is kept, and sent later
#: What MLflow calls the parts of a split, as contexts of dataset inputs.
_CONTEXTS = {"train": "training", "validation": "validation", "test": "testing"}
for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)


@contextmanager
def asking(what: str, uri: str) -> Iterator[None]:
    """Turns MLflow's errors into ours, naming what was asked and of which store.

    What an interrupt leaves open in the frames that it ends, such as a transaction, is closed at once: a
    notebook keeps them, and whatever asks the store next would find it locked.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        traceback.clear_frames(stop.__traceback__)
        gc.collect()  # they refer to one another
        raise
    except (MlflowException, OSError) as error:  # what requests raises is an OSError too
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        shown = without_credentials(uri)
        kind = Gone if getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST" else StoreError
        raise kind(f"Cannot {what} in the store {shown}: {reason.replace(uri, shown)}") from error


@dataclass
class Run:
    """A run in its store.

    Attributes:
        client: MLflow's client of its store.
        uri: The store's address.
        info: MLflow's own description of it.
        known_params: Params that are there already; their spelling is kept.
        status: As which the run ends where the block that uses it comes to its end.
        end_time: When it ended, in milliseconds since 1970; None takes the moment at which it does.
    """

    client: MlflowClient
    uri: str
    info: Any
    known_params: Mapping[str, str]
    status: str = "FINISHED"
    end_time: int | None = None

    @property
    def id(self) -> str:
        """The run's id, 32 hexadecimal digits."""
        return str(self.info.run_id)

    def describe(self, *, params: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Logs params that are not there yet, and tags; both as text.

        A param that `mlflow run` logged keeps its spelling (`1e-3` for 0.001): MLflow refuses a second.
        """
        new = {key: _spelled(value) for key, value in params.items() if key not in self.known_params}
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

    def log_datasets(self, datasets: Sequence[Mapping[str, str]]) -> None:
        """Logs dataset inputs, each by its name, digest, context, source, schema and profile.

        Where a run of another process logs an equal dataset at the same moment, MLflow refuses one of
        the two; asked again, it finds that dataset. So each dataset may be refused once.
        """
        inputs = []
        for dataset in datasets:
            facts = dict(dataset)
            tags = [InputTag(CONTEXT, facts.pop("context"))]
            inputs.append(DatasetInput(LoggedDataset(**facts), tags))
        with asking(f"log the datasets of the run {self.id}", self.uri):
            for may_be_refused in (*(True for _ in inputs), False):
                try:
                    self.client.log_inputs(self.id, inputs)
                    break
                except MlflowException as error:
                    if not may_be_refused or error.error_code != "BAD_REQUEST":
                        raise

    def upload(self, folder: Path, done: Collection[str] = ()) -> list[str]:
        """Uploads the files of a folder to the run's artifacts.

        Args:
            folder: What is in it must not change any more.
            done: Paths in it that are there already.

        Returns:
            The paths that were uploaded.
        """
        with asking(f"upload artifacts of the run {self.id}", self.uri):
            files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
            new = [name for name, path in files.items() if name not in done and not _is_unfinished(path)]
            for name in new:
                self.client.log_artifact(self.id, str(files[name]), str(Path(name).parent).strip(".") or None)
        return new

    def new_model(self, params: Mapping[str, Any]) -> str:
        """Makes an entry for the run's model, yet without files and metrics, and returns its id.

        Args:
            params: The run's, which become the model's; network and optimizer are its name.
        """
        with asking(f"log the model of the run {self.id}", self.uri):
            entry = self.client.create_logged_model(
                self.info.experiment_id,
                name=f"{params.get('variant') or plain_name(params['network'])}-{params['optimizer']}",
                source_run_id=self.id,
                params={name: spell(value) for name, value in params.items()},
                model_type="classifier" if params.get("task") == CLASSIFICATION else "regressor",
            )
        return str(entry.model_id)

    def unfinished_model(self) -> str | None:
        """The id of an entry that was made and, for all that is known, not filled; None if there is none."""
        with asking(f"find the models of the run {self.id}", self.uri):
            found = self.client.search_logged_models(
                [self.info.experiment_id], f"source_run_id = '{self.id}'"
            )
        return str(found[0].model_id) if found else None

    def fill_model(
        self,
        model_id: str,
        model: Path,
        example: Mapping[str, Any],
        *,
        step: int,
        errors: Sequence[Row],
        datasets: Sequence[Mapping[str, str]],
    ) -> None:
        """Fills an entry with the model that takes raw feature columns, and makes it an output of the run.

        Args:
            model_id: What `new_model` returned.
            model: The pickled regressor.
            example: A few raw rows of the features, as `columns` and `data`.
            step: The step that the weights come from.
            errors: The model's, rows that the run has too: the store keeps one of those that are equal.
            datasets: The run's dataset inputs, each of them what some errors belong to.
        """
        client = self.client
        with asking(f"log the model of the run {self.id}", self.uri):
            entry = client.get_logged_model(model_id)
            with tempfile.TemporaryDirectory(prefix="reproven-") as folder:
                write_mlmodel(Path(folder), model, example, entry=entry)
                seal = manifest.write(Path(folder), manifest.take(Path(folder)))
                client.log_model_artifacts(model_id, folder)
            client.set_logged_model_tags(model_id, {SEAL: seal})
            client.log_batch(self.id, metrics=_of_model(model_id, errors, datasets))
            client.finalize_logged_model(model_id, "READY")
            outputs = client.get_run(self.id).outputs
            if model_id not in [made.model_id for made in (outputs.model_outputs if outputs else [])]:
                client.log_outputs(self.id, [LoggedModelOutput(model_id, step)])  # MLflow takes it once only

    def go_on(self) -> None:
        """Says of a run that had ended that it is running again."""
        if self.info.status != "RUNNING":
            with asking(f"go on with the run {self.id}", self.uri):
                self.client.update_run(self.id, status="RUNNING")

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Ends the run however the block ends: as `status`, or as FAILED or KILLED by what it raised."""
        try:
            yield
        except BaseException as error:
            self.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        self.end(self.status)

    def end(self, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""
        with asking(f"end the run {self.id}", self.uri):
            self.client.set_terminated(self.id, status, end_time=self.end_time)


def dataset_inputs(dataset: Dataset) -> list[dict[str, str]]:
    """The parts of a split as dataset inputs, with the contexts training, validation and testing."""
    table = dataset.table
    schema, width = _dataset_schema(table)
    kind = "http" if table.origin.startswith("http") else "local"
    return [
        {
            "name": table.name,
            "digest": dataset.part_sha256(rows)[:36],  # as much as MLflow keeps
            "context": context,
            "source_type": kind,
            "source": json.dumps({"url" if kind == "http" else "uri": table.origin}),
            "schema": schema,
            "profile": json.dumps({"num_rows": len(rows), "num_elements": len(rows) * width}),
        }
        for context, rows in ((_CONTEXTS[part], rows) for part, rows in dataset.parts.items())
    ]


def _dataset_schema(table: Table) -> tuple[str, int]:
    """A table's columns, or its arrays, as MLflow describes them, and how many numbers a row has."""
    if table.shape is None:
        columns = [ColSpec(kind, name) for name, kind in _kinds(table)]
        return json.dumps({"mlflow_colspec": Schema(columns).to_dict()}), len(columns)
    features = Schema([TensorSpec(table.X.dtype, (-1, *table.shape))])
    targets = Schema([TensorSpec(table.y.dtype, (-1, *table.y.shape[1:]))])
    both = {"features": features.to_json(), "targets": targets.to_json()}
    return json.dumps({"mlflow_tensorspec": both}), math.prod(table.shape) + len(table.targets)


def _kinds(table: Table) -> list[tuple[str, str]]:
    """A table's columns by name, with MLflow's types."""
    if table.schema is None:
        return [(name, "double") for name in (*table.features, table.target)]
    columns = (*table.schema.features, *table.schema.targets)
    return [
        (column.name, {NUMBER: "double", CATEGORY: "string"}.get(column.kind, "datetime"))
        for column in columns
    ]


def _of_model(model_id: str, errors: Sequence[Row], datasets: Sequence[Mapping[str, str]]) -> list[Metric]:
    """Errors as a model's metrics, each with the dataset of the rows that it was measured on."""
    by_context = {dataset["context"]: dataset for dataset in datasets}
    by_part = {part: by_context.get(context, {}) for part, context in _CONTEXTS.items()}
    found = []
    for row in errors:
        about = by_part[row.key.partition("_")[0]]
        named = {"dataset_name": about.get("name"), "dataset_digest": about.get("digest")}
        found.append(Metric(row.key, row.value, row.timestamp, row.step, model_id, **named))
    return found


def _is_unfinished(path: Path) -> bool:
    """Whether a path is a folder, or a file that is being written."""
    return not path.is_file() or (path.name.startswith(".") and path.name.endswith(".new"))


def _spelled(value: Any) -> str:
    """A param's value as text, whole or cut where MLflow would do it without a word."""
    text = spell(value)
    if len(text) > _LONGEST_PARAM:
        return f"{text[: _LONGEST_PARAM - 40]}… (whole in recipe.json)"
    return text
