"""A network for a table: it asks how many numbers a row becomes, and how many classes there are."""

from __future__ import annotations

from torch import nn


def wide_and_deep(inputs: int, outputs: int, width: int = 32) -> nn.Module:
    """A linear way and a deep one, side by side, added up.

    Args:
        inputs: Numbers that a row of the table becomes; reproven says it.
        outputs: Classes; likewise.
        width: Of the hidden layers.
    """
    return Sum(
        nn.Linear(inputs, outputs),
        nn.Sequential(
            nn.Linear(inputs, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, outputs),
        ),
    )


class Sum(nn.Module):
    """What several modules make of the same input, added up."""

    def __init__(self, *ways: nn.Module) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, x):
        """The sum of all outputs, (rows, outputs)."""
        return sum(way(x) for way in self.ways)
