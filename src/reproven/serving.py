"""The MLflow model: what `mlflow models serve` and `mlflow.pyfunc.load_model` call.

MLflow's own PyTorch wrapper rounds a table to float32 before the model sees it, and unpickles freely.
This one hands over the float64 columns that the model was trained on, and reads the file safely. The
MLmodel file names this module, so it is never renamed or moved. It imports torch late: a server has not
imported it yet, and so answers in portable arithmetic, as `reproven predict` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproven.arithmetic import profiles
from reproven.errors import DataError, RevivalError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from reproven.networks import Regressor


class ServedRegressor:
    """A regressor behind MLflow's pyfunc interface."""

    def __init__(self, regressor: Regressor) -> None:
        self.regressor = regressor

    def predict(self, table: pd.DataFrame, params: dict[str, Any] | None = None) -> np.ndarray:
        """Predictions, (rows,) float32, for the raw feature columns of a table.

        Raises:
            MlflowException: A value is no number; names column and row. MLflow's server answers with 400.
        """
        import torch

        raw = self._raw(table)
        with torch.inference_mode():
            predicted: np.ndarray = self.regressor(torch.from_numpy(raw)).numpy()
        return predicted

    def _raw(self, table: pd.DataFrame) -> np.ndarray:
        from reproven.files.columns import numeric

        features = self.regressor.features
        try:
            return numeric(table, features, "The table", kept=features)
        except DataError as error:
            from mlflow.exceptions import MlflowException

            raise MlflowException.invalid_parameter_value(str(error)) from error


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
