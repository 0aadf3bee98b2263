"""Training runs that can be proven: recorded in MLflow, revived without running code from a file.

`import reproven` imports neither torch nor MLflow; the public names bring what they need when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reproven.arithmetic import enter
    from reproven.axes import Axis
    from reproven.comparison import Comparison
    from reproven.recipe import Recipe
    from reproven.study import Study
    from reproven.swept import Swept
    from reproven.verbs.audit import Audit, audit, seal
    from reproven.verbs.bundle import export, import_
    from reproven.verbs.compare import Compared, compare
    from reproven.verbs.doctor import doctor
    from reproven.verbs.draw import draw
    from reproven.verbs.predict import predict
    from reproven.verbs.promote import Promoted, promote, roll_back
    from reproven.verbs.replay import replay, replays
    from reproven.verbs.resume import resume
    from reproven.verbs.revive import revive
    from reproven.verbs.sweep import sweep
    from reproven.verbs.sync import sync
    from reproven.verbs.train import Trained, train
    from reproven.verbs.weights import Initialised, weights
    from reproven.verdict import Verdict

__version__ = "0.1.0"

_HOMES = {
    "Audit": "reproven.verbs.audit",
    "Axis": "reproven.axes",
    "Compared": "reproven.verbs.compare",
    "Comparison": "reproven.comparison",
    "Initialised": "reproven.verbs.weights",
    "Promoted": "reproven.verbs.promote",
    "Recipe": "reproven.recipe",
    "Study": "reproven.study",
    "Swept": "reproven.swept",
    "Trained": "reproven.verbs.train",
    "Verdict": "reproven.verdict",
    "audit": "reproven.verbs.audit",
    "compare": "reproven.verbs.compare",
    "doctor": "reproven.verbs.doctor",
    "draw": "reproven.verbs.draw",
    "enter": "reproven.arithmetic",
    "export": "reproven.verbs.bundle",
    "import_": "reproven.verbs.bundle",
    "predict": "reproven.verbs.predict",
    "promote": "reproven.verbs.promote",
    "replay": "reproven.verbs.replay",
    "replays": "reproven.verbs.replay",
    "resume": "reproven.verbs.resume",
    "revive": "reproven.verbs.revive",
    "roll_back": "reproven.verbs.promote",
    "seal": "reproven.verbs.audit",
    "sweep": "reproven.verbs.sweep",
    "sync": "reproven.verbs.sync",
    "train": "reproven.verbs.train",
    "weights": "reproven.verbs.weights",
}

__all__ = [
    "Audit",
    "Axis",
    "Compared",
    "Comparison",
    "Initialised",
    "Promoted",
    "Recipe",
    "Study",
    "Swept",
    "Trained",
    "Verdict",
    "__version__",
    "audit",
    "compare",
    "doctor",
    "draw",
    "enter",
    "export",
    "import_",
    "predict",
    "promote",
    "replay",
    "replays",
    "resume",
    "revive",
    "roll_back",
    "seal",
    "sweep",
    "sync",
    "train",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reproven' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
