"""Histograms of weights as data: counts and edges, by parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import nn

BINS = 30  # the notebook's


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of the values in bins of equal width.

    Attributes:
        counts: Values in each bin, (bins,).
        edges: Bounds of the bins, (bins + 1,), ascending; the last bin holds its upper bound too.
    """

    counts: tuple[int, ...]
    edges: tuple[float, ...]


def histogram(values: np.ndarray, bins: int = BINS) -> Histogram:
    """Bins the finite values of an array, of any shape, from their minimum to their maximum.

    Source: numpy.histogram.
    """
    counts, edges = np.histogram(values[np.isfinite(values)].astype(np.float64), bins=bins)
    return Histogram(tuple(counts.tolist()), tuple(edges.tolist()))


def weight_histograms(network: nn.Module, bins: int = BINS) -> dict[str, Histogram]:
    """A histogram of each parameter, by its name."""
    return {
        name: histogram(parameter.detach().cpu().numpy(), bins)
        for name, parameter in network.named_parameters()
    }


def as_json(found: Mapping[str, Histogram]) -> dict[str, Any]:
    """Histograms as JSON values: parameter, then counts and edges."""
    return {name: {"counts": list(h.counts), "edges": list(h.edges)} for name, h in found.items()}


def from_json(found: Mapping[str, Any]) -> dict[str, Histogram]:
    """Reads what `as_json` made."""
    return {name: Histogram(tuple(h["counts"]), tuple(h["edges"])) for name, h in found.items()}
