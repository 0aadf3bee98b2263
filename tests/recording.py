"""Records for the tests that are values alone: nothing is trained, and no file is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reproven import Recipe
from reproven.values.programs import Code
from reproven.values.record import Inputs, Outcome, Record
from reproven.values.steps import Step, all_weights_sha256, short

NAMES = ("hidden.weight", "hidden.bias")
CODE = Code(source_sha256="e" * 64, commit="a" * 40, branch="main")
LOSSES = (10.0, 5.0, 4.0, 2.5, 2.0, 1.5)
ENVIRONMENT: dict[str, Any] = {
    "python": "3.11.9",
    "packages": {"numpy": "2.4.6", "torch": "2.13.0"},
    "torch": {"version": "2.13.0+cpu", "threads": 1, "interop_threads": 2},
    "profile": "portable",
    "cpu": "one",
    "machine": "x86_64",
    "system": "Linux 6.1",
    "installed": {"numpy": "2.4.6"},
    "variables": {},
}


def digest(*parts: object) -> str:
    return all_weights_sha256(map(repr, parts))


def record(*, weights: float = 0.5, steps: int = 6, **inputs: Any) -> Record:
    """Three epochs of two steps; `weights` is the first final weight."""
    final = {name: digest(name, "final") for name in NAMES}
    return Record(
        inputs=Inputs(
            **{
                "recipe": Recipe(epochs=3, profile="portable"),
                "split_sha256": digest("split"),
                "code": CODE,
                "environment": ENVIRONMENT,
                "standardisation": {"mean": digest("mean"), "scale": digest("scale")},
                "initial_weights": {name: digest(name, "initial") for name in NAMES},
                **inputs,
            }
        ),
        outcome=Outcome(
            steps=tuple(Step(s, s // 2, s % 2, LOSSES[s], s % 2 == 1) for s in range(steps)),
            step_weights=tuple(
                short(final[name] if s == steps - 1 else digest(name, s) for name in NAMES)
                for s in range(steps)
            ),
            epoch_weights=(digest(0), digest(1), all_weights_sha256(final.values())),
            final_weights=final,
            predictions={"train": digest("predictions")},
            errors={"train_rmse": 3.5},
            failure=None,
        ),
        weights={"hidden.weight": np.array([[weights, 1.0]], dtype=np.float32)},
    )


def with_outcome(found: Record, **changed: Any) -> Record:
    return replace(found, outcome=replace(found.outcome, **changed))
