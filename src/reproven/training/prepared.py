"""Prepared: a recipe made concrete. The one place that unpacks a recipe into data, network and steps.

Whoever trains (train, and whatever repeats it) makes a `Prepared` and pulls its steps; `completed` has filled
in what the recipe leaves open. It knows nothing of MLflow and writes no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from reproven import networks
from reproven.arithmetic import operations, profiles
from reproven.files.front import Front, Model
from reproven.recipes.recipe import Recipe
from reproven.tables.split import Dataset, dataset_of
from reproven.training import evaluation, loop, optimizers
from reproven.training.building import build
from reproven.training.completed import completed
from reproven.training.loop import State
from reproven.training.losses import loss_of
from reproven.values.metrics import loss_label
from reproven.values.steps import Step


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A recipe with its dataset and the state of its training.

    Attributes:
        recipe: Complete: the table's digest and target are in it, the device is cpu or cuda, and the
            profile, on the CPU, is the one in force.
        dataset: The recipe's table, split and standardised.
        state: Before the first step as `prepare` makes it; `steps` moves it on.
        parts: Features, (rows, numbers) float32, and targets as trained on, as `Dataset.tensors` has them, on
            the device, by `train` and, where rows are held out, `validation` and `test`.
    """

    recipe: Recipe
    dataset: Dataset
    state: State
    parts: Mapping[str, tuple[Tensor, Tensor]]

    @property
    def total_steps(self) -> int:
        """Updates in all epochs; fewer come about where training stops early."""
        return self.recipe.epochs * -(-len(self.dataset.train_rows) // self.recipe.batch_size)

    @property
    def loss_label(self) -> str:
        """The training loss with its unit, for axes."""
        return loss_label(
            str(self.recipe.loss),
            self.dataset.table.target_label,
            is_standardised=bool(self.recipe.standardise_target),
        )

    def steps(self) -> Iterator[Step]:
        """Trains from wherever the state stands, and yields after each update."""
        recipe = self.recipe
        names = [name for name, _ in self.state.network.named_parameters()]
        return loop.steps(
            self.state,
            *self.parts["train"],
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            optimizer=recipe.optimizer,
            rates=optimizers.learning_rates(names, recipe.lr, recipe.layer_lr),
            options=self._options(),
            loss=loss_of(str(recipe.loss), recipe.loss_options),
        )

    def afresh(self, recipe: Recipe) -> Prepared:
        """Another recipe on the same dataset, before its first step.

        Args:
            recipe: Differs from this one in the optimizer and its rates and options alone.
        """
        network = _network(recipe, self.dataset).to(recipe.device)
        return replace(self, recipe=recipe, state=State.fresh(network, seed=recipe.seed))

    def _options(self) -> dict[str, Any]:
        """The optimizer's options, with the profile's square root where it takes one."""
        options = self.recipe.optimizer_options
        if self.recipe.optimizer == "sgd":
            return options
        return options | {"sqrt": operations.sqrt(str(self.recipe.profile))}

    def predictions(self) -> evaluation.Predictions:
        """Observed and predicted values by part: in the targets' own units, or classes and probabilities."""
        return {
            part: (y, evaluation.told(self.state.network, self.parts[part][0], self._then))
            for part, y in self.dataset.observed.items()
        }

    def _then(self, outputs: Tensor) -> Tensor:
        """The network's outputs, (rows, outputs) float32, as predictions."""
        if self.dataset.table.classes:
            return networks.probabilities(outputs)
        found, unit = outputs.squeeze(1), self._unit()
        return networks.in_unit(found, *unit) if unit else found

    def _unit(self) -> tuple[Tensor, Tensor] | None:
        """Mean and standard deviation of the target, () float64 or (targets,), where it is standardised."""
        mean, scale = self.dataset.target_mean, self.dataset.target_scale
        if mean is None or scale is None:
            return None
        return torch.from_numpy(mean), torch.from_numpy(scale)

    def model(self) -> Model:
        """The network with encoding and standardisation in front, on the CPU, in evaluation mode.

        It shares the network with the state, so take it when the training is over.
        """
        table = self.dataset.table
        front = Front(self.dataset.fitted, features=table.features, target=table.target)
        return front.before(self.state.network.cpu()).eval()


def _network(recipe: Recipe, dataset: Dataset) -> nn.Module:
    table = dataset.table
    outputs = 1 if recipe.loss == "bce_with_logits" else len(table.classes) or len(table.targets)
    return build(recipe, inputs=len(dataset.mean), outputs=outputs)


def prepare(recipe: Recipe) -> Prepared:
    """Reads the recipe's table and makes everything that stands before the first step.

    Args:
        recipe: Its `data` is a name or a path; what it leaves open is filled in.

    Raises:
        DataError: The table cannot be trained on, or is not the one that `data_sha256` asks for.
        InvalidInput: The device is not there, the profile is not in force, or the network does not fit
            into memory.
    """
    found = completed(recipe, taken_up=profiles.in_force())
    recipe, table, device = found.recipe, found.table, found.recipe.device
    dataset = dataset_of(recipe, table)
    network = _network(recipe, dataset).to(device)
    parts = {name: dataset.tensors(rows) for name, rows in dataset.parts.items()}
    return Prepared(
        recipe=recipe,
        dataset=dataset,
        state=State.fresh(network, seed=recipe.seed),
        parts={name: (X.to(device), y.to(device)) for name, (X, y) in parts.items()},
    )
