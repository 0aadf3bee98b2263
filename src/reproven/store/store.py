"""The store: runs, their files and models, looked up in MLflow's tracking store and registry."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from mlflow.utils.uri import is_local_uri

from reproven.errors import Gone, StoreError, name_among
from reproven.machine.environment import bounded_files
from reproven.store.address import (
    absolute,
    folder_of,
    one_maker,
    require_open,
    run_of_mlflow,
    without_credentials,
)
from reproven.store.open_run import Run, asking
from reproven.store.summary import Running, Summary, snapshot, summary
from reproven.store.tags import HEARTBEAT, HOST, LOGBOOK, PARENT, RECIPE_TAG, SOURCE_NAME, SOURCE_TYPE, USER
from reproven.values.metrics import Row
from reproven.values.run_ids import run_and_path
from reproven.values.snapshot import Snapshot

_LARGEST_PAGE = 1000  # runs in one search


def address(uri: str | None) -> str:
    """The store's address; a file's from its root, so that it is the same from every folder.

    Args:
        uri: None takes MLflow's own choice (MLFLOW_TRACKING_URI, or mlflow.db here).
    """
    return absolute(str(uri or mlflow.get_tracking_uri()))


class Store:
    """A tracking store with its registry.

    Args:
        uri: Tracking URI; None takes MLflow's own choice (MLFLOW_TRACKING_URI, or mlflow.db here).
        folder: The folder from which a local store's artifacts lie; None is this one.

    Raises:
        StoreError: There is no such store, it is a folder of files, or it cannot be opened.
    """

    def __init__(self, uri: str | None = None, folder: str | None = None) -> None:
        self.uri = address(uri)
        if is_local_uri(self.uri):
            raise StoreError(
                f"The store {self.uri} is a folder of files, which MLflow gives up, and which keeps a value "
                "that is sent again a second time. Take a database or a server: --tracking-uri "
                "sqlite:///mlflow.db."
            )
        with asking("open anything", self.uri), one_maker(self.uri), _inside(folder):
            self.client = MlflowClient(tracking_uri=self.uri)

    @contextmanager
    def run(
        self,
        *,
        experiment: str,
        name: str,
        parent: str | None = None,
    ) -> Iterator[Run]:
        """Opens a run, or adopts the one that `mlflow run` made; ends it however the block ends.

        Args:
            experiment: The experiment's name; made where there is none of that name.
            name: The run's name; an adopted run keeps its own.
            parent: The run that it is shown under.

        Raises:
            StoreError: The store refuses, or MLFLOW_RUN_ID names a run that has ended.
        """
        tags = {PARENT: parent} if parent else {}
        if (made := run_of_mlflow()) is not None:
            run = self.adopt(made)
            run.describe(params={}, tags=tags)
        else:
            run = self.create(experiment, name, tags, None)
        with run.ended():
            yield run

    def create(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        start_time: int | None,
    ) -> Run:
        """Makes a run.

        Args:
            experiment: The experiment's name; made where there is none of that name.
            name: The run's name.
            tags: Its tags.
            start_time: When it started, in milliseconds since 1970; None is now.

        Raises:
            StoreError: The store refuses.
        """
        with asking(f"create a run in the experiment {experiment!r}", self.uri):
            found = self.client.get_experiment_by_name(experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                raise StoreError(
                    f"The experiment {experiment!r} is deleted. Restore it, or name another --experiment."
                )
            experiment_id = found.experiment_id if found else self._create_experiment(experiment)
            require_open((found or self.client.get_experiment(experiment_id)).artifact_location)
            about = {
                HOST: socket.gethostname(),
                USER: _user(),
                SOURCE_NAME: Path(sys.argv[0]).name,
                SOURCE_TYPE: "LOCAL",
            }
            created = self.client.create_run(experiment_id, start_time, {**about, **tags}, name)
        return Run(self.client, self.uri, created.info, {})

    def _create_experiment(self, name: str) -> str:
        try:
            return str(self.client.create_experiment(name))
        except MlflowException:  # another process may have made it in between
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def adopt(self, run_id: str) -> Run:
        """The run that `mlflow run` made.

        Raises:
            StoreError: There is none of that id, or it has ended.
        """
        run = self.open(run_id)
        if run.info.status not in ("RUNNING", "SCHEDULED"):
            raise StoreError(
                f"MLFLOW_RUN_ID names the run {run_id}, which is {run.info.status}. Unset the variable."
            )
        run.describe(params={}, tags={HOST: socket.gethostname()})
        return run

    def open(self, run_id: str) -> Run:
        """A run that is there, to be written to.

        Raises:
            Gone: There is none of that id, or it is deleted.
        """
        with asking(f"find the run {run_id}", self.uri):
            found = self.client.get_run(run_id)
            if found.info.lifecycle_stage == "deleted":
                raise Gone(f"The run {run_id} is deleted in the store {without_credentials(self.uri)}.")
        return Run(self.client, self.uri, found.info, found.data.params)

    def made_for(self, logbook: str, experiment: str) -> str | None:
        """The id of the run that was made for a logbook; None where there is none."""
        if not self.has_experiment(experiment):
            return None
        found = self.search(experiment, f"tags.`{LOGBOOK}` = '{logbook}'", 1)
        return found[0].run_id if found else None

    def has_experiment(self, name: str) -> bool:
        """Whether there is an experiment of a name."""
        with asking(f"find the experiment {name!r}", self.uri):
            return self.client.get_experiment_by_name(name) is not None

    def running(self) -> list[Running]:
        """The runs of this package, in all experiments, of which the store says that they are running."""
        with asking("list the running runs", self.uri):
            experiments = [item.experiment_id for item in self.client.search_experiments()]
            query = f"attributes.status = 'RUNNING' AND tags.`{HOST}` LIKE '%'"
            found = self.client.search_runs(experiments, query, max_results=_LARGEST_PAGE)
        return [
            Running(
                run_id=run.info.run_id,
                name=run.info.run_name,
                host=run.data.tags[HOST],
                last_sign=float(run.data.tags.get(HEARTBEAT, run.info.start_time / 1000)),
            )
            for run in found
        ]

    def recent_runs(self, experiment: str, *, last: int) -> list[Summary]:
        """The newest runs of an experiment, newest first.

        Raises:
            StoreError: There is no such experiment.
        """
        return self.search(experiment, "", last)

    def training_runs(self, experiment: str) -> list[Summary]:
        """The runs of an experiment that trained a recipe and are no replay, oldest first.

        Raises:
            StoreError: There is no such experiment.
        """
        found = self.search(experiment, f"tags.`{RECIPE_TAG}` LIKE '%'")
        return [run for run in reversed(found) if run.replay_of is None]

    def search(self, experiment: str, query: str, last: int | None = None) -> list[Summary]:
        """The runs of an experiment that a query of MLflow's finds, newest first.

        Raises:
            StoreError: There is no such experiment.
        """
        return [summary(run) for run in self._search(experiment, query, last)]

    def _search(self, experiment: str, query: str, last: int | None) -> list[Any]:
        with asking(f"list the runs of {experiment!r}", self.uri):
            found = self.client.get_experiment_by_name(experiment)
            if found is None:
                names = [item.name for item in self.client.search_experiments()]
                where = f"The store {without_credentials(self.uri)}"
                raise StoreError(f"{where} has no experiment {experiment!r}. {name_among(experiment, names)}")
            runs: list[Any] = []
            token = None
            while True:
                wanted = min(_LARGEST_PAGE, last - len(runs)) if last else _LARGEST_PAGE
                some = self.client.search_runs(
                    [found.experiment_id], query, max_results=wanted, page_token=token
                )
                runs += some
                token = some.token
                if not token or len(runs) == last:
                    return runs

    def snapshot(self, run_id: str) -> Snapshot:
        """What the store shows of a run, without the tags that name a place on this machine.

        Raises:
            StoreError: There is no such run.
        """
        with asking(f"find the run {run_id}", self.uri):
            run = self.client.get_run(run_id)
            experiment = self.client.get_experiment(run.info.experiment_id).name
        return snapshot(run, experiment)

    def summary(self, run_id: str) -> Summary:
        """A run in a few words, with the metrics that lists and searches show of it."""
        with asking(f"find the run {run_id}", self.uri):
            return summary(self.client.get_run(run_id))

    def tags(self, run_id: str) -> dict[str, str]:
        """All tags of a run."""
        with asking(f"find the run {run_id}", self.uri):
            return dict(self.client.get_run(run_id).data.tags)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Adds tags to a run, ended or not."""
        with asking(f"tag the run {run_id}", self.uri):
            for name, value in tags.items():
                self.client.set_tag(run_id, name, value)

    def metrics(self, run_id: str) -> list[Row]:
        """Every value of every metric of a run, in no particular order."""
        with asking(f"read the metrics of the run {run_id}", self.uri):
            names = self.client.get_run(run_id).data.metrics
            return [
                Row(m.key, m.step, m.timestamp, m.value)
                for name in names
                for m in self.client.get_metric_history(run_id, name)
            ]

    def place_of(self, run_id: str) -> str:
        """Where the artifacts of a run are, as an address."""
        with asking(f"find the run {run_id}", self.uri):
            return str(self.client.get_run(run_id).info.artifact_uri)

    def files(self, run_id: str, into: Path, names: Sequence[str] = ("",)) -> Path:
        """The folder with the artifacts of a run: where they lie if that is here, else a copy.

        Args:
            run_id: The run's id.
            into: An empty folder for the copy.
            names: What is copied; all of it where not given.

        Raises:
            StoreError: There is no such run, or its files cannot be fetched.
        """
        if (local := folder_of(self.place_of(run_id))) is not None:
            return local
        with asking(f"fetch the files of the run {run_id}", self.uri), bounded_files():
            for name in names:
                self.client.download_artifacts(run_id, name, str(into))
        return into

    @contextmanager
    def fetched(self, source: str, path: str | None = None) -> Iterator[Path]:
        """A copy for the block of a run's artifact or a registered model; a model that is here is read there.

        Args:
            source: A run id, `runs:/…` or `models:/…`.
            path: The artifact's path in the run; a model is fetched whole.

        Raises:
            StoreError: There is none of that name.
        """
        with ExitStack() as kept:
            with asking(f"find {source}", self.uri), bounded_files(), _use_tracking_uri(self.uri):
                run_id, inner = run_and_path(source)
                uri = source if source.startswith("models:/") else f"runs:/{run_id}/{inner or path}"
                into = kept.enter_context(_room(uri))
                try:
                    found = mlflow.artifacts.download_artifacts(uri, dst_path=into, tracking_uri=self.uri)
                except OSError as error:
                    raise StoreError(f"{uri} is not in {without_credentials(self.uri)}: {error}") from error
            yield Path(found)


def _room(uri: str) -> AbstractContextManager[str | None]:
    """A folder for what MLflow copies: a run's artifact always, a model where it does not lie here."""
    is_here = uri.startswith("models:/") and folder_of(ModelsArtifactRepository.get_underlying_uri(uri))
    return nullcontext() if is_here else tempfile.TemporaryDirectory(prefix="reproven-")


def _user() -> str:
    """Who is logged in, as MLflow says it; there may be nobody with a name."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unknown"


@contextmanager
def _inside(folder: str | None) -> Iterator[None]:
    """Works in a folder, if there is one, as contextlib.chdir does from Python 3.11 on."""
    if not (folder and Path(folder).is_dir()):
        yield
        return
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
