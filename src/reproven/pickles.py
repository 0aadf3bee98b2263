"""Saved models: written with torch.save, and read back without running anything that they name.

This is the one module that unpickles, and it does so only with torch's weights-only unpickler and the
list of this package's own classes.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reproven.artifacts import MODEL, STATE_DICT, first_line, write_bytes
from reproven.errors import RevivalError
from reproven.networks import CLASSES, Regressor


def write_torch(path: Path, value: Any) -> None:
    """Writes a model or a state_dict with torch.save."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def write_model(folder: Path, regressor: Regressor) -> None:
    """Writes both forms of a model: whole, and the state_dict of the network alone."""
    write_torch(folder / MODEL, regressor)
    write_torch(folder / STATE_DICT, regressor.network.state_dict())


def read_torch(path: Path) -> nn.Module | dict[str, Tensor]:
    """Reads a whole model or a state_dict with the weights-only unpickler.

    Args:
        path: A file that torch.save wrote.

    Returns:
        A model of this package's classes, on the CPU and in evaluation mode, or a state_dict.

    Raises:
        RevivalError: The file is missing, broken, holds something else, or names a class or function
            that is not allowed; nothing of it has run then.
    """
    if not path.is_file():
        raise RevivalError(f"{path} is not a file. Give a run id, a models:/ URI or a file.")
    try:
        with torch.serialization.safe_globals(list(CLASSES)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it is about to refuse
            value = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RevivalError(_refusal(path, error)) from error
    except Exception as error:  # a broken file can fail in any way
        raise RevivalError(
            f"{path} is broken or not a torch.save file: {first_line(error)}. Fetch it again."
        ) from error
    if isinstance(value, nn.Module):
        return value.eval()
    if isinstance(value, dict) and value and all(isinstance(t, Tensor) for t in value.values()):
        return value
    raise RevivalError(
        f"{path} holds a {type(value).__name__}, but must hold a whole model or a state_dict of tensors."
    )


def _refusal(path: Path, error: Exception) -> str:
    with torch.serialization.safe_globals(list(CLASSES)):
        try:
            names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        except Exception:  # not a zip archive, or broken; torch's own words name the first one
            names = re.findall(r"GLOBAL (\S+)", str(error))[:1]
    found = f"it names {', '.join(names)}" if names else "it is not a pickle of tensors"
    return (
        f"{path} is refused: {found}. Only this package's networks and torch's tensors are read, and "
        "nothing in the file has run. Do not load it in another way unless you trust who made it."
    )


def read_plain(content: bytes) -> Any:
    """Reads tensors, numbers and texts in dicts and lists, with the weights-only unpickler.

    Raises:
        RevivalError: It is broken, or names anything else.
    """
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file can fail in any way
        raise RevivalError(
            f"This is not what torch.save wrote of plain values: {first_line(error)}."
        ) from error
