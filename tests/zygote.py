"""`python zygote.py FD NAME`: has imported a program and what it needs, and forks whenever it is started.

To import torch and MLflow takes most of the time of a command as short as a test's. What is forked is a
process of its own, with its own program, arguments, folder, environment and files; it ends as Python ends,
and a signal kills it alone. Before a fork nothing is computed, drawn or opened, and there is one thread.
Each request comes over the socket FD, with the files that become standard input, output and error, and a
socket for the answer: the process's id, and when it ends, its status. NAME is `reproven` or `mlflow`, see
`programs.py`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: What commands import late.
LATE = (
    *("alembic.command", "mlflow.pyfunc", "mlflow.models.rag_signatures", "mlflow.tracing.processor.otel"),
    *("mlflow.store.tracking.sqlalchemy_workspace_store", "mlflow.store.tracking.file_store"),
    *("mlflow.store.model_registry.sqlalchemy_workspace_store", "pyarrow.pandas_compat"),
    *("PIL.PngImagePlugin", "PIL.WebPImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin"),
    "sqlalchemy.dialects.sqlite",
)
LARGEST = 2**17  # bytes of a request


def import_reproven() -> dict[str, str]:
    """Imports the package; returns what that sets in the environment."""
    before = dict(os.environ)
    import reproven

    names = [module.name for module in pkgutil.walk_packages(reproven.__path__, "reproven.")]
    for name in (*names, *LATE):
        if not name.endswith("__main__"):
            importlib.import_module(name)
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def requests(control: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Each request, with its files; ends where nobody is left to ask."""
    while True:
        text, files, _, _ = socket.recv_fds(control, LARGEST, 4)
        if not text:
            return
        yield json.loads(text), files


def serve(control: socket.socket) -> dict[str, Any]:
    """Forks for each request; returns in the process that has become what was asked for, with its request."""
    gc.collect()
    gc.freeze()  # a collection would have every process copy all of it
    for request, files in requests(control):
        with contextlib.suppress(ChildProcessError):  # of those that have ended, there may be none
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread would be missing after the fork"
        if os.fork() == 0:
            control.close()
            with socket.socket(fileno=files.pop()) as answer:
                become(request, files, answer)
            return request
        for file in files:
            os.close(file)
    os._exit(0)


def become(request: Mapping[str, Any], files: Sequence[int], answer: socket.socket) -> None:
    """Forks once more, to tell of the end; what is forked takes on files, folder, environment, arguments."""
    if (process := os.fork()) != 0:
        for file in files:
            os.close(file)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is for the process
        _, status = os.waitpid(process, 0)
        answer.send(str(status).encode())
        os._exit(0)
    if request["session"]:
        os.setsid()
    answer.send(str(os.getpid()).encode())
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    np.random.seed()
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())  # type: ignore[union-attr]
    sys.argv[1:] = request["arguments"]


def main(control: socket.socket, name: str) -> None:
    """Imports, serves, and in each process that is forked runs its program as Python does."""
    if name == "mlflow":
        importlib.import_module("mlflow.cli")
        serve(control)
        runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
        return
    sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
    imported = import_reproven()
    del sys.path[0]
    program = serve(control)["program"]
    for variable, value in imported.items():
        os.environ.setdefault(variable, value)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    del sys.path[0]  # this folder, where the programs do not look
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
