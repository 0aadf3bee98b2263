"""Trains in the portable profile and prints digests of every bit, as JSON, for test_arithmetic.

python tests/cpu_digests.py [--profile native] [--quick]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from reproven.arithmetic.profiles import PORTABLE
from reproven.recipes.choices import OPTIMIZERS, VARIANTS
from reproven.recipes.recipe import Recipe
from reproven.recipes.schemes import INIT_SCHEMES

SCHEMES = {"constant": "constant:val=0.1", "sparse": "sparse:sparsity=0.5"}
RICH: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    "adam": {"weight_decay": 0.01, "amsgrad": True},
    "adamw": {"amsgrad": True},
    "rmsprop": {"momentum": 0.9, "weight_decay": 0.01, "centered": True},
}


#: A table of one's own, with numbers, a text, dates and holes.
OWN = "".join(
    f"{n * 0.37 % 5 if n % 7 else ''},{'red' if n % 3 else 'blue'},"
    f"2026-{1 + n % 12:02d}-{1 + n % 28:02d},{n * 1.7 % 11}\n"
    for n in range(60)
)


def recipes(profile: str, quick: bool) -> dict[str, Recipe]:
    """Every optimizer with either variant and its options off and on, and every scheme once."""
    found = {}
    for optimizer, variant in product(OPTIMIZERS, VARIANTS):
        if quick and variant == "sequential":
            continue
        plain: dict[str, Any] = {"optimizer": optimizer, "variant": variant, "epochs": 5, "lr": 0.002}
        found[f"{optimizer} {variant}"] = Recipe(**plain, profile=profile)
        found[f"{optimizer} {variant} rich"] = Recipe(
            **plain,
            **RICH[optimizer],
            profile=profile,
        )
    for scheme in () if quick else (s for s in INIT_SCHEMES if s != "dirac"):
        init = SCHEMES.get(scheme, scheme)
        found[f"init {scheme}"] = Recipe(optimizer="adam", init=init, epochs=1, profile=profile)
    of_classes: dict[str, Any] = {
        "task": "classification",
        "optimizer": "adam",
        "epochs": 3,
        "profile": profile,
    }
    found["classes"] = Recipe(target="RAD", **of_classes)
    for loss in () if quick else ("l1", "huber", "smooth_l1"):
        found[loss] = Recipe(loss=loss, epochs=3, profile=profile)
    if not quick:
        path = Path(tempfile.mkdtemp()) / "own.csv"
        path.write_text(f"size,colour,day,price\n{OWN}")
        own: dict[str, Any] = {"data": str(path), "preprocess": "auto", "epochs": 5, "profile": profile}
        found["own table"] = Recipe(target="price", validation_size=0.2, **own)
        found["two classes"] = Recipe(target="CHAS", loss="bce_with_logits", **of_classes)
    found["wide"] = Recipe(hidden=(50, 33), optimizer="adam", epochs=2, profile=profile)
    return found


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", default=PORTABLE)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    from reproven.training.evaluation import by_part
    from reproven.training.prepared import prepare

    found = {}
    for name, recipe in recipes(arguments.profile, arguments.quick).items():
        made = prepare(recipe)
        start = [p.detach().numpy().tobytes() for p in made.state.network.parameters()]
        losses = [struct.pack("<f", step.loss) for step in made.steps()]
        end = [p.detach().numpy().tobytes() for p in made.state.network.parameters()]
        predicted = [array.tobytes() for pair in made.predictions().values() for array in pair]
        errors = [struct.pack("<d", value) for value in by_part(made.predictions()).values()]
        found[name] = {
            "standardised": digest(*(t.numpy().tobytes() for part in made.parts.values() for t in part)),
            "initial weights": digest(*start),
            "losses": digest(*losses),
            "final weights": digest(*end),
            "predictions": digest(*predicted),
            "errors": digest(*errors),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
