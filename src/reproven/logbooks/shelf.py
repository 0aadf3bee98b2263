"""The shelf: the folder of all logbooks on this machine; they are made, found and tidied up here."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from platformdirs import user_state_path

from reproven.errors import InvalidInput, RecordError
from reproven.files.disk import write_text
from reproven.files.texts import FORMAT, json_text
from reproven.logbooks.logbook import HIDDEN, PLAN, Logbook, Plan
from reproven.values.run_ids import run_and_path

FOLDER = "REPROVEN_STATE"  # the variable that names another place for all logbooks


def place() -> Path:
    """The folder of all logbooks: REPROVEN_STATE, or where this system keeps the state of programs."""
    if named := os.environ.get(FOLDER):
        return Path(named).resolve()
    return user_state_path("reproven", appauthor=False)


def require_place() -> None:
    """Makes the folder of all logbooks, so that nothing else is made where it cannot be written.

    Raises:
        InvalidInput: It cannot.
    """
    with _written():
        place().mkdir(parents=True, exist_ok=True)
        if not os.access(place(), os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _written() -> Iterator[None]:
    """Says of a folder that cannot be written which it is."""
    try:
        yield
    except OSError as error:
        what = f"The folder {place()}, where a run is kept until its store has it, cannot be written"
        raise InvalidInput([f"{what}: {error.strerror}. Name another one in {FOLDER}."]) from error


@contextmanager
def new_logbook(plan: Plan, files: Mapping[str, bytes], name: str | None = None) -> Iterator[Logbook]:
    """Makes a logbook with its first files, there whole or not at all, and holds it.

    Args:
        plan: What the run sets out to do.
        files: Its first files, by their paths.
        name: Its id, which no other has; None takes a new one.

    Raises:
        InvalidInput: There is no place where one could be written.
    """
    name = name or uuid.uuid4().hex
    hidden = Logbook(place() / f"{HIDDEN}{uuid.uuid4().hex}")
    with ExitStack() as stack:
        try:
            with _written():
                hidden.path.mkdir(parents=True)
                stack.enter_context(hidden.held())
                for path, content in files.items():
                    (hidden.files / path).parent.mkdir(parents=True, exist_ok=True)
                    (hidden.files / path).write_bytes(content)
                write_text(hidden.path / PLAN, json_text({"format": FORMAT, **asdict(plan)}))
                book = Logbook(hidden.path.rename(hidden.path.with_name(name)))
        except BaseException:  # an interrupt too
            shutil.rmtree(hidden.path, ignore_errors=True)
            raise
        yield book


def id_for(*parts: str) -> str:
    """The id of a logbook that is known by other things before it is made."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]


def called(name: str) -> Logbook | None:
    """The logbook with an id; None where there is none on this machine."""
    book = Logbook(place() / name)
    return book if (book.path / PLAN).exists() else None


def every() -> list[Logbook]:
    """All logbooks on this machine, the oldest first."""
    try:
        found = [path for path in place().iterdir() if path.is_dir() and not path.name.startswith(HIDDEN)]
    except FileNotFoundError:
        return []
    books = [Logbook(path) for path in found if (path / PLAN).exists()]
    return sorted(books, key=lambda book: (book.path / PLAN).stat().st_mtime)


def tidy() -> None:
    """Removes what a process left behind that died while it made or removed a logbook."""
    for path in place().glob(f"{HIDDEN}*"):
        if path.is_dir() and not Logbook(path).is_held:
            shutil.rmtree(path, ignore_errors=True)


def find(run: str) -> Logbook | None:
    """The logbook of a run, by its own id or by the run's id in a store."""
    run_id, _ = run_and_path(run)
    for book in every():
        if run_id == book.id:
            return book
        with contextlib.suppress(RecordError):  # of another run
            if run_id in (book.sent.run_id, book.plan.adopted):
                return book
    return None


def not_here(run: str) -> str:
    """Why a run has no logbook, in a sentence."""
    return f"The run {run} is not kept in {place()}: its store has all of it, or it was trained elsewhere."
