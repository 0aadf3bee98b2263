"""Arrays: features and targets as an .npz file has them, or a function of the user's own returns them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reproven.errors import DataError, OwnCodeError
from reproven.files.disk import first_line
from reproven.own.failing import blaming
from reproven.own.finding import find_function
from reproven.own.named import is_named

SUFFIX = ".npz"
_KEYS = ("X", "y")


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrays:
    """Arrays of as many rows.

    Attributes:
        X: Features, rows first.
        y: Target, (rows,), or (rows, targets).
        names: The features' names, where X has two dimensions.
    """

    X: np.ndarray
    y: np.ndarray
    names: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets' names: y, or y0, y1, …"""
        return ("y",) if self.y.ndim == 1 else tuple(f"y{place}" for place in range(self.y.shape[1]))

    def frame(self) -> pd.DataFrame:
        """Both as the columns of one table, X having two dimensions; it is not copied."""
        names = self.names or tuple(f"x{place}" for place in range(self.X.shape[1]))
        found = pd.DataFrame(self.X, columns=list(names), copy=False)
        for name, values in self.target_frame().items():
            found[name] = values
        return found

    def target_frame(self) -> pd.DataFrame:
        """The targets as columns."""
        return pd.DataFrame(self.y.reshape(len(self.y), -1), columns=list(self.targets))


def is_function(data: str) -> bool:
    """Whether data are named by a function that returns them; a file of that name is a file."""
    return is_named(data) and not Path(data).exists()


def holds_arrays(data: str) -> bool:
    """Whether data are named that are arrays: an .npz file, or a function."""
    return Path(data).suffix == SUFFIX or is_function(data)


def holds_features(data: str) -> bool:
    """Whether an array of features alone is named too: an .npy file besides."""
    return Path(data).suffix == ".npy" or holds_arrays(data)


def read_arrays(data: str) -> Arrays:
    """The arrays of an .npz file, or of a function.

    Raises:
        DataError: The file cannot be read, or what it holds is no such thing.
        Untrusted, OwnCodeError: The function cannot be had, fails, or returns something else.
    """
    if Path(data).suffix == SUFFIX:
        return _checked(_of_file(Path(data)), data, DataError)
    with blaming(f"{data}()"):
        found = find_function(data)()
    if not isinstance(found, tuple | list) or len(found) not in (2, 3):
        raise OwnCodeError(
            f"{data} returned a {type(found).__name__}, but must return (X, y), or (X, y, names)."
        )
    return _checked(found, data, OwnCodeError)


def read_features(data: str) -> np.ndarray:
    """The array of features to predict from: of an .npy file, or as for `read_arrays`, without a target.

    Raises:
        DataError, Untrusted, OwnCodeError: As for `read_arrays`.
    """
    path = Path(data)
    if path.suffix == ".npy":
        return np.asarray(_loaded(path))
    if path.suffix == SUFFIX:
        held = _loaded(path)
        if "X" not in held:
            raise DataError(f"{data} has no array X. There is {', '.join(held) or 'none'}.")
        return np.asarray(held["X"])
    return read_arrays(data).X


def _of_file(path: Path) -> Sequence[Any]:
    held = _loaded(path)
    if missing := [key for key in _KEYS if key not in held]:
        raise DataError(f"{path} has no array {missing[0]}. It needs X and y, and may have names.")
    return [held["X"], held["y"], *([held["names"]] if "names" in held else [])]


def _loaded(path: Path) -> Any:
    """What NumPy saved; objects, which would be unpickled, are refused."""
    try:
        found = np.load(path, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else {key: found[key] for key in found.files}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Give the path of a file.") from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}.") from error


def _checked(found: Sequence[Any], source: str, error: type[Exception]) -> Arrays:
    X, y = (_array(one) for one in found[:2])
    names = tuple(map(str, _array(found[2]).tolist())) if len(found) > 2 else ()
    if X.ndim < 2 or y.ndim not in (1, 2):
        raise error(
            f"{source}: X has the shape {X.shape} and y {y.shape}, but X must have two dimensions or more, "
            "rows first, and y one, or two for several targets."
        )
    if len(X) != len(y):
        raise error(f"{source}: X has {len(X)} rows, and y {len(y)}, but both must have as many.")
    if names and (X.ndim != 2 or len(names) != X.shape[1] or len(set(names)) != len(names)):
        raise error(
            f"{source}: there are {len(names)} names for X of shape {X.shape}; give one for each column."
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    arrays = Arrays(X=X, y=y, names=names)
    if both := [name for name in arrays.targets if name in names]:
        raise error(f"{source}: a feature is called {both[0]}, as the target is. Give it another name.")
    return arrays


def _array(value: Any) -> np.ndarray:
    """A tensor's numbers, or anything else as NumPy has it."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)
