"""The manifest: every file of a folder by its size and digest, and every tensor in it by its own.

A run's manifest lists its artifacts; its own digest is the run's seal. It stops accidents, not a forger,
who writes a new one: that is what a copy of the seal, kept elsewhere, is for.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from reproven.errors import RecordError, Unreadable
from reproven.files.disk import write_text
from reproven.files.names import MANIFEST
from reproven.files.texts import FORMAT, json_text, json_value

_TORCH = (".pth", ".pt")
_CHUNK = 1 << 20
LIMIT = 1 << 32  # bytes of a file of a record; a model's file has less
_LONGEST_NAME = 255  # bytes; what a file system takes
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_SAME = " Its tensors are the same."
ABSENT = "is not there."


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its size in bytes, its sha256, and the digests of the tensors in it, by name."""

    size: int
    sha256: str
    tensors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a folder, by their paths in it with `/`."""

    files: Mapping[str, Entry]

    def text(self) -> str:
        """The file that holds it, with a digest of itself; its own sha256 is the seal of what is listed."""
        files: dict[str, Any] = {}
        for path, entry in self.files.items():
            files[path] = {"size": entry.size, "sha256": entry.sha256}
            if entry.tensors:
                files[path]["tensors"] = dict(entry.tensors)
        listed = {"format": FORMAT, "files": files}
        return json_text({**listed, "sha256": hashlib.sha256(json_text(listed).encode()).hexdigest()})

    @classmethod
    def read(cls, text: str) -> Manifest:
        """Reads what `text` wrote.

        Raises:
            RecordError: It is not such a text to the last character, or names a path that leads out of
                its folder.
        """
        try:
            values = json_value(text)
            if values["format"] != FORMAT:
                raise RecordError(f"{MANIFEST} is not of format {FORMAT}, which this version reads.")
            files = {path: _read_entry(entry) for path, entry in values["files"].items()}
            for path in files:
                _stays_inside(path)
            found = cls(files)
            is_same = found.text() == text
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecordError(f"{MANIFEST} is not a manifest: {error!r}.") from error
        if not is_same:
            raise RecordError(f"{MANIFEST} has changed: it is not what its own digest says.")
        return found


def _read_entry(values: Mapping[str, Any]) -> Entry:
    size, digest, tensors = values["size"], values["sha256"], values.get("tensors", {})
    if type(size) is not int or not all(isinstance(text, str) for text in (digest, *tensors.values())):
        raise TypeError("an entry's size must be a whole number, and its digests texts")
    return Entry(size, digest, tensors)


def _stays_inside(path: str) -> None:
    inner = PurePosixPath(path)
    if inner.is_absolute() or ".." in inner.parts or "\\" in path or str(inner) != path or not inner.parts:
        raise RecordError(f"{MANIFEST} names {_escaped(path)}, which is not a path inside its folder.")
    if not path.isprintable() or any(len(part.encode()) > _LONGEST_NAME for part in inner.parts):
        raise RecordError(f"{MANIFEST} names {_escaped(path)}, which no file of a record is called.")


def _escaped(path: str) -> str:
    return ascii(path) if len(path) < 100 else f"{path[:100]!a}…"


def take(folder: Path, prefix: str = "") -> Manifest:
    """The manifest of everything in a folder, but for one that is there already.

    Args:
        folder: The folder.
        prefix: Stands before each path.
    """
    return Manifest({f"{prefix}{path}": _entry(folder / path) for path in _paths(folder)})


def write(folder: Path, manifest: Manifest) -> str:
    """Writes a manifest into its folder, and returns its seal."""
    write_text(folder / MANIFEST, manifest.text())
    return file_sha256(folder / MANIFEST)


def _paths(folder: Path) -> list[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if path != MANIFEST)


def _entry(path: Path) -> Entry:
    return Entry(path.stat().st_size, file_sha256(path), _tensors(path) if path.suffix in _TORCH else {})


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _tensors(path: Path) -> dict[str, str]:
    """The digests of the tensors in a file that torch.save wrote, and of a model's texts.

    Raises:
        Unreadable: It cannot be read safely.
    """
    from reproven.files.models import digests_of, read_described

    return digests_of(read_described(path))


def oddity(folder: Path, path: str) -> str | None:
    """Why a path in a folder is no plain file that can be read, in words that follow it; None where it is.

    Nothing is opened: to open a named pipe is to wait for whoever writes into it.
    """
    file = folder / path
    inner = [file, *file.parents][: len(PurePosixPath(path).parts)]
    try:
        if any(part.is_symlink() for part in inner):
            return "is a symbolic link or lies behind one, which no record has."
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError as error:
        return f"cannot be read: {error.strerror}."
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a special file")
        return f"is {kind}, but must be a plain file."
    if found.st_size > LIMIT:
        return f"has {found.st_size} bytes, but no file of a record has more than {LIMIT}."
    return None


#: Passes files through, told how many there will be: a progress bar does its work in between.
WatchFiles = Callable[[Iterable[tuple[str, Entry]], int], Iterable[tuple[str, Entry]]]


def unwatched(files: Iterable[tuple[str, Entry]], total: int) -> Iterable[tuple[str, Entry]]:
    """The files as they are."""
    return files


def check(manifest: Manifest, folder: Path, watch: WatchFiles = unwatched) -> Iterator[str]:
    """What differs between a manifest and the files in a folder, each in a sentence; names every file.

    Args:
        manifest: What they must be.
        folder: Where they lie.
        watch: Passes the manifest's files through.
    """
    for path, entry in watch(manifest.files.items(), len(manifest.files)):
        file = folder / path
        if odd := oddity(folder, path):
            yield f"{path} {'is missing.' if odd == ABSENT else odd}"
        elif (found := file_sha256(file)) != entry.sha256:
            size = file.stat().st_size
            sizes = f" ({size} bytes instead of {entry.size})" if size != entry.size else ""
            digests = f"its sha256 is {found}, the manifest's {entry.sha256}"
            yield f"{path} has changed{sizes}: {digests}.{_which(file, entry)}"
        elif file.suffix in _TORCH and (which := _which(file, entry)) != _SAME:
            yield f"{path} is not what the manifest says of it.{which}"


def _which(file: Path, entry: Entry) -> str:
    """Which tensors of a file are others than the manifest's."""
    if file.suffix not in _TORCH:
        return ""
    try:
        found = _tensors(file)
    except Unreadable as error:
        return f" It {error.reason}"
    names = [
        name for name in dict.fromkeys([*entry.tensors, *found]) if found.get(name) != entry.tensors.get(name)
    ]
    if not names:
        return _SAME
    return f" Of its tensors, {', '.join(names)} differ."


def unlisted(manifest: Manifest, folder: Path) -> list[str]:
    """Files in a folder that its manifest does not list, links and special files among them."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return sorted(ascii(path)[1:-1] for path in found if path != MANIFEST and path not in manifest.files)
