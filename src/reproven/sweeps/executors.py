"""Executors: where the runs of a sweep are trained: in processes of this machine, or on a Dask cluster.

Both are concurrent.futures executors, so one loop serves them. Whatever becomes of a process, each job
comes back once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for_processes
from multiprocessing.synchronize import Event
from types import ModuleType
from typing import Any, TypeVar

from reproven.arithmetic import profiles
from reproven.errors import InvalidInput, ReprovenError
from reproven.machine import processes
from reproven.sweeps.jobs import Job
from reproven.sweeps.places import CLUSTER
from reproven.sweeps.results import REFUSED, STOPPED, Child
from reproven.sweeps.worker import stop, work

_ATTEMPTS = 3  # at a job whose process was killed
_SECONDS_BETWEEN_TICKS = 0.5
_SECONDS_TO_CONNECT = 10
_SECONDS_TO_STOP = 1.0
_NONE_BEGAN = (
    "The processes of the sweep end before they train anything; why stands above. Start one by hand, "
    f"{sys.executable} -c 'import reproven.sweeps.worker', or train one run alone: reproven train."
)

_T = TypeVar("_T")

#: Called every now and then while jobs are trained.
Tick = Callable[[], None]


@dataclass(kw_only=True)
class Workers:
    """Processes that train jobs.

    Attributes:
        slots: How many jobs they train at a time.
        make: Makes an executor.
        have_begun: Whether any of them has come as far as its first job.
        running: What has been handed out, and has not come back.
        executors: All that were made, those of which a process was killed among them.
    """

    slots: int
    make: Callable[[], Executor]
    have_begun: Callable[[], bool] = lambda: True
    running: dict[Future[Child], Job] = field(default_factory=dict)
    executors: list[Executor] = field(default_factory=list)

    def results(self, jobs: Sequence[Job], tick: Tick) -> Iterator[Child]:
        """Trains jobs, and yields what became of each, in the order in which they end.

        Args:
            jobs: Each is trained once; where its process is killed, again.
            tick: Called every now and then.

        Raises:
            ReprovenError: No process can be started.
        """
        waiting, deaths, running = deque(jobs), Counter[str](), self.running

        def may_begin() -> bool:
            """Whether the next job may: one with which a process died runs alone, to spare the others."""
            is_suspect = [deaths[job.sha256] > 0 for job in (waiting[0], *running.values())]
            return len(running) < 2 * self.slots if not any(is_suspect) else not running

        while waiting or running:
            while waiting and may_begin():
                job = waiting.popleft()
                running[self._submit(job)] = job
            done, _ = wait(running, timeout=_SECONDS_BETWEEN_TICKS, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                child = self._child(future, job)
                if child is None and (died := deaths[job.sha256] + 1) < _ATTEMPTS:
                    deaths[job.sha256] = died
                    waiting.append(job)
                elif child is None and not self.have_begun():
                    raise ReprovenError(_NONE_BEGAN)
                else:
                    why = f"Its process was killed {_ATTEMPTS} times: by the system, for lack of memory?"
                    yield child or job.child(REFUSED, why=why)
            tick()

    def _submit(self, job: Job) -> Future[Child]:
        """Hands a job out; an executor of which a process was killed takes none any more, a new one does."""
        for _ in range(2):
            # a process starts when it is handed a job; OSError: it dies as another starts
            with contextlib.suppress(BrokenProcessPool, IndexError, OSError), processes.of_this_package():
                return self.executors[-1].submit(work, job)
            self.executors.append(self.make())
        died: Future[Child] = Future()
        died.set_exception(BrokenProcessPool("No process lives long enough to be given a job."))
        return died

    @staticmethod
    def _child(future: Future[Child], job: Job) -> Child | None:
        """What became of a job; None where its process was killed."""
        try:
            return future.result()
        except BrokenProcessPool:
            return None
        except Exception as error:  # of the cluster, such as KilledWorker
            return job.child(REFUSED, why=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")


@contextmanager
def workers(executor: str, jobs: int) -> Iterator[Workers]:
    """The workers that `--executor` names.

    Args:
        executor: `processes`, or `dask://HOST:PORT`.
        jobs: How many processes of this machine; a cluster has its own number.

    Raises:
        InvalidInput: There is no such cluster.
    """
    with _cluster(executor) if executor.startswith(CLUSTER) else _processes(jobs) as found:
        yield found


@contextmanager
def _processes(jobs: int) -> Iterator[Workers]:
    context, variables = multiprocessing.get_context("spawn"), profiles.users_environment()
    begun = context.Event()

    def make() -> Executor:
        return _Processes(jobs, mp_context=context, initializer=_begin, initargs=(variables, begun))

    others = set(multiprocessing.active_children())
    found = Workers(slots=jobs, make=make, have_begun=begun.is_set)
    try:
        yield found
    finally:
        ours = set(multiprocessing.active_children()) - others
        for process in ours:
            process.terminate()  # leaving in good order takes longer; one that trains writes a checkpoint
        for executor in found.executors:
            executor.shutdown(cancel_futures=True)  # its thread too has ended when this returns
        for process in ours:
            process.join()


class _Processes(ProcessPoolExecutor):
    """Processes that do not run the user's program again, as Python has them do: a job needs nothing of it.

    So a script needs no `if __name__ == "__main__"`, and a sweep begins from a pipe or a notebook alike.
    """

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Hands a call out; where that starts a process, it is told to run what is the main module now."""
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            return super().submit(_called, fn, *args, **kwargs)
        finally:
            sys.modules["__main__"] = main


def _called(call: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
    """Calls it; a process that was told to stop meanwhile ends, for it would wait for a next call.

    What it waits for is behind a lock, and another process that ends may hold that for ever.
    """
    found = call(*args, **kwargs)
    if getattr(found, "state", None) == STOPPED:
        os._exit(128 + signal.SIGTERM)
    return found


def _begin(variables: dict[str, str], begun: Event) -> None:
    """Prepares a process of this machine for its jobs."""
    for name in profiles.VARIABLES:
        os.environ.pop(name, None)
        if name in variables:
            os.environ[name] = variables[name]
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for all of the group: a run notices it itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler in Python waits for a lock that is waited for
    threading.Thread(target=_end_with_parent, name="reproven-parent", daemon=True).start()
    begun.set()


def _end_with_parent() -> None:
    """Ends this process once the one that started it is gone, in whatever way."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    wait_for_processes([parent.sentinel])
    while True:  # a run that is trained notices the first, writes a checkpoint and ends; the process then too
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SECONDS_TO_STOP)


@contextmanager
def _cluster(address: str) -> Iterator[Workers]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise InvalidInput(
            [f"executor is {address}, but Dask is not there. Install it: pip install 'reproven[dask]'."]
        ) from error
    try:
        client = Client(f"tcp://{address.removeprefix(CLUSTER)}", timeout=_SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        raise ReprovenError(
            f"executor is {address}, but no Dask scheduler answers there: {error}. Start one: dask scheduler."
        ) from error
    with contextlib.closing(client):
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        if not count:
            raise ReprovenError(f"The cluster {address} has no worker. Start some: dask worker …")
        found = Workers(slots=count, make=lambda: client.get_executor(pure=False))
        try:
            yield found
        finally:
            _stop(client, found.running)
            for made in found.executors:
                made.shutdown(wait=False)


def _stop(client: Any, running: Mapping[Future[Child], Job]) -> None:
    """Has a cluster stop what it still trains for a sweep, and waits for that while there are workers."""
    parents = {job.tracking.parent for job in running.values()}
    left = set(running)
    with contextlib.suppress(OSError):  # the cluster is gone
        while left and all(client.run(stop, parent) for parent in parents):
            left = wait(left, timeout=_SECONDS_BETWEEN_TICKS).not_done  # one may have begun just now
