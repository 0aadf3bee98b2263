"""Programs as a user starts them: processes of their own, forked where they need not start from nothing."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from select import select
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"  # `python src …`
MLFLOW = "mlflow"  # `python -m mlflow …`

#: Variables that nothing asks for while it is imported: with others, or others' values, nothing is forked.
FREE = (
    *("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"),
    *("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"),
    *("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"),
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
    *("PATH", "PYTEST_CURRENT_TEST", "REPROVEN_STATE", "REPROVEN_TRUST"),
    *("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"),  # which scikit-learn sets when a test imports it
    "TORCHINDUCTOR_CACHE_DIR",  # which torch sets when a test makes one of its optimizers
    "_MLFLOW_TELEMETRY_SESSION_ID",  # which comes and goes where a test trains in its own process
)
#: A variable that has every program start from nothing: other versions' imports may start threads.
NEVER = "REPROVEN_NEVER_FORK"
#: So that no import starts a thread: PyArrow's allocator, OpenBLAS.
THREADLESS = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}


#: Whatever the machine says: a user's Python writes bytecode beside what it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def bound(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in FREE}


_BOUND = bound(os.environ)  # before any test


def start(
    program: Path | str, *arguments: str, uri: str | None = None, fresh: bool = False, **options: Any
) -> subprocess.Popen[str]:
    """Starts a program, with its output and its errors in pipes.

    Args:
        program: A file or a folder that Python runs, or `MLFLOW`.
        arguments: Its own.
        uri: The tracking store; None leaves it to the environment.
        fresh: Start a Python that has imported nothing, whatever the program.
        options: Of subprocess.Popen.
    """
    environment = dict(options.pop("env", os.environ))
    if uri is not None:
        environment["MLFLOW_TRACKING_URI"] = uri
    given = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        **options,
        "text": True,
        "env": environment,
    }
    if not fresh and NEVER not in os.environ and _may_be_forked(program, arguments, given):
        return Forked([str(program), *arguments], **given)
    module = ["-m"] if program == MLFLOW else []
    return subprocess.Popen([sys.executable, *module, str(program), *arguments], **given)


def run(program: Path | str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; the options are those of `start`."""
    with start(program, *arguments, **options) as process:
        said, why = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, said, why)


def _may_be_forked(program: Path | str, arguments: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Whether a zygote has imported what the program would import, as it would."""
    is_ours = program in (SOURCE, MLFLOW) or Path(program).parent == ROOT / "tests"
    is_portable = not any(argument.endswith("native") for argument in arguments)
    is_plain = set(options) <= {"stdin", "stdout", "stderr", "text", "cwd", "env", "start_new_session"}
    return is_ours and is_portable and is_plain and bound(options["env"]) == _BOUND


class Forked(subprocess.Popen[str]):
    """A process that a zygote forks; otherwise as subprocess has them."""

    def _execute_child(self, args: list[str], *more: Any) -> None:
        """Has the process forked, and takes its id (in the place of subprocess's own, of Python 3.11)."""
        folder, environment, pipes, session = more[4], more[5], more[9:15], more[20]
        request = {
            "program": args[0],
            "arguments": args[1:],
            "folder": str(folder or Path.cwd()),
            "environment": environment,
            "session": session,
        }
        given = (pipes[0], pipes[3], pipes[5])
        files = [number if file == -1 else file for number, file in enumerate(given)]
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        files.append(theirs.fileno())
        socket.send_fds(zygote(args[0] == MLFLOW), [json.dumps(request).encode()], files)
        theirs.close()
        self.pid = int(self._answers.recv(64))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        if self.returncode is None and select([self._answers], [], [], 0)[0]:
            self._end()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            seconds = None if timeout is None else max(timeout, 0.0)
            if not select([self._answers], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired(self.args, seconds or 0.0)
            self._end()
        return self.returncode

    def _end(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(int(self._answers.recv(64)))
        self._answers.close()


@cache
def zygote(of_mlflow: bool) -> socket.socket:
    """Where to ask for a fork; the zygote ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    name = MLFLOW if of_mlflow else "reproven"
    script = str(ROOT / "tests" / "zygote.py")
    kept = {name: os.environ[name] for name in ("PATH", "PYTEST_CURRENT_TEST")}
    process = subprocess.Popen(
        [sys.executable, script, str(theirs.fileno()), name],
        cwd=ROOT,
        env={**_BOUND, **kept, **THREADLESS},
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
