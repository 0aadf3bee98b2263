"""Sender: metrics go to the store in the background, and are kept as they were sent."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from reproven.page import Row

if TYPE_CHECKING:
    from reproven.run import Run

_LARGEST_BATCH = 1000  # metrics in one log_batch
_SECONDS_BETWEEN_SENDINGS = 1.0
_PATIENCE = 0.25  # seconds at most that training waits for a full batch


class Sender:
    """Sends metrics in the background, in batches, so that a step costs no more than a queue's `put`.

    Rows leave about every second, so that a long run can be watched. Values that are not finite are
    not sent: the store would turn infinity into a number (they stand in the losses' file). Leaving the
    `with` block waits until all is sent, and raises a StoreError if the store took some of it not at all.

    Where rows come fast, `put` waits a moment for each full batch: Python runs one thread at a time, and
    two that fight for their turns take longer than one after the other. It does not wait for a slow store.

    Args:
        run: Where everything goes.

    Attributes:
        rows: Every value that was put, in order.
    """

    def __init__(self, run: Run) -> None:
        self.rows: list[Row] = []
        self._run = run
        self._queue: queue.SimpleQueue[Row | Callable[[], None] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._waited_at = 0  # rows put when training last waited
        self._caught_up = threading.Event()  # with the last full batch that training waited for
        self._caught_up.set()
        self._thread = threading.Thread(target=self._send_all, name="reproven-sender", daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def put(self, values: Mapping[str, float], *, step: int) -> None:
        """Queues metrics by their names, all at one step, with the present time."""
        now = int(time.time() * 1000)
        for name, value in values.items():
            if math.isfinite(value):
                row = Row(name, step, now, value)
                self.rows.append(row)
                self._queue.put(row)
        if len(self.rows) - self._waited_at >= _LARGEST_BATCH:
            self._waited_at = len(self.rows)
            if self._caught_up.is_set():
                self._caught_up.clear()
                self.call(self._caught_up.set)
                self._caught_up.wait(timeout=_PATIENCE)

    def call(self, job: Callable[[], None]) -> None:
        """Queues work for the background, such as drawing an image and logging it."""
        self._queue.put(job)

    def _send_all(self) -> None:
        while True:
            batch, job, ended = self._next()
            try:
                if batch:
                    self._run.log_rows(batch)
                if job:
                    job()
            except Exception as error:  # a thread has nobody to raise to; leaving the block raises it
                self._error = self._error or error
            if ended:
                return

    def _next(self) -> tuple[list[Row], Callable[[], None] | None, bool]:
        """The rows of about a second, and what ended them early: a job, or the end of everything."""
        batch: list[Row] = []
        until = time.monotonic() + _SECONDS_BETWEEN_SENDINGS
        while len(batch) < _LARGEST_BATCH:
            try:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return batch, None, False
            if item is None:
                return batch, None, True
            if not isinstance(item, Row):
                return batch, item, False
            batch.append(item)
        return batch, None, False
