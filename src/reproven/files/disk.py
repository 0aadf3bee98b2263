"""Plain files: written whole or not at all, read with clear errors. No torch here."""

from __future__ import annotations

import os
from pathlib import Path

from reproven.errors import Unreadable


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old one or the whole new one: new name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)  # on a full disk it would be in the way
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file."""
    write_bytes(path, text.encode())


def is_file(path: Path) -> bool:
    """Whether a path is a file; one that no file can have is none."""
    try:
        return path.is_file()
    except OSError:  # its name is too long, or a folder on the way is closed
        return False


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; one that no folder can have is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def read_text(path: Path) -> str:
    """Reads a UTF-8 file.

    Raises:
        Unreadable: It is missing or not such a file.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Unreadable(path, "is not there.") from error
    except (OSError, ValueError) as error:
        raise Unreadable(path, f"cannot be read: {first_line(error)}.") from error
