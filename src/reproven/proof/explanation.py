"""Explanations by trial: a hidden learning rate or optimizer, found by making the recorded bits again.

Where no recorded input differs and yet the very first update does, the record may say another learning
rate or optimizer than it was trained with. Each candidate makes the first update again; the tensors'
digests after that step tell which ones it explains, and a second training shows for how many steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reproven.files.digests import digester
from reproven.own.modules import layers_of
from reproven.proof import verdict
from reproven.proof.difference import Difference
from reproven.recipes.choices import OPTIMIZERS
from reproven.recipes.recipe import Recipe
from reproven.training.loop import trained
from reproven.training.prepared import Prepared
from reproven.values.changes import Change
from reproven.values.record import Outcome, Record
from reproven.values.steps import agree, short

_MANTISSAS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 7.5, 8.0, 9.0)
_EXPONENTS = range(-6, 1)
_CHECKED = 1000  # steps at most that are trained again to see how far an explanation goes


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """A recipe that makes the recorded bits where the record's own does not.

    Attributes:
        changes: What differs in it, as `recipe.lr`; `recorded` is what the record says.
        steps: For how many steps from the first it makes the recorded weights.
        compared: How many steps were trained again.
    """

    changes: tuple[Change, ...]
    steps: int
    compared: int


def explain(made: Prepared, outcome: Outcome) -> Explanation | None:
    """The learning rates and optimizer that make the recorded first update, if a candidate does.

    Args:
        made: What was made of the record's own recipe; it is not touched.
        outcome: What the record says came out.
    """
    for recipe in _candidates(made.recipe, outcome.step_weights[0], made):
        steps = _agreeing(made.afresh(recipe), outcome)
        if steps:
            compared = min(len(outcome.steps), _CHECKED)
            return Explanation(changes=tuple(_changes(made.recipe, recipe)), steps=steps, compared=compared)
    return None


def _candidates(recipe: Recipe, wanted: Sequence[str], made: Prepared) -> Iterator[Recipe]:
    """Recipes with other learning rates, then with other optimizers, that make every tensor digested."""
    names = list(made.state.network.state_dict())
    moved = trained(made.state.network)
    digested = {name: digest for name, digest in zip(names, wanted, strict=True) if digest and name in moved}
    others = [name for name in OPTIMIZERS if name != recipe.optimizer]
    for optimizer in (recipe.optimizer, *others):
        found: dict[str, list[float]] = {name: [] for name in digested}
        for lr in _rates(recipe):
            after = dict(zip(names, _first_update(made, _with(recipe, optimizer, lr, {})), strict=True))
            for name, right in digested.items():
                if after[name] == right:
                    found[name].append(lr)
        if all(found.values()):
            layers = layers_of(made.state.network)
            yield _with(recipe, optimizer, *_by_layer(recipe, found, layers))


def _rates(recipe: Recipe) -> list[float]:
    """Learning rates that a user would type, those of the recipe first."""
    own = [recipe.lr, *(rate for _, rate in recipe.layer_lr)]
    typed = [float(f"{mantissa}e{exponent}") for exponent in _EXPONENTS for mantissa in _MANTISSAS]
    return list(dict.fromkeys([*own, *typed]))


def _with(recipe: Recipe, optimizer: str, lr: float, layers: Mapping[str, float]) -> Recipe:
    """The recipe with another optimizer (by its defaults) and other rates."""
    values: dict[str, Any] = {} if optimizer == recipe.optimizer else _defaults(optimizer)
    return replace(recipe, **values, optimizer=optimizer, lr=lr, layer_lr=tuple(layers.items()))


def _defaults(optimizer: str) -> dict[str, Any]:
    every = dict.fromkeys(name for options in OPTIMIZERS.values() for name in options)
    return {**every, **OPTIMIZERS[optimizer], "optimizer_args": ()}


def _by_layer(
    recipe: Recipe, found: Mapping[str, Sequence[float]], names: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """One rate where all tensors may have the same; else the outermost layers' own ones.

    Args:
        recipe: What the record says.
        found: The rates that make each tensor: several where its gradient is almost nothing.
        names: The layers, outer ones first.
    """
    rates = [rate for some in found.values() for rate in some]
    whole = _shared(found.values())
    usual = whole[0] if whole else recipe.lr if recipe.lr in rates else max(rates, key=rates.count)
    layers: dict[str, float] = {}
    for layer in names:
        inside = _shared([some for name, some in found.items() if name.startswith(f"{layer}.")])
        is_covered = any(layer.startswith(f"{outer}.") for outer in layers)
        if inside and usual not in inside and not is_covered:
            layers[layer] = inside[0]
    return usual, layers


def _shared(some: Collection[Sequence[float]]) -> list[float]:
    """The rates that all of them have."""
    first, *others = some or [[]]
    return [rate for rate in first if all(rate in other for other in others)]


def _first_update(made: Prepared, recipe: Recipe) -> tuple[str, ...]:
    made = made.afresh(recipe)
    next(made.steps())
    return short(digester(made.state.network)(None))


def _agreeing(made: Prepared, outcome: Outcome) -> int:
    """For how many steps it makes the recorded weights."""
    digests = digester(made.state.network)
    for step, wanted in zip(made.steps(), outcome.step_weights[:_CHECKED], strict=False):
        if not agree(short(digests(None)), wanted):
            return step.step
    return min(len(outcome.step_weights), _CHECKED)


def _changes(recorded: Recipe, found: Recipe) -> Iterator[Change]:
    old, new = recorded.to_dict(), found.to_dict()
    for name in ("optimizer", "lr", "layer_lr"):
        if old.get(name) != new.get(name):
            yield Change(name=f"recipe.{name}", recorded=old.get(name), found=new.get(name))


def explained(made: Prepared, recorded: Record, apart: Difference) -> tuple[str, ...]:
    """What explains a first update that differs though what stands before it does not, if trying finds it."""
    first = apart.first
    is_update = first is not None and (first.what, first.step) == ("weights", 0)
    if not is_update or any(change.name.startswith("recipe.") for change in apart.changes):
        return ()
    found = explain(made, recorded.outcome)
    return verdict.explanation_words(found.changes, found.steps, found.compared) if found else ()
