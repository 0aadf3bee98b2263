"""Training runs that can be proven: recorded in MLflow, revived without running code from a file.

`import reproven` imports neither torch nor MLflow; the public names bring what they need when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from reproven._version import __version__ as __version__

if TYPE_CHECKING:  # `as` says that a name is handed on
    from reproven.arithmetic.profiles import enter as enter
    from reproven.comparisons.compare import Compared as Compared
    from reproven.comparisons.compare import compare as compare
    from reproven.comparisons.overview import Comparison as Comparison
    from reproven.logbooks.doctor import doctor as doctor
    from reproven.logbooks.forget import forget as forget
    from reproven.logbooks.sync import sync as sync
    from reproven.machine.shipped import shipped as shipped
    from reproven.own.trust import trust as trust
    from reproven.proof.audit import Audit as Audit
    from reproven.proof.audit import audit as audit
    from reproven.proof.audit import seal as seal
    from reproven.proof.bundle import export as export
    from reproven.proof.bundle import import_ as import_
    from reproven.proof.draw import draw as draw
    from reproven.proof.promote import Promoted as Promoted
    from reproven.proof.promote import promote as promote
    from reproven.proof.promote import roll_back as roll_back
    from reproven.proof.replay import replay as replay
    from reproven.proof.replay import replays as replays
    from reproven.proof.verdict import Verdict as Verdict
    from reproven.recipes.blueprint import Blueprint as Blueprint
    from reproven.recipes.recipe import Recipe as Recipe
    from reproven.runs.about import About as About
    from reproven.runs.about import about as about
    from reproven.runs.given import recipe_of as recipe_of
    from reproven.runs.predict import predict as predict
    from reproven.runs.resume import resume as resume
    from reproven.runs.revive import revive as revive
    from reproven.runs.revive import tensors as tensors
    from reproven.runs.train import Trained as Trained
    from reproven.runs.train import train as train
    from reproven.runs.weights import Initialised as Initialised
    from reproven.runs.weights import weights as weights
    from reproven.sweeps.axes import Axis as Axis
    from reproven.sweeps.results import Swept as Swept
    from reproven.sweeps.study import Study as Study
    from reproven.sweeps.sweep import sweep as sweep

_HOMES = {
    "About": "reproven.runs.about",
    "Audit": "reproven.proof.audit",
    "Axis": "reproven.sweeps.axes",
    "Blueprint": "reproven.recipes.blueprint",
    "Compared": "reproven.comparisons.compare",
    "Comparison": "reproven.comparisons.overview",
    "Initialised": "reproven.runs.weights",
    "Promoted": "reproven.proof.promote",
    "Recipe": "reproven.recipes.recipe",
    "Study": "reproven.sweeps.study",
    "Swept": "reproven.sweeps.results",
    "Trained": "reproven.runs.train",
    "Verdict": "reproven.proof.verdict",
    "about": "reproven.runs.about",
    "audit": "reproven.proof.audit",
    "compare": "reproven.comparisons.compare",
    "doctor": "reproven.logbooks.doctor",
    "draw": "reproven.proof.draw",
    "enter": "reproven.arithmetic.profiles",
    "export": "reproven.proof.bundle",
    "forget": "reproven.logbooks.forget",
    "import_": "reproven.proof.bundle",
    "predict": "reproven.runs.predict",
    "promote": "reproven.proof.promote",
    "recipe_of": "reproven.runs.given",
    "replay": "reproven.proof.replay",
    "replays": "reproven.proof.replay",
    "resume": "reproven.runs.resume",
    "revive": "reproven.runs.revive",
    "roll_back": "reproven.proof.promote",
    "seal": "reproven.proof.audit",
    "shipped": "reproven.machine.shipped",
    "sweep": "reproven.sweeps.sweep",
    "sync": "reproven.logbooks.sync",
    "tensors": "reproven.runs.revive",
    "train": "reproven.runs.train",
    "trust": "reproven.own.trust",
    "weights": "reproven.runs.weights",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reproven' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
