"""Progress: steps pass through, and a line tells how far they are, at what rate, and how long it still takes.

The line moves in its place: on a terminal, or as one output of a notebook's cell. Elsewhere there is none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from reproven.values.steps import Step

T = TypeVar("T")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. IPython is not imported to find out."""
    asked = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return asked is not None and hasattr(asked(), "kernel")


def on_terminal() -> bool:
    """Whether somebody sees what goes to standard error, and a line can move there."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere a line may be seen; where it is not, everything passes as it is.

    Args:
        is_here: Whether this process can show one there now.
    """

    is_here: Callable[[], bool]

    def training(self, steps: Iterable[Step], total: int) -> Iterable[Step]:
        """The steps of a training, with their rate, the last loss and the time to go."""
        return _told(steps, total, "training") if self.is_here() else steps

    def replay(self, steps: Iterable[Step], total: int) -> Iterable[Step]:
        """The same of a replay."""
        return _told(steps, total, "replay") if self.is_here() else steps

    def audit(self, files: Iterable[T], total: int) -> Iterable[T]:
        """The files that an audit looks at."""
        return passing(files, total, "audit", "file") if self.is_here() else files

    def sweep(self) -> Callable[[Any], None]:
        """What a sweep tells how far it is."""
        return Runs() if self.is_here() else lambda progress: None


#: What functions show, and what commands do.
NOTEBOOK, TERMINAL = Place(in_notebook), Place(on_terminal)


def passing(items: Iterable[T], total: int, label: str, unit: str) -> Iterator[T]:
    """Items as they are, with a line that counts them."""
    with line(total, label, unit) as moving:
        for item in items:
            yield item
            moving.update()


def _told(steps: Iterable[Step], total: int, label: str) -> Iterator[Step]:
    with line(total, label, "step") as moving:
        for step in steps:
            if step.ends_epoch:
                moving.set_postfix_str(f"loss {step.loss:.4g}", refresh=False)
            moving.update()
            yield step


def line(total: int, label: str, unit: str) -> Any:
    """A line of tqdm's; it is left standing in a notebook, and wiped off a terminal."""
    here = in_notebook()
    return _line()(
        total=total,
        desc=label,
        unit=f" {unit}s",
        file=StringIO() if here else _Terminal(),
        leave=here,
        ncols=100 if here else None,
        ascii=False if here else None,
        dynamic_ncols=not here,
    )


class _Terminal:
    """Standard error as a terminal that is told what to do, which the commands' own stream spells out.

    What it does not take, since it hung up, is swallowed.
    """

    def __init__(self) -> None:
        self._number, self.encoding = sys.stderr.fileno(), sys.stderr.encoding

    def write(self, text: str) -> None:
        with suppress(OSError):
            os.write(self._number, text.encode(self.encoding, "replace"))

    def flush(self) -> None:
        """There is nothing that waits."""

    def fileno(self) -> int:
        return self._number


@cache
def _line() -> Any:
    """tqdm's class, as it is on a terminal; in a notebook its text is one output that is written anew."""
    from tqdm.std import tqdm

    class Line(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # a thread of its own, which would not outlive a fork

        def display(self, msg: str | None = None, pos: int | None = None) -> Any:
            if not in_notebook():
                return super().display(msg, pos)
            text = {"text/plain": str(self) if msg is None else msg}
            if (place := getattr(self, "place", None)) is None:
                show = sys.modules["IPython"].display.display
                self.place = show(text, raw=True, display_id=True)
            else:
                place.update(text, raw=True)
            return True

    return Line


class Runs:
    """Tells how many runs of a sweep have ended, with a line, whenever it is called."""

    def __init__(self) -> None:
        self._line: Any = None

    def __call__(self, progress: Any) -> None:
        """Moves the line.

        Args:
            progress: Of the sweep, with its `total`, its `runs` so far and a `note`.
        """
        if self._line is None:
            self._line = line(progress.total, "sweep", "run")
        self._line.total = progress.total
        self._line.set_postfix_str(progress.note, refresh=False)
        self._line.update(len(progress.runs) - self._line.n)
        if len(progress.runs) >= progress.total:
            self._line.close()
