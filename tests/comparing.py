"""Runs for the tests as they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reproven.comparisons import overview
from reproven.comparisons import words as words
from reproven.comparisons.overview import Comparison
from reproven.comparisons.params import canonical
from reproven.recipes.recipe import Recipe
from reproven.store.summary import Summary
from reproven.store.tags import COMMIT, DIRTY, OWN_TAG, PREFIX, PRUNED, RECIPE_TAG, REPLAY_OF

_TAGS = {
    "recipe": RECIPE_TAG,
    "split": f"{PREFIX}split.sha256",
    "table": f"{PREFIX}data.sha256",
    "commit": COMMIT,
    "dirty": DIRTY,
    "own": OWN_TAG,
    "replay_of": REPLAY_OF,
    "pruned": PRUNED,
}


#: Rows of each part of the bundled table's usual split.
ROWS = {"training": 404, "testing": 102}


def run(value: float, *, seed: int = 0, status: str = "FINISHED", **changed: Any) -> Summary:
    """A run as it is compared, that ended with a test_rmse; seeds share a split where none is given."""
    recipe = Recipe(seed=seed, split_seed=changed.pop("split_seed", 12), **changed)
    params = {
        name: ",".join(f"{k}={v}" for k, v in item.items()) if isinstance(item, dict) else _spelt(item)
        for name, item in recipe.to_dict().items()
        if item not in ((), {})
    }
    made = Summary(
        run_id=f"{recipe.sha256[:24]}{abs(hash(value)) % 16**8:08x}",
        name=f"{recipe.variant}-{recipe.optimizer}-{seed}",
        status=status,
        params=canonical({**params, "target": "MEDV"}),
        metrics={"test_rmse": value, "test_r2": -value},
        tags={},
        artifact_uri="",
        rows=ROWS,
    )
    return tagged(
        made, recipe=recipe.sha256, split=f"split {recipe.split_seed}", table="boston", commit="c0ffee"
    )


def tagged(run: Summary, **said: str | None) -> Summary:
    """The run with other tags, each by what it says; None takes it away."""
    tags = run.tags | {_TAGS[name]: text for name, text in said.items() if text is not None}
    gone = {_TAGS[name] for name, text in said.items() if text is None}
    return replace(run, tags={name: text for name, text in tags.items() if name not in gone})


def two(
    differences: Mapping[int, float] | list[float],
    base: float = 5.0,
    *,
    splits: bool = False,
    rope: str | None = None,
) -> Comparison:
    """sgd, and adam that is worse by the given amounts, by seed; with `splits`, each has one of its own."""
    by_seed = differences if isinstance(differences, Mapping) else dict(enumerate(differences))
    runs = [
        run(base + by, seed=seed, optimizer=name, split_seed=seed if splits else 12)
        for seed, apart in by_seed.items()
        for name, by in (("sgd", 0.0), ("adam", apart))
    ]
    return overview.of(runs, rope=rope)


def sentence(compared: Comparison) -> str:
    """The only sentence that a comparison says."""
    (said,) = words.sentences(compared)
    return said


def _spelt(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
