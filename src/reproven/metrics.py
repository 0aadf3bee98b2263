"""Metrics: which way is better."""

from __future__ import annotations

_GROWING = ("r2",)  # the end of a metric's name, of which more is better


def more_is_better(metric: str) -> bool:
    """Whether the greatest value of a metric is the best one; of errors the least is."""
    return metric.endswith(_GROWING)
