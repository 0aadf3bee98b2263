"""given: a DataFrame becomes a recipe's table, kept on this machine under the digest of its content."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pandas as pd

from reproven.errors import InvalidInput
from reproven.files.disk import first_line, write_bytes
from reproven.logbooks import shelf
from reproven.recipes.recipe import Recipe

_FOLDER = "frames"  # beside the logbooks


def recipe_of(frame: pd.DataFrame, *, target: str, **settings: Any) -> Recipe:
    """A recipe for a table that is in memory; a run of it keeps the table among its files.

    Args:
        frame: The table; its index is not looked at.
        target: Column to predict, or several with commas.
        settings: Other fields of the recipe.

    Raises:
        InvalidInput: It is no DataFrame, or holds what a file of a table cannot; or the settings contradict
            each other.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InvalidInput([f"frame is of type {type(frame).__name__}, but must be a pandas DataFrame."])
    named = frame.rename(columns=str)
    buffer = io.BytesIO()
    try:
        named.to_parquet(buffer, index=False)
    except Exception as error:  # of pyarrow, of whatever class
        raise InvalidInput(
            [f"frame cannot be kept as a table: {first_line(error)}. Give each column values of one type."]
        ) from error
    content = buffer.getvalue()
    path = _folder() / f"{hashlib.sha256(content).hexdigest()[:32]}.parquet"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    return Recipe(data=str(path), target=target, **settings)


def is_held(recipe: Recipe) -> bool:
    """Whether a recipe's table is one that `recipe_of` was given."""
    return Path(recipe.data).parent == _folder()


def _folder() -> Path:
    return shelf.place() / _FOLDER
