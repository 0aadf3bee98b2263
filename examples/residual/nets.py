"""A residual MLP with batch norm and dropout, after Gorishniy et al. (2021), "Revisiting Deep Learning Models
for Tabular Data", section 3.2."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """A normalised two-layer perceptron, added to its input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Linear(width, 2 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(rows, width) to (rows, width)."""
        changed: Tensor = x + self.layers(x)
        return changed


class ResNet(nn.Module):
    """Blocks between a first and a last linear layer.

    Args:
        inputs: Numbers of a row; reproven says it.
        width: Of the blocks.
        blocks: How many.
        dropout: Share of the numbers that are left out in training.
        outputs: Targets; reproven says it.
    """

    def __init__(
        self, inputs: int, width: int = 32, blocks: int = 2, dropout: float = 0.1, outputs: int = 1
    ) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*(Block(width, dropout) for _ in range(blocks)))
        self.last = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Predictions, (rows, outputs), for features, (rows, inputs)."""
        found: Tensor = self.last(self.blocks(self.first(x)))
        return found
