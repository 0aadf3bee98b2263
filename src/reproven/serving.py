"""The MLflow model: what `mlflow models serve` and `mlflow.pyfunc.load_model` call.

MLflow's own PyTorch wrapper rounds a table to float32 before the model sees it, and unpickles freely.
This one hands over the float64 columns that the model was trained on, and reads the file safely. The
MLmodel file names this module, so it is never renamed or moved.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproven.errors import DataError, RevivalError
from reproven.own.trust import trust

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from reproven.files.front import Model


class ServedModel:
    """A regressor or a classifier behind MLflow's pyfunc interface."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(
        self, table: pd.DataFrame | np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray | pd.DataFrame:
        """Predictions for raw feature columns, or an array, as `front.answer` hands them out.

        Raises:
            MlflowException: A value cannot be taken; names column and row. MLflow's server answers with 400.
        """
        from reproven.files.front import answer, predicted, raw_of

        try:
            raw = raw_of(self.model, table, "The table")
        except DataError as error:
            from mlflow.exceptions import MlflowException

            raise MlflowException.invalid_parameter_value(str(error)) from error
        return answer(self.model, predicted(self.model, raw))


def _load_pyfunc(path: str) -> ServedModel:
    """MLflow's entry point: the model's data folder to a model that predicts.

    Raises:
        RevivalError: The file is not a model of this package.
    """
    from reproven.files.front import OwnModel
    from reproven.files.models import read_described
    from reproven.files.names import MODEL

    found = read_described(Path(path) / MODEL)
    if isinstance(found, dict):
        raise RevivalError(f"{path} holds a state_dict, but must hold a whole model.")
    if isinstance(found, OwnModel):
        trust(found.module)  # whose code came with the model, and MLflow imports what comes with models
        return ServedModel(found.model())
    return ServedModel(found)
