"""Evidence: the files of one run, in a store or in a bundle's folder, and whether they agree.

A bundle is a folder with the artifacts of a run; so both are looked at alike. Whatever contradicts
something else is named in a sentence. No file is changed, and none is followed out of its folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from reproven.arithmetic import profiles
from reproven.errors import Absent, RecordError, Unreadable
from reproven.files import disk, manifest, names
from reproven.files.manifest import Manifest
from reproven.files.names import ENVIRONMENT, MANIFEST, METRICS, OWN, SNAPSHOT
from reproven.files.texts import json_object
from reproven.own import trust
from reproven.own.named import modules_of
from reproven.own.sources import apart, sources_again
from reproven.store.store import Store
from reproven.store.tags import SEAL
from reproven.values.changes import other_files, other_words
from reproven.values.metrics import Row, read_metrics
from reproven.values.record import Record
from reproven.values.run_ids import run_id_in
from reproven.values.snapshot import Snapshot

_LONGEST_TEXT = 1 << 30


@dataclass(frozen=True)
class Evidence:
    """The files of a run.

    Attributes:
        source: What was asked for: a run id or a bundle's folder.
        folder: Where the files lie.
        tags: The run's tags in its store; None for a bundle.
    """

    source: str
    folder: Path
    tags: Mapping[str, str] | None

    def path(self, name: str) -> Path:
        """Where a file lies.

        Raises:
            RecordError: It is missing, or no plain file.
        """
        if odd := manifest.oddity(self.folder, name):
            raise RecordError(f"{name} {odd}")
        return self.folder / name

    def text(self, name: str) -> str:
        """A file's text.

        Raises:
            RecordError: It is missing, not UTF-8, no plain file, or absurdly large.
        """
        path = self.path(name)
        if (size := path.stat().st_size) > _LONGEST_TEXT:
            raise RecordError(f"{name} has {size} bytes, but no text of a record has over {_LONGEST_TEXT}.")
        try:
            return disk.read_text(path)
        except Unreadable as error:
            raise RecordError(f"{name} {error.reason}") from error

    @cached_property
    def snapshot(self) -> Snapshot:
        """What the run's store showed of it when it ended."""
        return Snapshot.read(self.text(SNAPSHOT))

    @cached_property
    def manifest(self) -> Manifest:
        """The list of its files."""
        return Manifest.read(self.text(MANIFEST))

    @property
    def seal(self) -> str:
        """Digest of its manifest, and so of everything that is listed there.

        Raises:
            RecordError: It is missing, or no plain file.
        """
        return manifest.file_sha256(self.path(MANIFEST))

    @cached_property
    def rows(self) -> list[Row]:
        """Its metrics."""
        return read_metrics(self.text(METRICS))

    @cached_property
    def record(self) -> Record:
        """Its record, with the final weights where they are kept.

        Raises:
            RecordError: It is not whole, or contradicts itself.
        """
        record = Record.read(self.text)
        if names.STATE_DICT not in self.manifest.files:
            return record
        path = self.path(names.STATE_DICT)
        from reproven.files.models import read_described

        try:
            tensors = read_described(path)
        except Unreadable as error:
            raise RecordError(str(error)) from error
        if not isinstance(tensors, dict):
            raise RecordError(f"{names.STATE_DICT} holds a whole model, but must hold a state_dict.")
        return replace(record, weights={name: tensor.numpy() for name, tensor in tensors.items()})


def environment_of(found: Evidence) -> dict[str, Any]:
    """The recorded environment; of a record that cannot be read, the profile that is the usual one."""
    try:
        return json_object(ENVIRONMENT, found.text(ENVIRONMENT))
    except RecordError:  # the audit will say so
        return {"profile": profiles.PORTABLE}


def other_code(found: Evidence) -> tuple[str, ...]:
    """In which files the user's own code is another than the recorded one, in sentences.

    Raises:
        Untrusted: It may not be imported; none of it was.
    """
    inputs = found.record.inputs
    if inputs.own is None:
        return ()
    names = list(inputs.recipe.own.values())
    trust.require(names)
    now = sources_again(modules_of(names), inputs.own.files)
    told = []
    for path, was, digest in other_files(inputs.own.files, now.digests):
        recorded, content = found.folder / OWN / path, now.contents.get(path)
        is_there = content is not None and manifest.oddity(found.folder, f"{OWN}/{path}") is None
        lines = apart(path, recorded.read_bytes(), content) if is_there and content is not None else []
        told.append("\n".join([other_words(path, was, digest), *lines]))
    return tuple(told)


@contextmanager
def gather(source: str, store: Callable[[], Store]) -> Iterator[Evidence]:
    """Finds a run's files; those that are elsewhere are copied for the length of the block.

    Args:
        source: A run id, `runs:/…`, or the folder of a bundle.
        store: Opens the store, if it is a run.

    Raises:
        RecordError: The folder is no bundle, or the run has left no record (yet).
        Absent: The run's files are not where its store says.
        StoreError: There is no such run.
        InvalidInput: It is neither a run id nor a folder.
    """
    path = Path(source)
    if disk.is_folder(path) and path.is_symlink():
        raise RecordError(f"{source} is a symbolic link. Give the folder that it leads to: {path.resolve()}.")
    if disk.is_folder(path):
        if not (path / MANIFEST).is_file():
            raise RecordError(f"{source} is a folder without {MANIFEST}, so it is no bundle of a run.")
        yield Evidence(source, path, None)
        return
    run_id = run_id_in(source)
    tags = store().tags(run_id)
    if SEAL not in tags:
        raise RecordError(
            f"The run {run_id} has no sealed record: it did not come to its end, or was not made by "
            "`reproven train`. Give one that is FINISHED, or FAILED by its own loss."
        )
    with tempfile.TemporaryDirectory(prefix="reproven-") as copy:
        folder = store().files(run_id, Path(copy))
        if not folder.is_dir() or (folder == Path(copy) and not any(folder.iterdir())):
            raise Absent(
                f"The files of the run {run_id} are not at {store().place_of(run_id)}, where its store says "
                "that they are: the store was copied, or they were moved or removed. Put them back there, or "
                "name the folder in which they lie now, the one with manifest.json, in place of the run."
            )
        yield Evidence(run_id, folder, tags)
