"""Completed: a recipe with everything filled in that it leaves open, beside its table.

Whoever trains, and whoever only hands recipes out, completes them here, so that both mean the same run. It
imports torch only where it must ask for a GPU, and it makes nothing of what training needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from reproven.arithmetic import profiles
from reproven.errors import InvalidInput
from reproven.machine import environment
from reproven.recipes.choices import FEATURES, NONE, rows_tested, usual_epochs
from reproven.recipes.recipe import Recipe
from reproven.recipes.typed import fold_of
from reproven.tables import data
from reproven.tables.data import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """A recipe that leaves nothing open.

    Attributes:
        recipe: As its run holds it: with the table's name, digest and target; the device is cpu or cuda,
            and the profile the one that it is trained in.
        table: What it is trained on.
    """

    recipe: Recipe
    table: Table

    @property
    def handed_out(self) -> Recipe:
        """The same for another process, which must find the table: by a bundled name, or an absolute path."""
        return replace(self.recipe, data=self.table.place)


def completed(recipe: Recipe, *, load: Callable[..., Table] = data.load) -> Completed:
    """Reads the recipe's table, and fills in what the recipe leaves open.

    Args:
        recipe: Its `data` is a name or a path.
        load: `data.load`, or what remembers the tables that it read.

    Raises:
        DataError: The table cannot be trained on, or is not the one that `data_sha256` asks for.
        InvalidInput: The device is not there, or the loss does not fit the target.
    """
    device = _device(recipe)
    profile = profiles.chosen(recipe.profile, device)
    table = load(recipe.data, sha256=recipe.data_sha256, **recipe.of_table)
    if recipe.loss == "bce_with_logits" and table.classes and len(table.classes) != 2:
        raise InvalidInput(
            [
                f"loss is bce_with_logits, which tells two classes, but {table.target} has "
                f"{len(table.classes)}. Try --loss cross_entropy."
            ]
        )
    if problems := list(_unfit(recipe, table)):
        raise InvalidInput(problems)
    held = replace(
        recipe,
        data=table.name,
        data_sha256=table.sha256,
        target=table.target,
        task=table.task,
        epochs=recipe.epochs or usual_epochs(rows_that_train(len(table.y), recipe), recipe.batch_size),
        standardise=NONE if table.shape is not None else recipe.standardise or FEATURES,
        device=device,
        profile=profile,
    )
    return Completed(recipe=held, table=table)


def _unfit(recipe: Recipe, table: Table) -> Iterator[str]:
    """In what a recipe does not fit an array that is taken as it is."""
    if table.shape is None:
        return
    if recipe.standardise == FEATURES:
        yield (
            f"standardise is features, but X of {table.name} has rows of shape {table.shape}: only columns "
            "have a mean each. Leave it out, and bring the numbers into range where they are made."
        )
    if recipe.network is None and (len(table.shape) != 1 or table.X.dtype != "float32"):
        yield (
            f"network is {recipe.variant}, which takes rows of numbers, but X of {table.name} has rows of "
            f"shape {table.shape}, {table.X.dtype}. Name your own: --network package.module:Class."
        )


def rows_that_train(rows: int, recipe: Recipe) -> int:
    """How many of a table's rows are not held out; at least one, as `split` has it or says."""
    fold = None if recipe.fold is None else fold_of(recipe.fold)
    held_out = rows_tested(rows, recipe.test_size, fold) + math.ceil(recipe.validation_size * rows)
    return max(1, rows - held_out)


def _device(recipe: Recipe) -> str:
    """The recipe's device, cpu or cuda; only who wants a GPU pays for torch."""
    if recipe.device == "cpu":
        return recipe.device
    return environment.resolve_device(recipe.device)
