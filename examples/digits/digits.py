"""Handwritten digits, 8 × 8 pixels, and a convolutional network that tells them."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor, nn


def load() -> tuple[np.ndarray, np.ndarray]:
    """1,797 images, (rows, 1, 8, 8) float32 from 0 to 1, and the digit that each shows."""
    found = load_digits()
    images = (found.images / 16).astype(np.float32)
    return images[:, None], found.target


class ConvNet(nn.Module):
    """Two convolutions, a hidden layer, and a score for each digit: some 90,000 weights."""

    def __init__(self, channels: int = 32, dropout: float = 0.25) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * channels * 4 * 4, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the ten digits, (rows, 10), for images, (rows, 1, 8, 8)."""
        scores: Tensor = self.classifier(self.features(x))
        return scores
