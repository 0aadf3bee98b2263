"""Images for the UI: what MLflow's log_image writes, under names that stay the same."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.tracking.multimedia import compress_image_size, convert_to_pil_image

from reproven.files.disk import write_bytes

if TYPE_CHECKING:
    import numpy as np


IMAGES = "images"  # where the UI looks for them, in a run that says that it has some


def write_image(folder: Path, pixels: np.ndarray, *, key: str, step: int, timestamp: int, owner: str) -> None:
    """Writes an image as `log_image` would, for the UI to show over time, but under names that stay the same.

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
    for suffix, picture in ((".png", image), ("+compressed.webp", compress_image_size(image))):
        content = io.BytesIO()
        picture.save(content, format=suffix.rpartition(".")[2])
        write_bytes(folder / IMAGES / f"{name}{suffix}", content.getvalue())
