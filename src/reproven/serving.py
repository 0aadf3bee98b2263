"""The MLflow model: what `mlflow models serve` and `mlflow.pyfunc.load_model` call.

MLflow's own PyTorch wrapper rounds a table to float32 before the model sees it, and unpickles freely.
This one hands over the float64 columns that the model was trained on, and reads the file safely. The
MLmodel file names this module, so it is never renamed or moved. It imports torch late: a server has not
imported it yet, and so answers in portable arithmetic, as `reproven predict` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reproven.arithmetic import profiles
from reproven.errors import RevivalError

if TYPE_CHECKING:
    import pandas as pd

    from reproven.networks import Regressor


class ServedRegressor:
    """A regressor behind MLflow's pyfunc interface."""

    def __init__(self, regressor: Regressor) -> None:
        self.regressor = regressor

    def predict(self, table: pd.DataFrame, params: dict[str, Any] | None = None) -> np.ndarray:
        """Predictions, (rows,) float32, for the raw feature columns of a table."""
        import torch

        raw = np.array(table[list(self.regressor.features)], dtype=np.float64)
        with torch.inference_mode():
            predicted: np.ndarray = self.regressor(torch.from_numpy(raw)).numpy()
        return predicted


def _load_pyfunc(path: str) -> ServedRegressor:
    """MLflow's entry point: the model's data folder to a model that predicts.

    Raises:
        RevivalError: The file is not a regressor of this package.
    """
    profiles.prefer(profiles.PORTABLE)
    from reproven.files.models import read_torch
    from reproven.files.names import MODEL
    from reproven.networks import Regressor

    model = read_torch(Path(path) / MODEL)
    if not isinstance(model, Regressor):
        raise RevivalError(f"{path} holds a {type(model).__name__}, but must hold a Regressor.")
    return ServedRegressor(model)
