"""Files: written whole or not at all, and models read back without running anything that they name.

This is the one module that unpickles, and it does so only with torch's weights-only unpickler and the
list of this package's own classes.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reproven.data import Dataset
from reproven.errors import RevivalError
from reproven.networks import CLASSES, Regressor
from reproven.training import Step

MODEL = "model.pth"
STATE_DICT = "state_dict.pth"
RECIPE = "recipe.json"
STANDARDISATION = "standardisation.json"
LOSSES = "losses.csv"
HISTOGRAMS = "histograms.json"
ENVIRONMENT = "environment.json"
WEIGHTS = "weights.json"
PATCH = "code.patch"


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old one or the whole new one: new name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON with sorted keys, floats by `repr`, so that they read back exactly."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def write_losses(path: Path, steps: Iterable[Step]) -> None:
    """Writes every step's loss as CSV: position, decimal, and the bits of the float32 as hexadecimal."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("step", "epoch", "batch", "loss", "float32"))
    for step in steps:
        bits = struct.pack(">f", step.loss).hex()
        writer.writerow((step.step, step.epoch, step.batch, repr(step.loss), bits))
    write_bytes(path, text.getvalue().encode())


def write_torch(path: Path, value: Any) -> None:
    """Writes a model or a state_dict with torch.save."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def write_model(folder: Path, regressor: Regressor) -> None:
    """Writes both forms of a model: whole, and the state_dict of the network alone."""
    write_torch(folder / MODEL, regressor)
    write_torch(folder / STATE_DICT, regressor.network.state_dict())


def write_standardisation(path: Path, dataset: Dataset) -> None:
    """Writes what a state_dict lacks to predict: columns, means and standard deviations, exactly."""
    table = dataset.table
    values = {"mean": dataset.mean.tolist(), "scale": dataset.scale.tolist()}
    write_json(path, {"features": list(table.features), "target": table.target, **values})


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
            f"{path} is broken or not a torch.save file: {_first_line(error)}. Fetch it again."
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


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def read_text(path: Path) -> str:
    """Reads a UTF-8 file.

    Raises:
        RevivalError: It is missing or not such a file.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RevivalError(f"{path} is not there.") from error
    except (OSError, ValueError) as error:
        raise RevivalError(f"{path} cannot be read: {_first_line(error)}.") from error


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        RevivalError: It is missing or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise RevivalError(f"{path} cannot be read as JSON: {_first_line(error)}.") from error
