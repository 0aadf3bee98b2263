"""The manifest: every file of a folder by its size and digest, and every tensor in it by its own.

A run's manifest lists its artifacts; its own digest is the run's seal. It stops accidents, not a forger,
who writes a new one: that is what a copy of the seal, kept elsewhere, is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from reproven.artifacts import write_text
from reproven.errors import RecordError, RevivalError
from reproven.record import FORMAT, json_text
from reproven.texts import json_value

MANIFEST = "manifest.json"
_TORCH = (".pth", ".pt")
_CHUNK = 1 << 20
_SAME = " Its tensors are the same."


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
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecordError(f"{MANIFEST} is not a manifest: {error!r}.") from error
        for path in files:
            _stays_inside(path)
        found = cls(files)
        if found.text() != text:
            raise RecordError(f"{MANIFEST} has changed: it is not what its own digest says.")
        return found


def _read_entry(values: Mapping[str, Any]) -> Entry:
    size, digest, tensors = values["size"], values["sha256"], values.get("tensors", {})
    if type(size) is not int or not all(isinstance(text, str) for text in (digest, *tensors.values())):
        raise TypeError("an entry's size must be a whole number, and its digests texts")
    return Entry(size, digest, tensors)


def _stays_inside(path: str) -> None:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path or str(parts) != path:
        raise RecordError(f"{MANIFEST} names {path!r}, which is not a path inside its folder.")


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
    """The digests of the tensors in a file that torch.save wrote.

    Raises:
        RevivalError: It cannot be read safely.
    """
    from torch import nn

    from reproven.digests import tensor_digests
    from reproven.pickles import read_torch

    value = read_torch(path)
    return tensor_digests(value.state_dict() if isinstance(value, nn.Module) else value)


def check(manifest: Manifest, folder: Path) -> Iterator[str]:
    """What differs between a manifest and the files in a folder, each in a sentence; names every file."""
    for path, entry in manifest.files.items():
        file = folder / path
        inner = [file, *file.parents][: len(PurePosixPath(path).parts)]
        if any(part.is_symlink() for part in inner):
            yield f"{path} is a symbolic link or lies behind one, which no record has."
        elif not file.is_file():
            yield f"{path} is missing."
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
    except RevivalError as error:
        return f" {str(error).replace(str(file), 'It')}"
    names = [
        name for name in dict.fromkeys([*entry.tensors, *found]) if found.get(name) != entry.tensors.get(name)
    ]
    if not names:
        return _SAME
    return f" Of its tensors, {', '.join(names)} differ."


def unlisted(manifest: Manifest, folder: Path) -> list[str]:
    """Files in a folder that its manifest does not list."""
    return [path for path in _paths(folder) if path not in manifest.files]
