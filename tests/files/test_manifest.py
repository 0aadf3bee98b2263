"""The manifest: each file by its size, digest and tensors; what differs is told, what is odd not opened."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import ROOT
from reproven.errors import RecordError
from reproven.files import manifest
from reproven.files.digests import tensor_digests
from reproven.files.manifest import Entry, Manifest
from reproven.files.models import write_torch
from reproven.files.texts import json_text

WEIGHTS = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}
DIGESTS = tensor_digests(WEIGHTS)
LISTED = Manifest({"a.txt": Entry(1, "0" * 64, {}), "b/c.pth": Entry(2, "1" * 64, {"w": "2" * 64})})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a text, one inside another folder, and tensors."""
    found = tmp_path / "folder"
    (found / "inner").mkdir(parents=True)
    (found / "text.txt").write_bytes(b"text")
    (found / "inner" / "large.bin").write_bytes(bytes((1 << 20) + 1))
    write_torch(found / "weights.pth", WEIGHTS)
    return found


def test_it_lists_every_file_but_itself(folder: Path) -> None:
    content = (folder / "weights.pth").read_bytes()
    taken = manifest.take(folder)
    assert list(taken.files.items()) == [
        ("inner/large.bin", Entry((1 << 20) + 1, sha256(bytes((1 << 20) + 1)), {})),
        ("text.txt", Entry(4, sha256(b"text"), {})),
        ("weights.pth", Entry(len(content), sha256(content), DIGESTS)),
    ]
    seal = manifest.write(folder, taken)
    written = (folder / "manifest.json").read_bytes()
    assert (seal, written.decode()) == (sha256(written), taken.text())
    assert manifest.take(folder) == taken
    assert list(manifest.take(folder, "under/").files) == [f"under/{path}" for path in taken.files]
    assert list(manifest.check(taken, folder)) == []
    assert manifest.unlisted(taken, folder) == []


def test_a_whole_model_is_listed_by_its_tensors(folder: Path) -> None:
    shipped = ROOT / "src" / "reproven" / "reference" / "module-sgd" / "model.pth"
    (folder / "model.pt").write_bytes(shipped.read_bytes())
    assert set(manifest.take(folder).files["model.pt"].tensors) > {"network.hidden1.weight", "mean"}


def test_it_reads_back_what_it_wrote_and_nothing_else() -> None:
    text = LISTED.text()
    assert Manifest.read(text) == LISTED
    value = json.loads(text)
    assert list(value) == ["files", "format", "sha256"]
    assert value["files"]["a.txt"] == {"size": 1, "sha256": "0" * 64}
    del value["sha256"]
    assert json.loads(text)["sha256"] == sha256(json_text(value).encode())
    for other in (text.replace('"size": 1', '"size": 2'), text[:-1], f"{text}\n", text.replace(" ", "")):
        with pytest.raises(RecordError) as error:
            Manifest.read(other)
        assert str(error.value) == "manifest.json has changed: it is not what its own digest says."


def of(entry: Any, path: str = "a") -> str:
    return json.dumps({"format": 1, "files": {path: entry}})


WHOLE = {"size": 1, "sha256": "0"}
PLAIN = 'TypeError("an entry\'s size must be a whole number, and its digests texts")'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not a manifest: JSONDecodeError("),
        ("[]", "is not a manifest: TypeError("),
        ("{}", "is not a manifest: KeyError('format')."),
        ('{"format": 2}', "is not of format 1, which this version reads."),
        ('{"format": 1}', "is not a manifest: KeyError('files')."),
        ('{"format": 1, "files": []}', "is not a manifest: AttributeError("),
        (of({"sha256": "0"}), "is not a manifest: KeyError('size')."),
        (of({"size": 1}), "is not a manifest: KeyError('sha256')."),
        (of({**WHOLE, "size": True}), f"is not a manifest: {PLAIN}."),
        (of({**WHOLE, "size": 1.0}), f"is not a manifest: {PLAIN}."),
        (of({**WHOLE, "sha256": 1}), f"is not a manifest: {PLAIN}."),
        (of({**WHOLE, "tensors": {"w": 1}}), f"is not a manifest: {PLAIN}."),
        (of({**WHOLE, "tensors": []}), "is not a manifest: AttributeError("),
    ],
)
def test_what_is_no_manifest_is_refused(text: str, words: str) -> None:
    with pytest.raises(RecordError) as error:
        Manifest.read(text)
    assert str(error.value).startswith(f"manifest.json {words}")


UMLAUTS = "\\xfc" * 100
OUTSIDE, NO_NAME = "which is not a path inside its folder.", "which no file of a record is called."


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/a", f"'/a', {OUTSIDE}"),
        ("../a", f"'../a', {OUTSIDE}"),
        ("a/../../b", f"'a/../../b', {OUTSIDE}"),
        ("a\\b", f"'a\\\\b', {OUTSIDE}"),
        ("./a", f"'./a', {OUTSIDE}"),
        ("a//b", f"'a//b', {OUTSIDE}"),
        ("", f"'', {OUTSIDE}"),
        (".", f"'.', {OUTSIDE}"),
        ("a\nb", f"'a\\nb', {NO_NAME}"),
        ("ü" * 128, f"'{UMLAUTS}'…, {NO_NAME}"),
        (f"{'x' * 256}/a", f"'{'x' * 100}'…, {NO_NAME}"),
        ("/" + "x" * 98, f"'/{'x' * 98}', {OUTSIDE}"),
        ("/" + "x" * 99, f"'/{'x' * 99}'…, {OUTSIDE}"),
    ],
)
def test_a_path_that_leads_out_or_that_nothing_is_called_is_refused(path: str, words: str) -> None:
    with pytest.raises(RecordError) as error:
        Manifest.read(Manifest({path: Entry(1, "0", {})}).text())
    assert str(error.value) == f"manifest.json names {words}"


def test_the_longest_name_is_one() -> None:
    listed = Manifest({f"{'x' * 255}/{'ü' * 127}": Entry(1, "0", {})})
    assert Manifest.read(listed.text()) == listed


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def behind_a_link(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


def replaced(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        os.chdir(path.parent)  # the whole path may be longer than a socket's name
        opened.bind(path.name)


def grown(to: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, to)


LINK = "is a symbolic link or lies behind one, which no record has."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: None, None),
        (linked, LINK),
        (behind_a_link, LINK),
        (replaced(lambda path: path.symlink_to("nowhere")), LINK),
        (Path.unlink, "is not there."),
        (replaced(Path.mkdir), "is a folder, but must be a plain file."),
        (replaced(os.mkfifo), "is a named pipe, but must be a plain file."),
        (replaced(bound), "is a socket, but must be a plain file."),
        (grown(1 << 32), None),
        (grown((1 << 32) + 1), "has 4294967297 bytes, but no file of a record has more than 4294967296."),
    ],
)
def test_what_is_no_plain_file_is_told_unopened(
    change: Callable[[Path], None], words: str | None, folder: Path
) -> None:
    change(folder / "inner" / "large.bin")
    assert manifest.oddity(folder, "inner/large.bin") == words


def test_a_path_that_cannot_be_looked_at_is_told(folder: Path) -> None:
    assert manifest.oddity(folder, "text.txt/more") == "is not there."
    assert manifest.oddity(folder, "x" * 256) == "cannot be read: File name too long."
    assert manifest.oddity(Path("/"), "dev/null") == "is a device, but must be a plain file."


def test_a_link_above_the_folder_is_none_of_its_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert manifest.oddity(tmp_path / "link", "inner/large.bin") is None


def test_what_changed_is_told_with_both_digests(folder: Path) -> None:
    taken = manifest.take(folder)
    (folder / "text.txt").write_bytes(b"longer")
    (folder / "inner" / "large.bin").unlink()
    write_torch(folder / "weights.pth", {"a": WEIGHTS["a"] + 1, "c": WEIGHTS["b"]})
    now, before = manifest.file_sha256(folder / "weights.pth"), taken.files["weights.pth"]
    size = (folder / "weights.pth").stat().st_size
    sizes = "" if size == before.size else f" ({size} bytes instead of {before.size})"
    assert list(manifest.check(taken, folder)) == [
        "inner/large.bin is missing.",
        "text.txt has changed (6 bytes instead of 4): "
        f"its sha256 is {sha256(b'longer')}, the manifest's {sha256(b'text')}.",
        f"weights.pth has changed{sizes}: its sha256 is {now}, the manifest's {before.sha256}. "
        "Of its tensors, a, b, c differ.",
    ]
    (folder / "text.txt").write_bytes(b"tixt")
    (folder / "weights.pth").write_bytes(b"none")
    assert list(manifest.check(taken, folder))[1:] == [
        f"text.txt has changed: its sha256 is {sha256(b'tixt')}, the manifest's {sha256(b'text')}.",
        f"weights.pth has changed (4 bytes instead of {before.size}): its sha256 is {sha256(b'none')}, "
        f"the manifest's {before.sha256}. It is refused: it is no archive of torch.save. Only files that "
        "torch.save wrote are read, with this package's networks and torch's tensors in them, and nothing in "
        "the file has run. Do not load it in another way unless you trust who made it.",
    ]


def test_a_file_that_is_none_any_more_is_told(folder: Path) -> None:
    taken = manifest.take(folder)
    linked(folder / "text.txt")
    assert list(manifest.check(taken, folder)) == [f"text.txt {LINK}"]


def test_the_same_tensors_in_other_bytes_are_told_so(folder: Path) -> None:
    taken = manifest.take(folder)
    torch.save(WEIGHTS, folder / "weights.pth")  # which names its records after the file
    (told,) = manifest.check(taken, folder)
    assert told.endswith(". Its tensors are the same.")


def test_a_manifest_that_lies_about_tensors_is_told(folder: Path) -> None:
    taken = manifest.take(folder)
    entry = taken.files["weights.pth"]
    lying = Entry(entry.size, entry.sha256, {**entry.tensors, "a": "0" * 64})
    assert list(manifest.check(Manifest({"weights.pth": lying}), folder)) == [
        "weights.pth is not what the manifest says of it. Of its tensors, a differ."
    ]


def test_what_is_not_listed_is_named(folder: Path) -> None:
    taken = manifest.take(folder)
    (folder / "inner" / "ü\n").write_bytes(b"")
    (folder / "empty").mkdir()
    (folder / "b").symlink_to("inner")
    manifest.write(folder, taken)
    assert manifest.unlisted(taken, folder) == ["b", "inner/\\xfc\\n"]
