"""MLflow: the one module that talks to the tracking store, the artifact store and the registry.

Only `MlflowClient` is used: MLflow's fluent functions keep global state and draw from Python's global
random numbers, and would record a crash as FINISHED.
"""

from __future__ import annotations

import getpass
import json
import logging
import math
import os
import queue
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset as LoggedDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from mlflow.types import ColSpec, Schema
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_BRANCH,
    MLFLOW_GIT_COMMIT,
    MLFLOW_GIT_DIRTY,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from reproven.errors import StoreError, name_among
from reproven.mlmodel import write_mlmodel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from reproven.data import Dataset
    from reproven.environment import CodeState
    from reproven.networks import Regressor

PREFIX = "reproven."  # of every tag that is ours
DESCRIPTION = "mlflow.note.content"
_LONGEST_PARAM = 6000  # MLflow cuts a longer value without a word
_LARGEST_BATCH = 1000  # metrics in one log_batch
_SECONDS_BETWEEN_SENDINGS = 1.0
_PATIENCE = 0.25  # seconds at most that training waits for a full batch

os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is for answers
for _noisy in ("mlflow", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)


@contextmanager
def _asking(what: str, uri: str) -> Iterator[None]:
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


class Store:
    """A tracking store with its registry.

    Args:
        uri: Tracking URI; None takes MLflow's own choice (MLFLOW_TRACKING_URI, or mlflow.db here).

    Raises:
        StoreError: There is no such store, or it cannot be opened.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri or mlflow.get_tracking_uri()
        with _asking("open anything", self.uri):
            self.client = MlflowClient(tracking_uri=self.uri)

    @contextmanager
    def run(self, *, experiment: str, name: str) -> Iterator[Run]:
        """Opens a run, or adopts the one that `mlflow run` made; ends it however the block ends.

        Args:
            experiment: The experiment's name; made where there is none of that name.
            name: The run's name; an adopted run keeps its own.

        Raises:
            StoreError: The store refuses, or MLFLOW_RUN_ID names a run that has ended.
        """
        run = self._adopt(os.environ["MLFLOW_RUN_ID"]) if "MLFLOW_RUN_ID" in os.environ else None
        run = run or self._create(experiment, name)
        try:
            yield run
        except BaseException as error:
            run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        run.end("FAILED" if run.failed else "FINISHED")

    def _create(self, experiment: str, name: str) -> Run:
        with _asking(f"create a run in the experiment {experiment!r}", self.uri):
            found = self.client.get_experiment_by_name(experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                raise StoreError(
                    f"The experiment {experiment!r} is deleted. Restore it, or name another --experiment."
                )
            experiment_id = found.experiment_id if found else self._create_experiment(experiment)
            tags = {
                MLFLOW_USER: getpass.getuser(),
                MLFLOW_SOURCE_NAME: Path(sys.argv[0]).name,
                MLFLOW_SOURCE_TYPE: "LOCAL",
            }
            created = self.client.create_run(experiment_id, tags=tags, run_name=name)
        return Run(self, created.info, {})

    def _create_experiment(self, name: str) -> str:
        try:
            return str(self.client.create_experiment(name))
        except MlflowException:  # another process may have made it in between
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _adopt(self, run_id: str) -> Run:
        with _asking(f"adopt the run {run_id} that MLFLOW_RUN_ID names", self.uri):
            found = self.client.get_run(run_id)
        if found.info.status not in ("RUNNING", "SCHEDULED"):
            raise StoreError(
                f"MLFLOW_RUN_ID names the run {run_id}, which is {found.info.status}. Unset the variable."
            )
        return Run(self, found.info, found.data.params)

    def recent_runs(self, experiment: str, *, last: int) -> list[Summary]:
        """The newest runs of an experiment, newest first.

        Raises:
            StoreError: There is no such experiment.
        """
        with _asking(f"list the runs of {experiment!r}", self.uri):
            found = self.client.get_experiment_by_name(experiment)
            if found is None:
                names = [item.name for item in self.client.search_experiments()]
                where = f"The store {without_credentials(self.uri)}"
                raise StoreError(f"{where} has no experiment {experiment!r}. {name_among(experiment, names)}")
            runs = self.client.search_runs([found.experiment_id], max_results=last)
        return [
            Summary(
                run_id=run.info.run_id,
                name=run.info.run_name,
                status=run.info.status,
                metrics=run.data.metrics,
                artifact_uri=run.info.artifact_uri,
            )
            for run in runs
        ]

    def download(self, source: str, path: str | None = None) -> Path:
        """Fetches a run's artifact or a registered model; local ones are not copied.

        Args:
            source: A run id, `runs:/…` or `models:/…`.
            path: The artifact's path in the run; a model is fetched whole.

        Raises:
            StoreError: There is none of that name.
        """
        with _asking(f"find {source}", self.uri):
            if source.startswith("models:/"):
                uri = source
            else:
                run_id, _, inner = source.removeprefix("runs:/").partition("/")
                uri = f"runs:/{run_id}/{inner or path}"
            try:
                with _use_tracking_uri(self.uri):  # models:/ is looked up in the global one
                    return Path(mlflow.artifacts.download_artifacts(uri, tracking_uri=self.uri))
            except OSError as error:
                shown = without_credentials(self.uri)
                raise StoreError(f"{uri} is not in the store {shown}: {error}") from error

    def model_of_run(self, run_id: str) -> str:
        """The `models:/` URI of the model that a run logged.

        Raises:
            StoreError: There is no such run, or it logged none.
        """
        with _asking(f"find the run {run_id}", self.uri):
            outputs = self.client.get_run(run_id).outputs
        if not outputs or not outputs.model_outputs:
            raise StoreError(f"The run {run_id} has logged no model. Give one that ended as FINISHED.")
        return f"models:/{outputs.model_outputs[-1].model_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run in a few words: its id, name, status, last metrics and the place of its files."""

    run_id: str
    name: str
    status: str
    metrics: dict[str, float]
    artifact_uri: str


@dataclass
class Run:
    """An open run: what is written goes to the store at once, but for metrics (see `Sender`).

    Attributes:
        store: The store that it is in.
        info: MLflow's own description of it.
        known_params: Params that are there already; their spelling is kept.
        failed: Ends the run as FAILED where the block that uses it comes to its end.
    """

    store: Store
    info: Any
    known_params: Mapping[str, str]
    failed: bool = False

    @property
    def id(self) -> str:
        """The run's id, 32 hexadecimal digits."""
        return str(self.info.run_id)

    def describe(self, *, params: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        """Logs params that are not there yet, and tags; both as text.

        A param that `mlflow run` logged keeps its spelling (`1e-3` for 0.001): MLflow refuses a second.
        """
        new = {key: spell(value) for key, value in params.items() if key not in self.known_params}
        with _asking(f"describe the run {self.id}", self.store.uri):
            self.store.client.log_batch(
                self.id,
                params=[Param(key, value) for key, value in new.items()],
                tags=[RunTag(key, str(value)) for key, value in tags.items()],
            )

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
        inputs = []
        for context, rows in (("training", dataset.train_rows), ("testing", dataset.test_rows)):
            entity = LoggedDataset(
                name=table.name,
                digest=dataset.part_sha256(rows)[:36],  # as much as MLflow keeps
                source_type=kind,
                source=json.dumps({"url" if kind == "http" else "uri": table.origin}),
                schema=json.dumps({"mlflow_colspec": Schema(columns).to_dict()}),
                profile=json.dumps({"num_rows": len(rows), "num_elements": len(rows) * len(columns)}),
            )
            if len(rows):
                inputs.append(DatasetInput(entity, [InputTag("mlflow.data.context", context)]))
        with _asking(f"log the datasets of the run {self.id}", self.store.uri):
            self.store.client.log_inputs(self.id, inputs)

    def log_image(self, pixels: np.ndarray, *, key: str, step: int) -> None:
        """Logs an image, (height, width, 4) uint8, so that the UI shows it over time, by key and step."""
        with _asking(f"log an image of the run {self.id}", self.store.uri):
            self.store.client.log_image(self.id, pixels, key=key, step=step, synchronous=True)

    def upload(self, folder: Path) -> None:
        """Uploads everything in a folder to the run's artifacts."""
        with _asking(f"upload artifacts of the run {self.id}", self.store.uri):
            self.store.client.log_artifacts(self.id, str(folder))

    def log_model(self, regressor: Regressor, example: pd.DataFrame, *, step: int) -> str:
        """Logs the model that takes raw feature columns, as a LoggedModel of the run.

        Args:
            regressor: On the CPU.
            example: A few raw rows of the features, float64.
            step: The step that the weights come from.

        Returns:
            The model's `models:/` URI.
        """
        client = self.store.client
        with _asking(f"log the model of the run {self.id}", self.store.uri):
            entry = client.create_logged_model(
                self.info.experiment_id, name="model", source_run_id=self.id, model_type="regressor"
            )
            with tempfile.TemporaryDirectory(prefix="reproven-") as folder:
                write_mlmodel(Path(folder), regressor, example, entry=entry)
                client.log_model_artifacts(entry.model_id, folder)
            client.finalize_logged_model(entry.model_id, "READY")
            client.log_outputs(self.id, [LoggedModelOutput(entry.model_id, step)])
        return f"models:/{entry.model_id}"

    def register(self, model_uri: str, name: str, alias: str | None) -> str:
        """Registers a logged model as a new version, points an alias at it, and returns the version."""
        client = self.store.client
        with _asking(f"register the model {name!r}", self.store.uri):
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            with _use_tracking_uri(self.store.uri):  # MLflow asks the global one, whatever the client's
                made = client.create_model_version(
                    name, source=model_uri, run_id=self.id, model_id=model_uri.removeprefix("models:/")
                )
            if alias:
                client.set_registered_model_alias(name, alias, made.version)
        return str(made.version)

    def end(self, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""
        with _asking(f"end the run {self.id}", self.store.uri):
            self.store.client.set_terminated(self.id, status)


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


class Sender:
    """Sends metrics in the background, in batches, so that a step costs no more than a queue's `put`.

    Rows leave about every second, so that a long run can be watched. Values that are not finite are
    not sent: the store would turn infinity into a number (they stand in the losses' file). Leaving the
    `with` block waits until all is sent, and raises a StoreError if the store took some of it not at all.

    Where rows come fast, `put` waits a moment for each full batch: Python runs one thread at a time, and
    two that fight for their turns take longer than one after the other. It does not wait for a slow store.

    Args:
        run: Where everything goes.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._queue: queue.SimpleQueue[Metric | Callable[[], None] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._rows = 0
        self._caught_up = threading.Event()  # with the last full batch that training waited for
        self._caught_up.set()
        self._thread = threading.Thread(target=self._send_all, name="reproven-sender", daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def put(self, values: Mapping[str, float], *, step: int) -> None:
        """Queues metrics by their names, all at one step, with the present time."""
        now = int(time.time() * 1000)
        for name, value in values.items():
            if math.isfinite(value):
                self._queue.put(Metric(name, value, now, step))
                self._rows += 1
        if self._rows >= _LARGEST_BATCH:
            self._rows = 0
            if self._caught_up.is_set():
                self._caught_up.clear()
                self.call(self._caught_up.set)
                self._caught_up.wait(timeout=_PATIENCE)

    def call(self, job: Callable[[], None]) -> None:
        """Queues work for the background, such as drawing an image and logging it."""
        self._queue.put(job)

    def _send_all(self) -> None:
        while True:
            batch, job, ended = self._next()
            try:
                if batch:
                    with _asking(f"log metrics of the run {self._run.id}", self._run.store.uri):
                        self._run.store.client.log_batch(self._run.id, metrics=batch)
                if job:
                    job()
            except Exception as error:  # a thread has nobody to raise to; leaving the block raises it
                self._error = self._error or error
            if ended:
                return

    def _next(self) -> tuple[list[Metric], Callable[[], None] | None, bool]:
        """The rows of about a second, and what ended them early: a job, or the end of everything."""
        batch: list[Metric] = []
        until = time.monotonic() + _SECONDS_BETWEEN_SENDINGS
        while len(batch) < _LARGEST_BATCH:
            try:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return batch, None, False
            if item is None:
                return batch, None, True
            if not isinstance(item, Metric):
                return batch, item, False
            batch.append(item)
        return batch, None, False
