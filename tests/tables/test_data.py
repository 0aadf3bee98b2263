"""Tables: the bundled ones are what they should be, and a bad one is named by file, column and row."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from reproven.errors import DataError
from reproven.tables import data


def test_boston_is_the_published_table() -> None:
    table = data.load("boston")
    assert table.X.shape == (506, 13)
    assert table.y.mean() == pytest.approx(22.53, abs=0.005)
    assert (table.y.min(), table.y.max()) == (5, 50)
    # the means that R's MASS::Boston summarises
    published = [
        3.6135,
        11.36,
        11.14,
        0.0692,
        0.5547,
        6.285,
        68.57,
        3.795,
        9.549,
        408.2,
        18.46,
        356.67,
        12.65,
    ]
    assert table.X.mean(axis=0) == pytest.approx(published, rel=5e-4)


def test_boston_s_file_has_the_digest_that_its_description_gives() -> None:
    folder = ROOT / "src/reproven/datasets"
    digest = hashlib.sha256((folder / "boston.csv").read_bytes()).hexdigest()
    assert f"`{digest}`" in (folder / "README.md").read_text()


def test_boston_s_numbers_are_read_exactly() -> None:
    lines = (ROOT / "src/reproven/datasets/boston.csv").read_text().splitlines()[1:]
    expected = np.array([[float(cell) for cell in line.split(",")] for line in lines])
    table = data.load("boston")
    assert np.array_equal(np.column_stack([table.X, table.y]), expected)


def test_every_digit_of_a_csv_is_read(tmp_path: Path) -> None:
    scales = 10.0 ** np.arange(-30, 30).repeat(40)[:, None]
    values = np.random.default_rng(0).normal(size=(2400, 2)) * scales
    lines = "".join(f"{a!r},{y!r}\n" for a, y in values.tolist())
    (tmp_path / "t.csv").write_text(f"a,y\n{lines}")
    table = data.load(str(tmp_path / "t.csv"), target="y")
    assert np.array_equal(np.column_stack([table.X, table.y]), values)


def test_diabetes_is_scikit_learn_s() -> None:
    table = data.load("diabetes")
    assert table.X.shape == (442, 10)
    assert table.target == "target"


def test_columns_are_dropped() -> None:
    assert "B" not in data.load("boston", drop=("B",)).features
    assert len(data.load("boston", drop=("B",)).features) == 12


def test_csv_and_parquet_are_the_same_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [0.1, 2, 3], "b": [1, 2, 4], "y": [1.5, 2.5, 3.5]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    first = data.load(str(tmp_path / "t.csv"), target="y")
    assert first.features == ("a", "b")
    assert first.sha256 == data.load(str(tmp_path / "t.parquet"), target="y").sha256
    assert first.sha256 != data.load(str(tmp_path / "t.csv"), target="y", drop=("a",)).sha256
    assert first.sha256 != data.load(str(tmp_path / "t.csv"), target="b").sha256


def test_a_table_without_header_names_its_columns_by_number(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1,2,3\n4,5,7\n")
    table = data.load(str(tmp_path / "t.csv"), target="2")
    assert table.features == ("0", "1")
    assert table.y.tolist() == [3, 7]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,y\n1,2\nbad,3\n", "column a, row 2 is 'bad', but must be a number. Mend or remove the row, or leave the column"),
        ("a,y\n1,2\n2,bad\n", "column y, row 2 is 'bad', but must be a number. Mend or remove the row."),
        ("a,y\n1,2\n,3\n", "column a, row 2 is missing, but must be a number."),
        ("a,y\n1,2\n\n3,4\n", "column a, row 2 is missing, but must be a number\n  column y, row 2 is missing, but must be a number\nMend"),
        ("a,y\nTrue,2\nFalse,3\n", "column a, row 1 is 'True', but must be a number (and 1 more)."),
        ("a,y\n1,2\n1,3\n", "column a is 1 in every row, from row 1 to row 2, so it says nothing. Try --drop a."),
        ("a,y\n1,2\n3,2\n", "column y is 2 in every row, from row 1 to row 2, so it says nothing."),
        ("a,y\n1,2\n", "has 1 row(s), but training needs at least 2."),
        ("a,y\n", "is empty: it has 0 rows and 2 columns."),
        ("", "is empty: 0 bytes."),
        ("y\n1\n2\n", "has no feature left beside the target y."),
        ("a,b\n1,2\n3,4\n", "has no column 'y'. There is a, b."),
        ("a,y\n1,2\n3,4,5\n", "cannot be read as csv"),
        ("a,a,y\n1,2,3\n3,4,5\n", "has several columns named a."),
        ("a,y\n1e39,2\n3,4\n", "column a, row 1 is 1e+39, but must be a number that float32 can hold."),
        ("a,y\ninf,2\n3,4\n", "column a, row 1 is inf, but must be a number that float32 can hold."),
    ],
)  # fmt: skip
def test_a_bad_table_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        data.load(str(path), target="y")
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_a_text_column_may_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,a,y\nx,1,2\nz,3,4\n")
    assert data.load(str(tmp_path / "t.csv"), target="y", drop=("name",)).features == ("a",)


def test_a_file_needs_a_target(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(DataError, match=r"has no target named\. Name the column to predict with --target"):
        data.load(str(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bostn", "Did you mean boston?"),
        ("gone.csv", "gone.csv is not there (looked in "),
        ("book.xls", "book.xls is neither a bundled table nor a .csv, .tsv, .txt, "),
    ],
)
def test_a_table_that_is_not_there_is_named(name: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        data.load(name)
    assert words in str(caught.value)


def test_a_parquet_file_with_a_column_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"QQ": [1.0], "y": [2.0]}).to_parquet(path := tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes().replace(b"QQ", b"\xe1Q"))
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as parquet: 'utf-8' codec"):
        data.load(str(path), target="y")


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as parquet"):
        data.load(str(tmp_path / "t.parquet"), target="y")


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("id", range(12), "column id counts the rows, and trains as a feature. Leave it out with --drop id."),
        ("row no", range(1, 13), "column row no counts the rows, and trains as a feature. Leave it out with --drop 'row no'."),
        ("", [4, 2, *range(20, 30)], "column Unnamed: 0 has no name, as an index has none, and trains as a feature. Leave it out with --drop 'Unnamed: 0'."),
        ("", range(12), "column Unnamed: 0 counts the rows, and trains as a feature. Leave it out with --drop 'Unnamed: 0'."),
        ("year", range(2001, 2013), None),
        ("id", [0, 2, 1, *range(3, 12)], None),
        ("few", range(9), None),
    ],
)  # fmt: skip
def test_an_index_that_trains_as_a_feature_is_remarked(
    tmp_path: Path, name: str, values: Sequence[int], words: str | None
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{name},y\n" + "".join(f"{value},{value % 5}\n" for value in values))
    assert data.load(str(path), target="y").remarks == ((f"{path}: {words}",) if words else ())


def test_the_target_cannot_be_dropped() -> None:
    with pytest.raises(DataError, match="MEDV is both the target and dropped"):
        data.load("boston", drop=("MEDV",))


PEAK = """
import re, sys
from pathlib import Path
from reproven import Recipe, train

def peak():  # getrusage would tell that of the process from which this one was forked
    return int(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]) * 1024

train(Recipe(epochs=1))  # what is imported and made once is none of the table's
before = peak()
train(Recipe(data=sys.argv[1], target="y", epochs=1, batch_size=4096))
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_million_rows_train_in_three_times_the_memory_of_their_numbers(tmp_path: Path, kind: str) -> None:
    numbers = np.random.default_rng(0).normal(size=(1_000_000, 20))
    frame = pd.DataFrame(numbers, columns=[f"c{i}" for i in range(20)])
    frame["y"] = numbers[:, :3].sum(axis=1)
    if kind == "csv":
        frame.to_csv(tmp_path / "t.csv", index=False)
    else:
        frame.to_parquet(tmp_path / "t.parquet")
    command = [sys.executable, "-c", PEAK, str(tmp_path / f"t.{kind}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert frame.to_numpy().nbytes / 2 < int(done.stdout) <= 3 * frame.to_numpy().nbytes
