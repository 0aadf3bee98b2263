"""runs: what an experiment's newest runs came to."""

from __future__ import annotations

from reproven.store.store import Store
from reproven.store.summary import Summary


def runs(experiment: str = "Default", *, last: int = 10, tracking_uri: str | None = None) -> list[Summary]:
    """The newest runs of an experiment, newest first.

    Args:
        experiment: The experiment's name.
        last: How many at most.
        tracking_uri: Where to look; None takes MLflow's own choice.

    Raises:
        StoreError: There is no such experiment.
    """
    return Store(tracking_uri).recent_runs(experiment, last=last)
