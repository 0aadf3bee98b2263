"""The registry: models that runs logged, their registered versions, and the aliases that point at these."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from reproven.errors import RecordError, StoreError, Unreadable
from reproven.files import disk
from reproven.files.texts import json_object
from reproven.store.address import folder_of
from reproven.store.mlmodel import EXAMPLE, write_mlmodel
from reproven.store.open_run import asking
from reproven.store.store import Store
from reproven.store.tags import PREFIX, SEAL

_BEFORE = f"{PREFIX}before."  # with an alias: the version that it pointed at before this one


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedModel:
    """What a store says of a logged model.

    Attributes:
        source: Its `models:/` URI.
        run_id: The run that it says it comes from.
        status: READY once it was logged whole.
        place: The address of its files.
        params: Its params, as spelled.
        metrics: Its metrics.
        registered: Name and version of each registered version that was made of it.
    """

    source: str
    run_id: str
    status: str
    place: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    registered: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """What a registry says of a version of a registered model.

    Attributes:
        name: The registered model; likewise `version`.
        source: The `models:/` URI that it was made of.
        run_id: The run that it says it comes from.
        place: The address of the files that are loaded.
        tags: Its tags.
    """

    name: str
    version: str
    source: str
    run_id: str
    place: str
    tags: Mapping[str, str]


class Registry:
    """The logged and registered models of a store.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._client = store, store.client

    def versions(self, run_id: str, models: Sequence[LoggedModel] = ()) -> list[Version]:
        """The registered versions that say that they come from a run, or that have to do with its models.

        Args:
            run_id: The run.
            models: Those that it logged. A version counts that points at one of them, or that one of them
                was registered as, whatever it says now.
        """
        with asking(f"find the registered models of the run {run_id}", self._store.uri):
            queries = [f"run_id = '{run_id}'", *(f"source_path = '{model.source}'" for model in models)]
            found = {(v.name, str(v.version)) for q in queries for v in self._client.search_model_versions(q)}
            found.update(one for model in models for one in model.registered)
            return [version for one in sorted(found) if (version := self._version(*one)) is not None]

    def _version(self, name: str, number: str) -> Version | None:
        """A version; None where it was deleted."""
        try:
            found = self._client.get_model_version(name, number)
            place = self._client.get_model_version_download_uri(name, number)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return Version(
            name=name,
            version=number,
            source=str(found.source),
            run_id=str(found.run_id),
            place=_as_address(place),
            tags=dict(found.tags),
        )

    def logged(self, run_id: str) -> list[LoggedModel]:
        """The models that are among a run's outputs."""
        with asking(f"find the models of the run {run_id}", self._store.uri):
            outputs = self._client.get_run(run_id).outputs
            found = (
                [self._client.get_logged_model(o.model_id) for o in outputs.model_outputs] if outputs else []
            )
        return [
            LoggedModel(
                source=f"models:/{model.model_id}",
                run_id=str(model.source_run_id),
                status=str(model.status),
                place=_as_address(model.artifact_location),
                params=dict(model.params or {}),
                metrics={metric.key: metric.value for metric in model.metrics or ()},
                registered=tuple(
                    (one["name"], str(one["version"]))
                    for one in json.loads(model.tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
                ),
            )
            for model in found
        ]

    def files(self, source: str, into: Path) -> Path:
        """The folder with the files of a logged model: where they lie if that is here, else a copy.

        Args:
            source: `models:/…` with the model's id.
            into: An empty folder for the copy.

        Raises:
            StoreError: There is no such model, or its files cannot be fetched.
        """
        with asking(f"find the files of {source}", self._store.uri):
            entry = self._client.get_logged_model(source.removeprefix("models:/"))
            if (local := folder_of(entry.artifact_location)) is not None:
                return local
            with _use_tracking_uri(self._store.uri):
                return Path(mlflow.artifacts.download_artifacts(source, dst_path=str(into)))

    def write_again(
        self, source: str, folder: Path, model: Path, shown: Mapping[str, Any], into: Path
    ) -> None:
        """Writes the files of a logged model as they would be logged now, around its own example.

        Args:
            source: `models:/…` with the model's id.
            folder: Its files, from which the example's rows are taken.
            model: The pickled regressor.
            shown: Its columns, as `columns` and `outputs`.
            into: An empty folder.
        """
        with asking(f"find {source}", self._store.uri):
            entry = self._client.get_logged_model(source.removeprefix("models:/"))
        try:
            held = json_object(EXAMPLE, disk.read_text(folder / EXAMPLE))
            rows = held["inputs" if "array" in shown else "data"]
        except (KeyError, Unreadable, RecordError):
            rows = None
        write_mlmodel(into, model, {**shown, "data": rows}, entry=entry)

    def seal(self, source: str) -> str | None:
        """The digest of a logged model's manifest, as its tag says."""
        with asking(f"find {source}", self._store.uri):
            seal = self._client.get_logged_model(source.removeprefix("models:/")).tags.get(SEAL)
        return None if seal is None else str(seal)

    def model_of(self, run_id: str) -> str:
        """The `models:/` URI of the model that a run logged.

        Raises:
            StoreError: There is no such run, or it logged none.
        """
        if not (models := self.logged(run_id)):
            raise StoreError(f"The run {run_id} has logged no model. Give one that ended as FINISHED.")
        return models[-1].source

    def registered(self, run_id: str, model_uri: str, name: str) -> str | None:
        """The version as which a logged model of a run is registered; None where it is not."""
        with asking(f"find the model {name!r}", self._store.uri):
            found = self._client.search_model_versions(f"run_id = '{run_id}'")
        versions = [str(v.version) for v in found if v.name == name and v.source == model_uri]
        return versions[0] if versions else None

    def register(self, run_id: str, model_uri: str, name: str) -> str:
        """Registers a logged model as a new version, and returns the version."""
        client = self._client
        with asking(f"register the model {name!r}", self._store.uri):
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            with _use_tracking_uri(self._store.uri):  # MLflow asks the global one, whatever the client's
                made = client.create_model_version(
                    name, source=model_uri, run_id=run_id, model_id=model_uri.removeprefix("models:/")
                )
        return str(made.version)

    def point(self, alias: str, name: str, version: str) -> None:
        """Points an alias at a version of a registered model."""
        with asking(f"point {alias!r} at the model {name!r}", self._store.uri):
            self._client.set_registered_model_alias(name, alias, version)

    def version_at(self, alias: str, name: str) -> str | None:
        """The version that an alias points at; None where it points at none."""
        with asking(f"find the alias {alias!r} of the model {name!r}", self._store.uri):
            try:
                return str(self._client.get_model_version_by_alias(name, alias).version)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def version_of(self, run_id: str, name: str) -> str:
        """The version as which the model of a run is registered; registered now if it was not.

        Raises:
            StoreError: The run logged no model, or the store refuses.
        """
        model = self.model_of(run_id)
        return self.registered(run_id, model, name) or self.register(run_id, model, name)

    def move(self, alias: str, name: str, version: str, tags: Mapping[str, str]) -> str | None:
        """Points an alias at a version, notes there where it pointed before, and returns that.

        Args:
            alias: The alias.
            name: The registered model.
            version: The version.
            tags: More tags of the version.
        """
        before = self.version_at(alias, name)
        noted = {f"{_BEFORE}{alias}": before} if before not in (None, version) else {}
        with asking(f"point {alias!r} at version {version} of {name!r}", self._store.uri):
            for tag, value in {**tags, **noted}.items():
                self._client.set_model_version_tag(name, version, tag, value)
            self._client.set_registered_model_alias(name, alias, version)
        return before

    def back(self, alias: str, name: str) -> tuple[str | None, str | None]:
        """Points an alias at the version before the present one.

        Returns:
            The present version, and the one before, each None where there is none; then nothing was moved.
        """
        now = self.version_at(alias, name)
        if now is None:
            return None, None
        with asking(f"point {alias!r} of {name!r} back", self._store.uri):
            before = self._client.get_model_version(name, now).tags.get(f"{_BEFORE}{alias}")
            if before is not None:
                self._client.set_registered_model_alias(name, alias, before)
        return now, before


def _as_address(place: str) -> str:
    """A place's address in one spelling: a folder of this machine as its path."""
    return str(folder_of(place) or place)
