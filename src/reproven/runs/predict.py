"""predict: raw feature columns in, predictions out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from reproven.errors import DataError, InvalidInput, name_among
from reproven.files.front import Model, answer, array_of, predicted, raw_of
from reproven.recipes.options import problems_in_python
from reproven.recipes.settings import OPTIONS
from reproven.runs.revive import revive
from reproven.tables.arrays import holds_features, read_features
from reproven.tables.frames import read_file

Say = Callable[[str], None]


def predict(
    source: str | Path,
    table: str | Path,
    form: str | None = None,
    *,
    sep: str | None = None,
    decimal: str | None = None,
    tracking_uri: str | None = None,
    say: Say = lambda text: None,
) -> tuple[str, np.ndarray | pd.DataFrame]:
    """Predicts every row of a table with a saved model.

    Args:
        source: Where the model is, as for `revive`.
        table: A file of any kind that is trained on, with the model's feature columns, by name and in any
            order; other columns are not looked at. One without header must have just the features, in their
            order. Or an array: an .npy or .npz file, or a function that returns it, rows first.
        form: As for `revive`.
        sep: What stands between the cells of a text; None finds it out.
        decimal: The decimal mark of a text; None finds it out.
        tracking_uri: As for `revive`.
        say: Told what was found out about the table, in sentences.

    Returns:
        The target's name, and the predictions: (rows,) float32 in the target's unit; of several targets a
        table with their columns; of classes one with the class and the probability of each.

    Raises:
        DataError: The table lacks a feature or holds a value that cannot be taken; names file, columns, rows.
        InvalidInput: The separator or the decimal mark can be none. Otherwise as for `revive`.
        RevivalError, StoreError: As for `revive`.
    """
    options = {name: OPTIONS[name] for name in ("sep", "decimal")}
    if problems := problems_in_python(options, {"sep": sep, "decimal": decimal}):
        raise InvalidInput(problems)
    if holds_features(str(table)):
        model = revive(source, form, tracking_uri=tracking_uri)
        return model.target, _of_array(model, str(table))
    read = read_file(Path(table), sep=sep, decimal=decimal)
    for remark in read.remarks:
        say(remark)
    frame = read.frame
    model = revive(source, form, tracking_uri=tracking_uri)
    if array_of(model) is not None:
        raise DataError(
            f"{table} is a table of columns, but the model takes an array. Give an .npy or .npz file, or a "
            "function as package.module:name."
        )
    features = model.features
    numbered = [str(i) for i in range(len(features))]
    if list(frame.columns) == numbered:
        frame.columns = list(features)
    if missing := [name for name in features if name not in frame.columns]:
        raise DataError(
            f"{table} has no column {', '.join(missing)}, which the model needs. "
            f"{name_among(missing[0], frame.columns)}"
        )
    raw = raw_of(model, frame, str(table))
    return model.target, answer(model, predicted(model, raw))


def _of_array(model: Model, source: str) -> np.ndarray | pd.DataFrame:
    """Predictions for an array: as the model takes it, or a column for each feature of a table."""
    raw = raw_of(model, _columns(model, read_features(source), source), source)
    return answer(model, predicted(model, raw))


def _columns(model: Model, X: np.ndarray, source: str) -> np.ndarray | pd.DataFrame:
    if array_of(model) is not None:
        return X
    if X.ndim != 2 or X.shape[1] != len(model.features):
        raise DataError(
            f"{source} has rows of shape {X.shape[1:]}, but the model takes {len(model.features)} features: "
            f"{', '.join(model.features)}."
        )
    return pd.DataFrame(X, columns=list(model.features))
