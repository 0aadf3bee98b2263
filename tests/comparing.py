"""Runs for the tests as they are compared."""

from __future__ import annotations

from typing import Any

from reproven.comparisons import words as words
from reproven.comparisons.groups import Candidate
from reproven.comparisons.params import canonical
from reproven.values.recipe import Recipe


def run(value: float, *, seed: int = 0, status: str = "FINISHED", **changed: Any) -> Candidate:
    """A run as it is compared, that ended with a test_rmse."""
    recipe = Recipe(seed=seed, split_seed=changed.pop("split_seed", 12), **changed)
    params = {
        name: ",".join(f"{k}={v}" for k, v in item.items()) if isinstance(item, dict) else _spelt(item)
        for name, item in recipe.to_dict().items()
        if item not in ((), {})
    }
    return Candidate(
        run_id=f"{recipe.sha256[:24]}{abs(hash(value)) % 16**8:08x}",
        name=f"{recipe.variant}-{recipe.optimizer}-{seed}",
        status=status,
        params=canonical({**params, "target": "MEDV"}),
        metrics={"test_rmse": value, "test_r2": -value},
        recipe=recipe.sha256,
        split=f"split {recipe.split_seed}",
        table="boston",
        commit="c0ffee",
    )


def _spelt(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
