"""predict: raw feature columns in, predictions out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from reproven.errors import DataError, InvalidInput, name_among
from reproven.files.front import answer, raw_of
from reproven.recipes.options import problems_in_python
from reproven.recipes.settings import OPTIONS
from reproven.runs.revive import revive
from reproven.tables.frames import read_file
from reproven.training import evaluation

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
            order.
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
    read = read_file(Path(table), sep=sep, decimal=decimal)
    for remark in read.remarks:
        say(remark)
    frame = read.frame
    model = revive(source, form, tracking_uri=tracking_uri)
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
    return model.target, answer(model, evaluation.predictions(model, torch.from_numpy(raw)))
