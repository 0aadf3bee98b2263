"""Addresses of stores and clusters: what they say, and what of them may be shown. No MLflow here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reproven.errors import StoreError

_SQLITE = "sqlite:///"
_SECRET = re.compile(r"([?&][^=&]*(?:pass|token|secret|key)[^=&]*=)[^&]*", re.IGNORECASE)


def absolute(uri: str) -> str:
    """A store's address that names the same store from every folder."""
    path = uri.removeprefix(_SQLITE)
    is_file = uri.startswith(_SQLITE) and path not in ("", ":memory:")
    return f"{_SQLITE}{Path(path).resolve()}" if is_file else uri


def without_credentials(uri: str) -> str:
    """A store's address without user and password, for messages and records."""
    return _SECRET.sub(r"\1…", re.sub(r"//[^/@]*@", "//", uri))


def run_of_mlflow() -> str | None:
    """The id of the run that `mlflow run` made for this process; None where it did not start it."""
    return os.environ.get("MLFLOW_RUN_ID") or None


def folder_of(uri: str) -> Path | None:
    """The folder that an artifact URI names, where it lies on this machine."""
    address = urlsplit(uri)
    if address.scheme == "file":
        return Path(unquote(address.path))
    return Path(uri) if not address.scheme else None


def require_open(uri: str) -> None:
    """Refuses an artifact URI that names a folder of this machine which cannot be written.

    Raises:
        StoreError: It does.
    """
    if (folder := folder_of(uri)) is None:
        return
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not os.access(there, os.W_OK):
        raise StoreError(f"The files of a run belong in {folder}, but {there} is read-only.")


@contextmanager
def one_maker(uri: str) -> Iterator[None]:
    """Where a SQLite store is not there yet, one process makes it while the others wait.

    MLflow's migration fails in all processes but one where several of them start it at once.
    """
    path = Path(uri.removeprefix(_SQLITE))
    lock = path.with_name(f"{path.name}.lock")
    if not uri.startswith(_SQLITE) or (path.exists() and not lock.exists()) or not path.parent.is_dir():
        yield
        return
    from filelock import lock_descriptor  # here, since every command reads addresses, --help too

    with lock.open("w") as file:
        lock_descriptor(file.fileno())  # a process that dies lets go of it
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
