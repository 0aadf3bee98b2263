"""predict: raw feature columns in, predictions out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from reproven.errors import DataError, name_among
from reproven.files.front import answer, raw_of
from reproven.runs.revive import revive
from reproven.tables import data
from reproven.training import evaluation


def predict(
    source: str | Path,
    table: str | Path,
    form: str | None = None,
    *,
    tracking_uri: str | None = None,
) -> tuple[str, np.ndarray | pd.DataFrame]:
    """Predicts every row of a table with a saved model.

    Args:
        source: Where the model is, as for `revive`.
        table: A .csv or .parquet file with the model's feature columns, by name and in any order; other
            columns are not looked at. A file without header must have just the features, in their order.
        form: As for `revive`.
        tracking_uri: As for `revive`.

    Returns:
        The target's name, and the predictions: (rows,) float32 in the target's unit; of several targets a
        table with their columns; of classes one with the class and the probability of each.

    Raises:
        DataError: The table lacks a feature or holds a value that cannot be taken; names file, columns, rows.
        InvalidInput, RevivalError, StoreError: As for `revive`.
    """
    frame = data.read_file(Path(table))
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
