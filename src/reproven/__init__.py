"""Training runs that can be proven: recorded in MLflow, revived without running code from a file.

`import reproven` imports neither torch nor MLflow; the public names bring what they need when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reproven.arithmetic import enter
    from reproven.recipe import Recipe
    from reproven.verbs.predict import predict
    from reproven.verbs.revive import revive
    from reproven.verbs.train import Trained, train
    from reproven.verbs.weights import Initialised, weights

__version__ = "0.1.0"

_HOMES = {
    "Initialised": "reproven.verbs.weights",
    "Recipe": "reproven.recipe",
    "Trained": "reproven.verbs.train",
    "enter": "reproven.arithmetic",
    "predict": "reproven.verbs.predict",
    "revive": "reproven.verbs.revive",
    "train": "reproven.verbs.train",
    "weights": "reproven.verbs.weights",
}

__all__ = [
    "Initialised",
    "Recipe",
    "Trained",
    "__version__",
    "enter",
    "predict",
    "revive",
    "train",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reproven' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
