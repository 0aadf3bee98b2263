"""Tables on disk: of every kind, in every dialect that a file may be written in, and none that is broken."""

from __future__ import annotations

import gzip
import io
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

from reproven.errors import DataError
from reproven.tables.frames import read_file

FRAME = pd.DataFrame({"a": [0.1, 2.5, -3e-7], "größe": [1, 2, 4], "y": [1.5, 1 / 3, 3.5]})


def text(sep: str = ",", decimal: str = ".") -> str:
    rows = [list(FRAME.columns), *([repr(cell) for cell in row] for row in FRAME.to_numpy().tolist())]
    return "".join(sep.join(cell.replace(".", decimal) for cell in row) + "\n" for row in rows)


def is_frame(found: pd.DataFrame) -> bool:
    return list(found.columns) == list(FRAME.columns) and np.array_equal(found.to_numpy(), FRAME.to_numpy())


@pytest.mark.parametrize(
    ("name", "sep", "decimal", "encoding", "said"),
    [
        ("t.csv", ",", ".", "utf-8", []),
        ("t.CSV", ",", ".", "utf-8-sig", []),
        ("t.tsv", "\t", ".", "utf-8", []),
        ("t.tsv.gz", ",", ".", "utf-8", ["is read with --sep ','."]),
        ("t.csv", ";", ".", "utf-8", ["is read with --sep ';'."]),
        ("t.txt", "\t", ",", "utf-8", ["is read with --sep tab --decimal ','."]),
        ("t.csv.gz", ";", ",", "utf-8", ["is read with --sep ';' --decimal ','."]),
        ("t.TXT.GZ", "|", ".", "utf-16", ["is read with --sep '|'.", "is read as utf-16."]),
        ("t.csv", ",", ".", "cp1252", ["is read as cp1252, since it is no UTF-8."]),
    ],
)
def test_the_dialect_of_a_text_is_found_out_and_said(
    tmp_path: Path, name: str, sep: str, decimal: str, encoding: str, said: list[str]
) -> None:
    content = text(sep, decimal).encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    found = read_file(path)
    assert is_frame(found.frame)
    assert list(found.remarks) == [f"{path} {words}" for words in said]
    again = read_file(path, sep="tab" if sep == "\t" else sep, decimal=decimal)
    assert is_frame(again.frame)
    assert list(again.remarks) == [f"{path} {words}" for words in said if " as " in words]


@pytest.mark.parametrize(
    ("content", "columns", "first"),
    [
        ("1,5;2,5\n3,5;4,25\n", ["0", "1"], [1.5, 2.5]),  # by a comma it has three columns
        ("1,5\n3,5\n", ["0", "1"], [1, 5]),
        ("kind;y\n'a|b, c';2\n'd|e, f';4\n", ["kind", "y"], ["'a|b, c'", 2]),
        ('k,y\n"a;b;c",2\n"d;e;f",4\n', ["k", "y"], ["a;b;c", 2]),
        (
            "a;y\n1;2\n" + "3;4\n" * 3000 + "1,5;2\n",
            ["a", "y"],
            [1, 2],
        ),  # the only comma is the last line's
        ("a;y\n1.234,5;2\n2;3\n", ["a", "y"], ["1.234,5", 2]),  # thousands are not guessed
        ("a;y\n1,5;2.5\n2;3\n", ["a", "y"], [1.5, "2.5"]),  # both marks are of one table no numbers
        ("a;y\n1,5 kg;2.5\n2,5 kg;3\n", ["a", "y"], ["1,5 kg", 2.5]),
        ("k;y\na;b\nc;d\n", ["k", "y"], ["a", "b"]),
        ("y\n1\n2\n", ["y"], [1]),
        ('a;y\n"1\n2";3\n4;5\n', ["a", "y"], ["1\n2", 3]),
    ],
)
def test_a_dialect_is_hard_to_mistake(
    tmp_path: Path, content: str, columns: list[str], first: list[Any]
) -> None:
    (tmp_path / "t.csv").write_text(content)
    frame = read_file(tmp_path / "t.csv").frame
    assert list(frame.columns) == columns
    assert frame.iloc[0].tolist() == first


def test_rows_with_more_cells_than_names_are_remarked(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\nfirst,1,2\nsecond,3,4\n")
    found = read_file(tmp_path / "t.csv")
    assert found.frame.to_dict("list") == {"a": [1, 3], "y": [2, 4]}
    assert found.frame.index.tolist() == [0, 1]
    assert found.remarks == (
        f"{tmp_path}/t.csv has more cells in its rows than names: the first of each are left out.",
    )


def test_decimal_commas_are_read_to_the_last_digit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(500, 2)) * 10.0 ** np.arange(-25, 25).repeat(10)[:, None]
    lines = "".join(f"{a!r};{b!r}\n".replace(".", ",") for a, b in values.tolist())
    (tmp_path / "t.csv").write_text(f"a;b\n{lines}")
    assert np.array_equal(read_file(tmp_path / "t.csv").frame.to_numpy(), values)


def test_parquet_feather_and_workbook_are_the_table_that_was_written(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "t.parquet")
    FRAME.to_feather(tmp_path / "t.feather")
    FRAME.to_excel(tmp_path / "t.xlsx", index=False)
    for kind in ("parquet", "feather", "xlsx"):
        found = read_file(tmp_path / f"t.{kind}")
        assert is_frame(found.frame), kind
        assert found.remarks == ()
        assert found.frame.dtypes.tolist() == FRAME.dtypes.tolist()


def test_a_large_parquet_file_is_read_in_parts_and_keeps_its_types_and_order(tmp_path: Path) -> None:
    rows = 40_000
    frame = pd.DataFrame(
        {"a": np.arange(rows), "b": [None, 0.5] * (rows // 2), "c": ["x", None] * (rows // 2)}
    )
    frame.index = frame.index[::-1]  # which is no column of it
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(
        read_file(tmp_path / "t.parquet").frame, frame.reset_index(drop=True), check_dtype=True
    )


def test_the_first_sheet_of_several_is_read_and_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in ([1, 2], [3, 5], [None, None]):
        book.active.append(row)
    book.create_sheet("notes").append(["text"])
    book.save(tmp_path / "t.xlsx")
    found = read_file(tmp_path / "t.xlsx")
    assert list(found.frame.columns) == ["0", "1"]
    assert found.frame.to_numpy().tolist() == [[1, 2], [3, 5]]
    assert found.remarks == (f"{tmp_path}/t.xlsx has 2 sheets: the first one, 'Sheet', is read.",)


def packed(content: bytes) -> bytes:
    with zipfile.ZipFile(whole := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", content)
    return whole.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "t.csv.gz",
            gzip.compress(text().encode(), mtime=0)[:-9],
            "cannot be read as csv.gz: Compressed file ended",
        ),
        ("t.csv.gz", text().encode(), "cannot be read as csv.gz: Not a gzipped file"),
        ("t.csv", b"PK\3\4\0\0", "is no text: byte 5 is zero."),
        ("t.csv", text().encode("utf-16-le"), "is no text: byte 2 is zero."),
        ("t.csv", text().encode("utf-16")[:-1], "cannot be read as csv: "),
        ("t.feather", b"ARROW1\0\0 no", "cannot be read as feather: "),
        ("t.xlsx", b"PK no", "cannot be read as xlsx: File is not a zip file"),
        ("t.xlsx", packed(b"<a>"), "cannot be read as xlsx: "),
        ("t.gz", b"a,y", "is neither a bundled table nor a .csv, .tsv, .txt, "),
    ],
)
def test_a_broken_file_is_one_error(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{path} {words}")):
        read_file(path)


def test_what_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reproven.tables.dialects._HARMLESS", 1 << 20)  # else the test would take as long
    zeros = b"0,0\n" * (1 << 20)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(zeros))
    (tmp_path / "t.xlsx").write_bytes(packed(zeros))
    for name in ("t.csv.gz", "t.xlsx"):
        with pytest.raises(DataError, match=rf"{name} has \d+ bytes, but unpacks to \d+ and more"):
            read_file(tmp_path / name)


@pytest.mark.parametrize("name", ["t.parquet", "t.xlsx"])
def test_only_texts_have_separators_and_decimal_marks(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"any")
    with pytest.raises(DataError, match=f"{name} has no such thing as sep and decimal, which texts have"):
        read_file(tmp_path / name, sep=";", decimal=",")


def test_a_workbook_without_openpyxl_is_told_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FRAME.to_excel(tmp_path / "t.xlsx", index=False)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"Install it: pip install 'reproven\[excel\]'\."):
        read_file(tmp_path / "t.xlsx")
