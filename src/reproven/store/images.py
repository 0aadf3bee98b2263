"""Images for the UI: what MLflow's log_image writes, under names that stay the same."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.tracking.multimedia import convert_to_pil_image

from reproven.files.disk import write_bytes

if TYPE_CHECKING:
    import numpy as np


IMAGES = "images"  # where the UI looks for them, in a run that says that it has some
#: Both files of an image, by the ends of their names: few colours take little space and time without loss.
_FILES: Mapping[str, Mapping[str, Any]] = {
    ".png": {"format": "png", "compress_level": 3},
    "+compressed.webp": {"format": "webp", "lossless": True, "quality": 0},
}


def write_image(folder: Path, pixels: np.ndarray, *, key: str, step: int, timestamp: int, owner: str) -> None:
    """Writes an image as `log_image` would, for the UI to show over time, but under names that stay the same.

    Of the two files the UI shows the second one in its charts, no larger than it is, and the first one on a
    click. MLflow makes the second one 256 pixels wide, on which no word can be read; here both are alike.

    Args:
        folder: Of the run's artifacts.
        pixels: (height, width, 4) uint8.
        key: What it shows.
        step: When; likewise `timestamp`, in milliseconds since 1970.
        owner: Makes the name unique.

    Source: MlflowClient.log_image, MLflow 3.17.2.
    """
    name = f"{key}+step+{step}+timestamp+{timestamp}+{uuid.uuid5(uuid.NAMESPACE_OID, f'{owner}{key}{step}')}"
    image = convert_to_pil_image(pixels)
    for suffix, options in _FILES.items():
        content = io.BytesIO()
        image.save(content, **options)
        write_bytes(folder / IMAGES / f"{name}{suffix}", content.getvalue())
