"""`python slowed.py SECONDS STEP FILE …`: `reproven …` that sleeps after every step, and waits at one.

As a preload of `dask worker` it has whatever is trained there wait in the middle for ever.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "src"))  # noqa: PTH118, PTH120


def slow(seconds: float, last: int, file: str) -> None:
    """Has training sleep after every step, and wait at one for a file."""
    from reproven.training.prepared import Prepared

    original = Prepared.steps

    def steps(made: Prepared, *judged: Any) -> Iterator[Any]:
        for step in original(made, *judged):
            time.sleep(seconds)
            while step.step == last and not os.path.exists(file):  # noqa: PTH110
                time.sleep(0.05)
            yield step

    Prepared.steps = steps  # type: ignore[method-assign, assignment]


def dask_setup(_: object) -> None:
    slow(0.0, 100, "never")


if __name__ == "__main__":
    slow(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    from reproven.cli import main

    main(sys.argv[4:], prog_name="reproven")
