"""The archive of torch.save: its records come back, and any other spelling is refused by what is odd."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
import torch

from hostile import edited, records_of, saved, zipped
from reproven.files import archive
from reproven.files.archive import OddArchive

LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
TENSORS = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([4.0], dtype=torch.float64)}
LONG = "f" * 101


def spelled(**records: bytes) -> bytes:
    """Records, `__` for a slash, in an archive that is torch.save's to the last bit."""
    return archive._spelled({name.replace("__", "/"): record for name, record in records.items()})


ONE = spelled(f__data__0=b"x")


def refusal(content: bytes) -> str:
    with pytest.raises(OddArchive) as caught:
        archive.records(content)
    return str(caught.value)


def test_what_torch_saves_is_read_record_by_record() -> None:
    content = saved(TENSORS)
    found = archive.records(content)
    assert {f"archive/{name}": record for name, record in found.items()} == records_of(content)
    assert found["data/0"] == struct.pack("<3f", 1, 2, 3)
    assert found["data/1"] == struct.pack("<d", 4)


@pytest.mark.parametrize("name", ["w", "weights"])
def test_an_archive_bears_the_name_of_its_file(name: str) -> None:
    torch.save(TENSORS, f"{name}.pth")
    content = archive.read(Path(f"{name}.pth"))
    assert f"{name}/data.pkl" in records_of(content)
    assert list(archive.records(content)) == list(archive.records(saved(TENSORS)))


def test_records_stand_in_any_order_and_what_says_the_form_may_be_left_out() -> None:
    content = spelled(f__data__0=b"x", f__data__pkl=b"y").replace(b"data/pkl", b"data.pkl")
    assert archive.records(content) == {"data/0": b"x", "data.pkl": b"y"}


def test_a_name_and_a_number_of_records_that_need_16_bits_are_read() -> None:
    folder = "f" * 40_000
    assert archive.records(archive._spelled({f"{folder}/data.pkl": b"x"})) == {"data.pkl": b"x"}
    many = {"f/data.pkl": b"x", **{f"f/data/{number}": b"x" for number in range(1 << 15)}}
    assert len(archive.records(archive._spelled(many))) == len(many)


def test_a_name_that_is_too_long_only_in_utf_8_is_refused() -> None:
    name = b"\xc9" * 30_000 + b"/data.pkl"  # in code page 437; each of the letters takes three bytes in UTF-8
    local = struct.pack("<5H3I2H", 0, 0, 0, 0, 0, zlib.crc32(b"x"), 1, 1, len(name), 0)
    listed = struct.pack("<6H3I5H2I", 0, 0, 0, 0, 0, 0, zlib.crc32(b"x"), 1, 1, len(name), *[0] * 6)
    end = struct.pack("<4H2IH", 0, 0, 1, 1, 46 + len(name), 31 + len(name), 0)
    content = LOCAL + local + name + b"x" + CENTRAL + listed + name + b"PK\x05\x06" + end
    assert refusal(content).startswith("its ZIP archive is broken: ushort format requires")


def test_only_what_begins_as_a_zip_does_is_an_archive() -> None:
    assert archive.is_archive(saved(TENSORS))
    assert not any(archive.is_archive(content) for content in (b"", b"PK", b"xPK\x03\x04", b"PK\x05\x06"))


def test_a_file_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LIMIT", 4)
    Path("small").write_bytes(b"123")
    assert archive.read(Path("small")) == b"123"
    Path("large").write_bytes(b"1234")
    with pytest.raises(OddArchive) as caught:
        archive.read(Path("large"))
    assert str(caught.value) == "it has 4 bytes, and only files of less than 4 are read"


ODD_LIST = {
    "": "its archive has a record {}, which torch.save does not write",
    "data.pkl": "its archive has a record {}, which torch.save does not write",
    "g/data.pkl": "its archive has a record {}, which torch.save does not write",
    "f/more": "its archive has a record {}, which torch.save does not write",
    "f/data/00": "its archive has a record {}, which torch.save does not write",
    "f/f/data.pkl": "its archive has a record {}, which torch.save does not write",
    "/data.pkl": "its archive has a record {}, a path that leads out of it",
    "f/../data.pkl": "its archive has a record {}, a path that leads out of it",
    "f\\data.pkl": "its archive has a record {}, a path that leads out of it",
}


@pytest.mark.parametrize(("name", "words"), ODD_LIST.items())
def test_a_record_of_another_name_is_refused(name: str, words: str) -> None:
    assert refusal(archive._spelled({"f/data/0": b"x", name: b"y"})) == words.format(repr(name))


@pytest.mark.parametrize("folder", ["..", "", "a\\b"])
def test_a_folder_that_leads_out_of_the_archive_is_refused(folder: str) -> None:
    name = f"{folder}/data.pkl"
    words = f"its archive has a record {name!r}, a path that leads out of it"
    assert refusal(archive._spelled({name: b"x"})) == words


def test_a_folder_inside_the_folder_is_refused() -> None:
    words = "its archive has a record 'f/g/data.pkl', which torch.save does not write"
    assert refusal(archive._spelled({"f/g/data.pkl": b"x"})) == words


ODD: dict[str, tuple[bytes, str]] = {
    "nothing in it": (zipped({}), "its archive is empty"),
    "no zip": (b"PK\x03\x04", "its ZIP archive is broken: File is not a zip file"),
    "a wrong CRC": (
        edited(ONE, CENTRAL, 16, "<I", 7),
        "its ZIP archive is broken: Bad CRC-32 for file 'f/data/0'",
    ),
    "encrypted": (edited(ONE, CENTRAL, 8, "<H", 0x809), "its record 'f/data/0' is encrypted"),
    "said to be deflated": (
        edited(ONE, CENTRAL, 10, "<H", 8),
        "its record 'f/data/0' is compressed, from 1 bytes to 1, which torch.save never does",
    ),
    "two sizes": (
        edited(ONE, CENTRAL, 24, "<I", 9),
        "its record 'f/data/0' is compressed, from 9 bytes to 1, which torch.save never does",
    ),
    "an empty record": (spelled(f__data__0=b""), "its record 'f/data/0' is empty"),
    "longer than the file": (
        edited(edited(ONE, CENTRAL, 20, "<I", len(ONE) + 1), CENTRAL, 24, "<I", len(ONE) + 1),
        "its records overlap, or are longer than the file",
    ),
    "as long as the file": (
        edited(edited(ONE, CENTRAL, 20, "<I", len(ONE)), CENTRAL, 24, "<I", len(ONE)),
        "its ZIP archive is broken: EOFError",
    ),
    "spelled by another program": (
        zipped({"f/data.pkl": b"x"}),
        "its records are sound, but the bytes around them are not those of torch.save",
    ),
    "no pickle": (ONE, "its archive has no record data.pkl"),
    "another version": (spelled(f__version=b"4\n"), "its record version is b'4\\n', but must be b'3\\n'"),
    "another order of bytes": (
        spelled(f__byteorder=b"little, or so it is said"),
        "its record byteorder is b'little, or so it is ', but must be b'little'",
    ),
    "a long name": (
        spelled(**{f"{LONG}__more": b"x"}),
        f"its archive has a record '{LONG[:100]}', which torch.save does not write",
    ),
}


@pytest.mark.parametrize(("content", "words"), ODD.values(), ids=ODD)
def test_an_odd_archive_is_refused_by_what_is_odd(content: bytes, words: str) -> None:
    assert refusal(content) == words


def test_two_records_of_one_name_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("f/data.pkl", b"x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("f/data.pkl", b"y")
    assert refusal(buffer.getvalue()) == "its archive has two records named 'f/data.pkl'"
