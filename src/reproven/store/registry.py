"""The registry: models that runs logged, their registered versions, and the aliases that point at these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _use_tracking_uri

from reproven.errors import StoreError
from reproven.store.address import folder_of
from reproven.store.open_run import asking
from reproven.store.store import Store
from reproven.store.tags import PREFIX, SEAL

_BEFORE = f"{PREFIX}before."  # with an alias: the version that it pointed at before this one


class Registry:
    """The logged and registered models of a store.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._client = store, store.client

    def versions(self, run_id: str) -> list[tuple[str, str, str]]:
        """Name, version and source of each registered model that came from a run."""
        with asking(f"find the registered models of the run {run_id}", self._store.uri):
            found = self._client.search_model_versions(f"run_id = '{run_id}'")
        return [(item.name, str(item.version), item.source) for item in found]

    def logged(self, run_id: str) -> list[str]:
        """The `models:/` URIs of the models that a run logged."""
        with asking(f"find the run {run_id}", self._store.uri):
            outputs = self._client.get_run(run_id).outputs
        return [f"models:/{o.model_id}" for o in outputs.model_outputs] if outputs else []

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
        return models[-1]

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
