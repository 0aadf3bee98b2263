"""Metrics: their names, and which way is better."""

from __future__ import annotations

#: The errors of both parts of a table, after each epoch.
METRICS = tuple(f"{part}_{error}" for part in ("test", "train") for error in ("rmse", "mae", "r2"))
_GROWING = ("r2",)  # the end of a metric's name, of which more is better


def more_is_better(metric: str) -> bool:
    """Whether the greatest value of a metric is the best one; of errors the least is."""
    return metric.endswith(_GROWING)
