"""Dialects: how a file of text writes a table, its encoding, separator and decimal mark, where nobody says.

What is found follows from the file alone, so that a replay reads what the training read. No pandas here.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import IO, Any, cast

from reproven.errors import DataError
from reproven.recipes.typed import TAB

_SEPARATORS = (",", ";", "\t", "|")
_FIRST_ROWS = 20
_BLOCK = 1 << 20
#: Bytes that a file may unpack to whatever its size, and times its size beyond: numbers never pack so well.
_HARMLESS, _MOST_TIMES = 1 << 30, 500
UTF8 = "utf-8-sig"  # with a byte order mark or without
_MARKS = {codecs.BOM_UTF8: UTF8, codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_WITH_COMMA = re.compile(r"\s*[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?\s*")


def character(sep: str) -> str:
    """A separator as the character that it is."""
    return "\t" if sep == TAB else sep


def opened(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked where its name ends in .gz."""
    return cast("IO[bytes]", gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def refuse_bomb(path: Path, size: int) -> None:
    """Refuses what unpacks to more than any table does.

    Args:
        path: The file.
        size: How many bytes it holds unpacked, at least.

    Raises:
        DataError: They are too many for a file of its size.
    """
    packed = path.stat().st_size
    if size > max(_HARMLESS, _MOST_TIMES * packed):
        raise DataError(
            f"{path} has {packed} bytes, but unpacks to {size} and more: over {_MOST_TIMES} times its size, "
            "as no table does. Look at what it holds."
        )


def encoding_of(path: Path) -> str:
    """The encoding of a file of text.

    Its byte order mark says it; else it is the first of UTF-8, cp1252 and latin-1 that it can be.

    Raises:
        DataError: It is no text, or unpacks to more than any table does.
    """
    with opened(path) as file:
        head = file.read(3)
    marked = [encoding for mark, encoding in _MARKS.items() if head.startswith(mark)]
    found = (encoding for encoding in marked or (UTF8, "cp1252") if _is_written_in(encoding, path))
    return next(found, marked[0] if marked else "latin-1")


def _is_written_in(encoding: str, path: Path) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in _blocks(path, may_have_zeros=encoding == "utf-16"):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _blocks(path: Path, *, may_have_zeros: bool) -> Iterator[bytes]:
    size = 0
    with opened(path) as file:
        while block := file.read(_BLOCK):
            if b"\0" in block and not may_have_zeros:
                raise DataError(
                    f"{path} is no text: byte {size + block.index(0) + 1} is zero. Give a table of text, or "
                    "one whose name ends in what it is, as .parquet and .xlsx do."
                )
            size += len(block)
            refuse_bomb(path, size)
            yield block


def first_rows(path: Path, encoding: str, sep: str, count: int = 1) -> list[list[str]]:
    """The first rows of a table, by the separator of their cells; blank lines are rows without cells.

    Raises:
        csv.Error: A cell has no end.
    """
    with io.TextIOWrapper(opened(path), encoding=encoding, newline="") as file:
        return list(islice(csv.reader(file, delimiter=sep), count))


def separator(path: Path, encoding: str, *, usual: str, decimal: str | None) -> str:
    """The character between a table's cells.

    It is one by which all of the first rows have as many cells, and more than one; of several the one by
    which most of these cells are numbers, and of equals the first. Where there is none it is the usual one.

    Args:
        path: The file.
        encoding: Its encoding.
        usual: What files of such a name have.
        decimal: The decimal mark, which it cannot be; None where it is not known.
    """
    candidates = [one for one in (usual, *_SEPARATORS) if one != decimal]
    shares = {one: _share_of_numbers(path, encoding, one, decimal) for one in dict.fromkeys(candidates)}
    best = max(shares.values())
    return next(one for one, share in shares.items() if share == best)


def _share_of_numbers(path: Path, encoding: str, sep: str, decimal: str | None) -> float:
    """Of the cells that a separator makes, the share that are numbers; -1 where it makes no table."""
    try:
        rows = [row for row in first_rows(path, encoding, sep, _FIRST_ROWS) if row]
    except csv.Error:
        return -1
    widths = {len(row) for row in rows}
    if len(widths) != 1 or widths == {1}:
        return -1
    cells = [cell for row in rows for cell in row]
    return sum(is_number(cell, sep=sep, decimal=decimal) for cell in cells) / len(cells)


def is_number(cell: str, *, sep: str, decimal: str | None) -> bool:
    """Whether a cell reads as a number, with either decimal mark where it is not known."""
    if sep != "," and decimal != ".":
        cell = cell.replace(",", ".")
    try:
        float(cell)
    except ValueError:
        return False
    return True


def has_decimal_commas(values: Iterable[Any]) -> bool:
    """Whether all values of a column are numbers once a comma is a decimal mark, and one has such a comma."""
    found = False
    for value in values:
        if isinstance(value, str):
            if not _WITH_COMMA.fullmatch(value):
                return False
            found = found or "," in value
        elif not isinstance(value, Real):
            return False
    return found
