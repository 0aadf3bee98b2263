"""The archive that torch.save writes, read whole and held against torch's own form before anything uses it.

torch.save writes a ZIP file of plain records: nothing compressed, no dates, each record's bytes starting at
a multiple of 64. So there is one spelling of its records, and a file that is spelled in another way, be it
by a flipped bit, a second program's reading of it or a hidden record, is refused. Nothing is written.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from reproven.files.disk import first_line

PICKLE = "data.pkl"
#: A file of this size or larger is in another form of ZIP, and is not read.
LIMIT = 2**32 - 1
_FIRST = b"PK\x03\x04"
_NAMES = re.compile(
    r"data\.pkl|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id|data/(0|[1-9]\d*)"
)
_SAID = {"byteorder": b"little", "version": b"3\n", ".format_version": b"1", ".storage_alignment": b"64"}
_ALIGNMENT = 64
_FLAGS = 0x808  # sizes stand behind the bytes, names are UTF-8
_ENCRYPTED = 0x1


class OddArchive(ValueError):
    """Bytes that torch.save did not write; says what was found."""


def is_archive(content: bytes) -> bool:
    """Whether bytes start as a ZIP file does."""
    return content.startswith(_FIRST)


def read(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OddArchive: It is too large to be one of this package's models.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    if size >= LIMIT:
        raise OddArchive(f"it has {size} bytes, and only files of less than {LIMIT} are read")
    return path.read_bytes()


def records(content: bytes) -> dict[str, bytes]:
    """The records of an archive by their names in its folder, each with the bytes that it must have.

    Raises:
        OddArchive: It is not to the last bit what torch.save writes for its records.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            folder = _checked(entries)
            if sum(entry.file_size for entry in entries) > len(content):
                raise OddArchive("its records overlap, or are longer than the file")
            found = {entry.filename: archive.read(entry) for entry in entries}
        is_spelled = _spelled(found) == content
    except OddArchive:
        raise
    except Exception as error:  # zipfile has no one class for all that a broken file can be
        raise OddArchive(f"its ZIP archive is broken: {first_line(error)}") from error
    if not is_spelled:
        raise OddArchive("its records are sound, but the bytes around them are not those of torch.save")
    inner = {name.removeprefix(f"{folder}/"): record for name, record in found.items()}
    for name, said in _SAID.items():
        if inner.get(name, said) != said:
            raise OddArchive(f"its record {name} is {inner[name][:20]!r}, but must be {said!r}")
    if PICKLE not in inner:
        raise OddArchive(f"its archive has no record {PICKLE}")
    return inner


def _checked(entries: list[zipfile.ZipInfo]) -> str:
    """Refuses what can be refused by a look at the list; returns the folder that all records are in."""
    if not entries:
        raise OddArchive("its archive is empty")
    folder = entries[0].filename.partition("/")[0]
    seen = set()
    for entry in entries:
        name = entry.filename
        shown = name[:100]
        if name in seen:
            raise OddArchive(f"its archive has two records named {shown!r}")
        seen.add(name)
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name:
            raise OddArchive(f"its archive has a record {shown!r}, a path that leads out of it")
        if entry.flag_bits & _ENCRYPTED:
            raise OddArchive(f"its record {shown!r} is encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise OddArchive(
                f"its record {shown!r} is compressed, from {entry.file_size} bytes to {entry.compress_size}, "
                "which torch.save never does"
            )
        if entry.file_size == 0:
            raise OddArchive(f"its record {shown!r} is empty")
        if not name.startswith(f"{folder}/") or not _NAMES.fullmatch(name[len(folder) + 1 :]):
            raise OddArchive(f"its archive has a record {shown!r}, which torch.save does not write")
    return folder


def _spelled(found: Mapping[str, bytes]) -> bytes:
    """The archive as torch.save writes these records, in their order.

    Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16, and PyTorchStreamWriter in torch 2.13.
    """
    parts, listed, place = [], [], 0
    for name, record in found.items():
        spelled, crc, size = name.encode(), zlib.crc32(record), len(record)
        padding = -(place + 30 + len(spelled) + 4) % _ALIGNMENT
        local = struct.pack("<5H3I2H", 0, _FLAGS, 0, 0, 0, 0, 0, 0, len(spelled), 4 + padding)
        filler = b"FB" + struct.pack("<H", padding) + b"Z" * padding
        behind = b"PK\x07\x08" + struct.pack("<3I", crc, size, size)
        item = [_FIRST, local, spelled, filler, record, behind]
        numbers = struct.pack(
            "<6H3I5H2I", 0, 0, _FLAGS, 0, 0, 0, crc, size, size, len(spelled), *[0] * 5, place
        )
        listed.append(b"PK\x01\x02" + numbers + spelled)
        parts += item
        place += sum(map(len, item))
    names = b"".join(listed)
    count, length = len(found), len(names)
    end = struct.pack("<Q2H2I4Q", 44, 0x31E, 45, 0, 0, count, count, length, place)
    where = struct.pack("<IQI", 0, place + length, 1)
    short = struct.pack("<4H2IH", 0, 0, count, count, length, place, 0)
    return b"".join([*parts, names, b"PK\x06\x06", end, b"PK\x06\x07", where, b"PK\x05\x06", short])
