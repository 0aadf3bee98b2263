"""predict: raw feature columns in, predictions out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from reproven.errors import DataError, name_among
from reproven.files.columns import numeric
from reproven.runs.revive import revive
from reproven.training import data, evaluation


def predict(
    source: str | Path,
    table: str | Path,
    form: str | None = None,
    *,
    tracking_uri: str | None = None,
) -> tuple[str, np.ndarray]:
    """Predicts every row of a table with a saved model.

    Args:
        source: Where the model is, as for `revive`.
        table: A .csv or .parquet file with the model's feature columns, by name and in any order; other
            columns are not looked at. A file without header must have just the features, in their order.
        form: As for `revive`.
        tracking_uri: As for `revive`.

    Returns:
        The target's name, and the predictions, (rows,) float32 in the target's unit.

    Raises:
        DataError: The table lacks a feature or holds a value that is no number; names file, column, row.
        InvalidInput, RevivalError, StoreError: As for `revive`.
    """
    frame = data.read_file(Path(table))
    regressor = revive(source, form, tracking_uri=tracking_uri)
    features = regressor.features
    numbered = [str(i) for i in range(len(features))]
    if list(frame.columns) == numbered:
        frame.columns = list(features)
    if missing := [name for name in features if name not in frame.columns]:
        raise DataError(
            f"{table} has no column {', '.join(missing)}, which the model needs. "
            f"{name_among(missing[0], frame.columns)}"
        )
    raw = numeric(frame, features, str(table), kept=features)
    return regressor.target, evaluation.predictions(regressor, torch.from_numpy(raw))
