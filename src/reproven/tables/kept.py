"""Kept: a table as a file of its run, so that whoever has the run needs no other.

It is a parquet file of what was trained on, the columns as the schema has them. Its mark says that what a
recipe drops is not there.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reproven.errors import DataError
from reproven.files.names import TABLE
from reproven.tables import data
from reproven.tables.data import Table

MOST_BYTES = 64 << 20


def content(table: Table, of_table: dict[str, Any]) -> bytes | str:
    """The file that holds a table; or why there is none, in words that follow "is not kept".

    Args:
        table: What is trained on.
        of_table: What the recipe asks of it, as `Recipe.of_table` has it.
    """
    if table.shape is not None:
        return f"since it is an array; {table.name} must be had again"
    import pyarrow
    from pyarrow import parquet

    found = pyarrow.Table.from_pandas(_frame(table), preserve_index=False)
    buffer = io.BytesIO()
    parquet.write_table(found.replace_schema_metadata({**(found.schema.metadata or {}), **data.MARK}), buffer)
    held = buffer.getvalue()
    if len(held) > MOST_BYTES:
        return f"since it has {len(held) >> 20} MB, more than {MOST_BYTES >> 20}"
    with tempfile.TemporaryDirectory(prefix="reproven-") as folder:
        path = Path(folder) / TABLE
        path.write_bytes(held)
        try:
            data.load(str(path), sha256=table.sha256, **of_table)
        except DataError as error:  # what a text says of its kind was another thing in the file it came from
            return f"since it would not be read as the same one: {error}"
    return held


def _frame(table: Table) -> pd.DataFrame:
    """A table's columns, features first, categories by their levels and dates by their day."""
    frame = table.frame()
    for name, y in zip(table.targets, table.y.reshape(len(table.y), -1).T, strict=True):
        frame[name] = np.array(table.classes, dtype=object)[y.astype(int)] if table.classes else y
    return frame
