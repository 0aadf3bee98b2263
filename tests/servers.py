"""Servers for the tests, on the loopback: MLflow's, and PostgreSQL beneath it; killed, paused, restarted."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from programs import MLFLOW, start


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """An `mlflow …` server process, with its children, on a port of its own."""

    def __init__(self, *command: str, ping: str = "health", uri: str = "") -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._ping, self._uri = ping, uri
        where = ("--host", "127.0.0.1", "--port", str(self.port))
        self._command = (*command, *where)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._process = start(
            MLFLOW,
            *self._command,
            uri=self._uri,
            env={
                **os.environ,
                "PATH": path,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # six more processes, of no use here
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.address}/{self._ping}", timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                assert self._process.poll() is None, "the server ended"
                time.sleep(0.25)
        raise AssertionError("the server does not answer")

    def send(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self.send(signal.SIGCONT)
            self.send(number)
            self._process.wait(timeout=30)
            self._process = None


@contextmanager
def started(*command: str, ping: str, uri: str) -> Iterator[str]:
    """An `mlflow …` server; its address, once it answers."""
    server = Server(*command, ping=ping, uri=uri)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


class Postgres:
    """A PostgreSQL server with an empty database, in a folder of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder, self.port = programs, folder, free_port()
        self.uri = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._run("initdb", "--auth", "trust", "--username", "postgres", "--pgdata", str(folder / "data"))

    def _run(self, program: str, *arguments: str) -> None:
        # PostgreSQL refuses to be root
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*user, str(self._programs / program), *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--wait", "--pgdata", str(self._folder / "data"), *arguments)

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("--log", str(self._folder / "log"), "--options", options, "start")

    def stop(self) -> None:
        self._control("--mode", "immediate", "stop")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this machine's own package."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        assert "CI" not in os.environ, "CI installs postgresql"
        pytest.skip("needs PostgreSQL (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="reproven-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        found = Postgres(programs[-1], folder)
        found.start()
        try:
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
