"""Histograms of weights as data: counts and edges, by parameter."""

from __future__ import annotations

import itertools
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


def last_of(moments: Mapping[str, Any]) -> dict[str, Histogram]:
    """The histograms of the last moment in a run's file, by parameter.

    Args:
        moments: Epochs completed, as text, to what `as_json` made.

    Raises:
        ValueError: There is none, or it holds no histograms.
    """
    try:
        found = from_json(moments[max(moments, key=int)])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it holds no histograms ({error!r})") from error
    for name, one in found.items():
        counts_are_whole = all(type(count) is int and 0 <= count < 2**53 for count in one.counts)
        edges_are_numbers = all(type(edge) in (int, float) and abs(edge) < 1e300 for edge in one.edges)
        if not (counts_are_whole and edges_are_numbers and 1 < len(one.edges) == len(one.counts) + 1):
            raise ValueError(f"the histogram of {name[:50]!r} is none")
        if any(not low <= high for low, high in itertools.pairwise(one.edges)):
            raise ValueError(f"the edges of {name[:50]!r} do not ascend")
    return found
