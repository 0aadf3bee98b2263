"""A sweep's worker processes, forked from one that has imported what they would import first.

They are processes of their own, begun, given jobs and ended as the package does. A sweep that a command
begins starts its workers from nothing.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess

import pytest

from programs import THREADLESS

_IMPORTED_FIRST = ("reproven.sweeps.worker", "reproven.runs.conduct", "reproven.runs.train")


class _Worker(ForkServerProcess):
    """One that inherits the environment of who starts it, as one that starts from nothing does."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)  # type: ignore[arg-type]
        self._environment = dict(os.environ)

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment)
        super().run()


class _Forking(ForkServerContext):
    Process = _Worker


@contextmanager
def forked_workers() -> Iterator[None]:
    """In this block, sweeps of this process fork theirs, in the arithmetic that it has taken up."""
    forkserver.set_forkserver_preload(list(_IMPORTED_FIRST))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in THREADLESS.items():
            patch.setenv(name, value)
        forkserver.ensure_running()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda method=None: _Forking())
        yield
