"""The model registry: the versions of a registered model, their tags, and the aliases that point at them."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow.exceptions import MlflowException

from reproven.run import PREFIX, asking
from reproven.store import Store

_BEFORE = f"{PREFIX}before."  # with an alias: the version that it pointed at before this one


class Registry:
    """The registered models of a store.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._client = store, store.client

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
        run, model = self._store.open(run_id), self._store.model_of_run(run_id)
        return run.registered(model, name) or run.register(model, name)

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
