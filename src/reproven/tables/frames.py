"""Tables on disk: the columns of a file as they are, whatever their types, and what is worth knowing of it.

Every file that a user hands over is read here. A file that is none of these kinds, or broken, is refused in
one sentence; whether its values can be trained on is asked elsewhere.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reproven.errors import DataError, name_among
from reproven.recipes.typed import TAB
from reproven.tables import dialects

#: What makes a pandas before 3.1 read the number that is written, to the last bit; later ones do it anyway.
EXACTLY: Any = (
    {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}
)
#: The separator that a name promises, by the ends of names of texts.
_USUAL: Mapping[str, str] = {".csv": ",", ".tsv": "\t", ".txt": ","}
_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """A table as it was read.

    Attributes:
        frame: Its columns, named by texts, whatever their types.
        remarks: What was found out about the file and may be wrong, in sentences.
    """

    frame: pd.DataFrame
    remarks: tuple[str, ...] = ()


def read_file(
    path: Path, *, sep: str | None = None, decimal: str | None = None, bundled: Sequence[str] = ()
) -> Read:
    """Reads a file of any kind that there is; the columns of one without header are named 0, 1, 2, ….

    Args:
        path: Its name says of which kind it is.
        sep: The character between the cells of a text, or `tab`; None finds it out.
        decimal: The decimal mark of a text; None finds it out.
        bundled: Names that stand for tables without a file, of which one may have been meant.

    Raises:
        DataError: It is not there, not such a file, or empty.
    """
    kind = _kind(path)
    if kind not in _READERS:
        near = f"{name_among(str(path), bundled)} " if not path.suffix else ""
        raise DataError(
            f"{path} is neither a bundled table nor a {', '.join(list(_READERS)[:-1])} or "
            f"{list(_READERS)[-1]} file. {near}".strip()
        )
    _refuse_no_file(path)
    how = {name: value for name, value in (("sep", sep), ("decimal", decimal)) if value is not None}
    if how and not _is_text(kind):
        raise DataError(
            f"{path} has no such thing as {' and '.join(how)}, which texts have. "
            f"Leave out {' and '.join(f'--{name}' for name in how)}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", pd.errors.DtypeWarning
            )  # a column of text and numbers is looked at
            warnings.filterwarnings("ignore", module="openpyxl")  # of what a sheet has beside its cells
            found = _READERS[kind](path, **how)
    except DataError:
        raise
    except ImportError as error:
        raise DataError(
            f"{path} cannot be read, since a package is not there. Install it: pip install {_PACKAGES[kind]}."
        ) from error
    except Exception as error:  # no class is common to all that a broken file can be
        why = str(error).strip() or type(error).__name__
        raise DataError(f"{path} cannot be read as {kind[1:]}: {why}") from error
    frame = found.frame
    if frame.empty:
        raise DataError(f"{path} is empty: it has {len(frame)} rows and {frame.shape[1]} columns.")
    frame.columns = [str(column) for column in frame.columns]
    _refuse_doubles(path, list(frame.columns))
    frame.index = pd.RangeIndex(len(frame))
    return found


def _kind(path: Path) -> str:
    """The end of a name, in lower case; of packed texts both ends."""
    ends = [end.lower() for end in path.suffixes]
    return "".join(ends[-2:] if ends[-1:] == [".gz"] else ends[-1:])


def _is_text(kind: str) -> bool:
    return kind.removesuffix(".gz") in _USUAL


def _refuse_no_file(path: Path) -> None:
    try:
        is_there = path.is_file()
    except OSError as error:
        raise DataError(f"{str(path)[:100]} cannot be read: {error.strerror}.") from error
    if not is_there:
        raise DataError(
            f"{path} is not there (looked in {Path.cwd()}). Give the full path; under `mlflow run` a "
            "relative one starts at the project's folder."
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: 0 bytes. Give a table with a row for each example.")


def _text(path: Path, sep: str | None = None, decimal: str | None = None) -> Read:
    """A text, in the dialect that is asked for or found out."""
    encoding = dialects.encoding_of(path)
    usual = _USUAL[_kind(path).removesuffix(".gz")]
    between = (
        dialects.character(sep)
        if sep is not None
        else dialects.separator(path, encoding, usual=usual, decimal=decimal)
    )
    first = next(iter(dialects.first_rows(path, encoding, between)), [])
    has_header = not all(dialects.is_number(cell, sep=between, decimal=decimal) for cell in first)
    if has_header:
        _refuse_doubles(path, first)

    def read(mark: str) -> pd.DataFrame:
        header = 0 if has_header else None
        options = {"header": header, "skip_blank_lines": False, "encoding": encoding, **EXACTLY}
        with dialects.opened(path) as file:
            frame: pd.DataFrame = pd.read_csv(file, sep=between, decimal=mark, **options)
        return frame

    frame = read(decimal or ".")
    mark = "," if decimal is None and between != "," and _has_decimal_commas(frame) else "."
    if mark == ",":
        frame = read(mark)
    said = f" --sep {_quoted(between)}" if sep is None and between != usual else ""
    said += " --decimal ','" if mark == "," else ""
    remarks = [f"{path} is read with{said}."] if said else []
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes these cells for one
        remarks.append(f"{path} has more cells in its rows than names: the first of each are left out.")
    if encoding != dialects.UTF8:
        remarks.append(
            f"{path} is read as {encoding}{'' if encoding == 'utf-16' else ', since it is no UTF-8'}."
        )
    return Read(frame=frame, remarks=tuple(remarks))


def _quoted(sep: str) -> str:
    return TAB if sep == "\t" else f"'{sep}'"


def _has_decimal_commas(frame: pd.DataFrame) -> bool:
    texts = (name for name, kind in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind))
    return any(dialects.has_decimal_commas(frame[name].dropna()) for name in texts)


def _refuse_doubles(path: Path, names: Sequence[str]) -> None:
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"{path} has several columns named {', '.join(twice)}. Give each its own name.")


def _parquet(path: Path) -> Read:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, buffer_size=_ROWS_AT_ONCE, pre_buffer=False) as file:
        empty = file.schema_arrow.empty_table()
        return Read(frame=_joined(path, empty, file.iter_batches(_ROWS_AT_ONCE)))


def _feather(path: Path) -> Read:
    from pyarrow import ipc

    with path.open("rb") as opened, ipc.open_file(opened) as file:
        return Read(frame=_joined(path, file.schema.empty_table(), _checked_batches(file)))


def _checked_batches(file: Any) -> Iterator[Any]:
    """The batches of a file whose lengths and offsets Arrow believes as they are written."""
    for number in range(file.num_record_batches):
        batch = file.get_batch(number)
        batch.validate(full=True)
        yield batch


def _joined(path: Path, empty: Any, batches: Iterable[Any]) -> pd.DataFrame:
    """The rows of Arrow's batches, one after the other.

    A whole table of Arrow's would be held beside its frame, and its memory not be given back afterwards.
    """

    def frames() -> Iterator[pd.DataFrame]:
        size = 0
        for batch in batches:
            size += batch.nbytes
            dialects.refuse_bomb(path, size)
            if batch.num_rows:
                yield batch.to_pandas().copy()  # out of memory that Arrow would keep

    found = list(frames())
    return pd.concat(found, ignore_index=True) if found else empty.to_pandas()


def _workbook(path: Path) -> Read:
    """The first sheet of a workbook, from its first row to the last one with a cell."""
    import zipfile

    from openpyxl import load_workbook

    with zipfile.ZipFile(path) as archive:
        dialects.refuse_bomb(path, sum(part.file_size for part in archive.infolist()))
    book = load_workbook(path, read_only=True, data_only=True)
    try:
        sheets = book.worksheets
        if not sheets:
            raise DataError(f"{path} has no sheet with cells. Give a table with a row for each example.")
        sheets[0].reset_dimensions()  # which a program may have written wrong
        rows = _cells(path, sheets[0].iter_rows(values_only=True))
        several = f"{path} has {len(sheets)} sheets: the first one, {sheets[0].title!r}, is read."
    finally:
        book.close()
    has_header = not all(isinstance(cell, int | float) for cell in rows[0]) if rows else False
    frame = pd.DataFrame(rows[1:] if has_header else rows)
    if has_header:
        names = [f"Unnamed: {i}" if cell is None else str(cell) for i, cell in enumerate(rows[0])]
        _refuse_doubles(path, names)
        frame = frame if len(frame) else pd.DataFrame(columns=range(len(names)))
        frame.columns = pd.Index(names)
    return Read(frame=frame, remarks=(several,) if len(sheets) > 1 else ())


def _cells(path: Path, rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Rows of one width, without what is empty behind the last cell."""
    found: list[list[Any]] = []
    for row in rows:
        width = max((i + 1 for i, cell in enumerate(row) if cell is not None), default=0)
        found.append(list(row[:width]))
    while found and not found[-1]:
        found.pop()
    width = max(map(len, found), default=0)
    dialects.refuse_bomb(path, 8 * width * len(found))
    return [row + [None] * (width - len(row)) for row in found]


_TEXTS = (*_USUAL, *(f"{end}.gz" for end in _USUAL))
_READERS: Mapping[str, Callable[..., Read]] = {
    **dict.fromkeys(_TEXTS, _text),
    ".parquet": _parquet,
    ".feather": _feather,
    ".xlsx": _workbook,
}
_PACKAGES = {".parquet": "pyarrow", ".feather": "pyarrow", ".xlsx": "'reproven[excel]'"}
