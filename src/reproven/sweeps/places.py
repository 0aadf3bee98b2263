"""Places: where a sweep may train, and what speaks against one. It imports nothing heavy."""

from __future__ import annotations

import os

from reproven.recipes import typed
from reproven.store.address import without_credentials

PROCESSES, CLUSTER = "processes", "dask://"  # where a sweep trains: on this machine, or on a Dask cluster

JOBS = typed.whole("Processes of this machine; one for each core where not given.", "2", low=1, high=999)


def executor_problems(executor: str, tracking_uri: str | None) -> list[str]:
    """What speaks against an executor, a message each."""
    if not _is_executor(executor):
        return [
            f"executor is {executor[:60]!r}, but must be {PROCESSES} or {CLUSTER}HOST:PORT. "
            f"Try --executor {PROCESSES}."
        ]
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
    if executor.startswith(CLUSTER) and not uri.startswith(("http://", "https://", "databricks")):
        return [
            f"executor is {executor}, whose workers must reach the store, but that is "
            f"{without_credentials(uri) or 'mlflow.db in this folder'}. Start `mlflow server`, and name it: "
            "--tracking-uri http://HOST:5000."
        ]
    return []


def _is_executor(text: str) -> bool:
    host, colon, port = text.removeprefix(CLUSTER).rpartition(":")
    return text == PROCESSES or (
        text.startswith(CLUSTER) and bool(host and colon) and port.isdigit() and text.isprintable()
    )
