"""Prepared: a recipe made concrete. The one place that unpacks a recipe into data, network and steps.

Whoever trains (train, and whatever repeats it) makes a `Prepared` and pulls its steps; `completed` has filled
in what the recipe leaves open. It knows nothing of MLflow and writes no file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from reproven import networks
from reproven.errors import InvalidInput
from reproven.files.front import Front, Model
from reproven.files.names import MADE_OF
from reproven.machine.environment import require_addresses
from reproven.operations.takeover import as_it_comes, computing
from reproven.own import trying
from reproven.own.failing import blaming
from reproven.own.finding import find_function
from reproven.own.generators import Draws, seed_of
from reproven.own.modules import TOLD, arguments_of
from reproven.own.named import made_of, modules_of, plain_name
from reproven.own.sources import Sources, imported_since, sources_of
from reproven.own.stale import refuse_stale
from reproven.recipes.choices import EPOCH
from reproven.recipes.recipe import Recipe
from reproven.tables.split import Dataset, dataset_of
from reproven.training import evaluation, loop, optimizers
from reproven.training.building import build
from reproven.training.completed import completed
from reproven.training.loop import State
from reproven.training.losses import Loss, loss_of, slopes_of
from reproven.training.updates import Updates
from reproven.values.metrics import choosing_metric, loss_label, more_is_better
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
        nondeterministic: Operations of the user's own code that have no deterministic form.
        sources: What the user's own code is made of.
    """

    recipe: Recipe
    dataset: Dataset
    state: State
    parts: Mapping[str, tuple[Tensor, Tensor]]
    nondeterministic: tuple[str, ...] = ()
    sources: Sources = field(default_factory=Sources)

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

    def steps(self, judged: Sequence[float] = ()) -> Iterator[Step]:
        """Trains from wherever the state stands, and yields after each update.

        Args:
            judged: The metric that epochs are chosen by after each of them, as far as it is over; it grows.

        Raises:
            OwnCodeError: The user's own code fails.
        """
        recipe = self.recipe
        with blaming(f"Training {recipe.network_name}") if recipe.own else nullcontext():
            yield from loop.steps(
                self.state,
                *self.parts["train"],
                epochs=recipe.epochs,
                batch_size=recipe.batch_size,
                updates=self.updates(),
                slopes=slopes_of(
                    self.state.network, self.loss, named=str(recipe.loss), profile=recipe.profile
                ),
                judged=judged,
                profile=recipe.profile,
            )

    @cached_property
    def loss(self) -> Loss:
        """What is made small."""
        return loss_of(str(self.recipe.loss), self.recipe.loss_options)

    def updates(self) -> Updates:
        """The optimizer, for the state as it stands.

        Raises:
            InvalidInput: It or its schedule does not take what the recipe gives it.
        """
        recipe, parameters = self.recipe, loop.trained(self.state.network)
        try:
            return Updates(
                list(parameters.values()),
                self.state.slots,
                optimizer=recipe.optimizer,
                rates=optimizers.learning_rates(list(parameters), recipe.lr, recipe.layer_lr),
                options=recipe.optimizer_options,
                clip_norm=recipe.clip_norm,
                profile=recipe.profile,
                schedule=self._schedule(),
            )
        except (TypeError, ValueError) as error:
            told = " ".join(str(error).split())
            raise InvalidInput(
                [
                    f"optimizer {recipe.optimizer} or its schedule does not take what it is given: {told}. "
                    "See --optimizer-arg and --schedule-arg."
                ]
            ) from error

    def _schedule(self) -> dict[str, Any] | None:
        recipe = self.recipe
        if recipe.schedule is None:
            return None
        return {
            "name": recipe.schedule,
            "arguments": dict(recipe.schedule_args),
            "per": recipe.schedule_per,
            "length": recipe.epochs if recipe.schedule_per == EPOCH else self.total_steps,
            "more_is_better": more_is_better(choosing_metric("validation", recipe.task)),
        }

    def afresh(self, recipe: Recipe) -> Prepared:
        """Another recipe on the same dataset, before its first step.

        Args:
            recipe: Differs from this one in the optimizer and its rates and options alone.
        """
        state = _state(recipe, self.dataset)
        if state.draws is not None and self.state.draws is not None:
            state.draws.lends_all = self.state.draws.lends_all
        return replace(self, recipe=recipe, state=state)

    def predictions(self) -> evaluation.Predictions:
        """Observed and predicted values by part: in the targets' own units, or classes and probabilities.

        Raises:
            OwnCodeError: The user's own network fails.
        """
        with self._evaluating(), computing(self.recipe.profile):
            return {
                part: (y, evaluation.told(self.state.network, self.parts[part][0], self._then))
                for part, y in self.dataset.observed.items()
            }

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Stands around what the network computes in evaluation: if it draws, the same each time."""
        if not self.recipe.own:
            yield
            return
        draws = _draws(self.recipe, "evaluation")
        with blaming(f"Evaluating {self.recipe.network_name}"), draws.lent():
            yield

    def measured(self, found: evaluation.Predictions) -> dict[str, float]:
        """The metrics of each part, with the user's own.

        Raises:
            OwnCodeError: One of these fails.
        """
        own = {plain_name(name): find_function(name) for name in self.recipe.metrics}
        with as_it_comes() if own else nullcontext():
            return evaluation.by_part(found, self.dataset.table.targets, own)

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

    @property
    def fitted(self) -> dict[str, Any]:
        """All that a model holds beside its network and its columns' names, by its names for it."""
        return {**self.dataset.fitted, **self._made_of}

    @property
    def fitted_text(self) -> str:
        """The file with what a state_dict lacks to predict."""
        return self.dataset.text_of(self.fitted)

    @property
    def _made_of(self) -> dict[str, str]:
        """What the user's own network is made of; nothing for others."""
        recipe = self.recipe
        if recipe.network is None:
            return {}
        told = dict(zip(TOLD, (self.dataset.width, _outputs(recipe, self.dataset)), strict=True))
        return {
            MADE_OF: made_of(recipe.network, arguments_of(recipe.network, dict(recipe.network_args), told))
        }

    def model(self) -> Model:
        """The network with encoding and standardisation in front, on the CPU, in evaluation mode.

        It shares the network with the state, so take it when the training is over.
        """
        table = self.dataset.table
        front = Front(self.fitted, features=table.features, target=table.target)
        return front.before(self.state.network.cpu()).eval()


def _state(recipe: Recipe, dataset: Dataset) -> State:
    with computing(recipe.profile):
        network = build(recipe, inputs=dataset.width, outputs=_outputs(recipe, dataset))
    draws = _draws(recipe, "training") if recipe.own else None
    return State.fresh(network.to(recipe.device), seed=recipe.seed, draws=draws)


def _draws(recipe: Recipe, what: str) -> Draws:
    return Draws(
        seed_of(what, recipe.seed), device=recipe.device, is_strict=not recipe.allow_nondeterministic
    )


def _outputs(recipe: Recipe, dataset: Dataset) -> int:
    """How many numbers the network puts out for a row."""
    table = dataset.table
    return 1 if recipe.loss == "bce_with_logits" else len(table.classes) or len(table.targets)


def prepare(recipe: Recipe) -> Prepared:
    """Reads the recipe's table and makes everything that stands before the first step.

    Args:
        recipe: Its `data` is a name or a path; what it leaves open is filled in.

    Raises:
        DataError: The table cannot be trained on, or is not the one that `data_sha256` asks for.
        InvalidInput: The device is not there, the profile is not in force, the network does not fit
            into memory, or the optimizer does not take its arguments.
        Untrusted, OwnCodeError: The user's own code cannot be had, or cannot be trained.
    """
    before, sources = set(sys.modules), sources_of(modules_of(recipe.own.values()))  # as they are imported
    found = completed(recipe)
    recipe, table, device = found.recipe, found.table, found.recipe.device
    dataset = dataset_of(recipe, table)
    parts = {name: dataset.tensors(rows) for name, rows in dataset.parts.items()}
    made = Prepared(
        recipe=recipe,
        dataset=dataset,
        state=_state(recipe, dataset),
        parts={name: (X.to(device), y.to(device)) for name, (X, y) in parts.items()},
    )
    made.updates()  # which says what it does not take
    require_addresses()
    if not recipe.own:
        return made
    tried = tuple(_tried(made))
    sources |= imported_since(before)
    refuse_stale(sources)
    return replace(made, nondeterministic=tried, sources=sources)


def _tried(made: Prepared) -> list[str]:
    """The operations of the user's own code that have no deterministic form, if any are allowed."""
    recipe, draws = made.recipe, _draws(made.recipe, "training")
    with computing(recipe.profile):
        found = trying.nondeterministic(
            recipe.network_name,
            made.state.network,
            draws,
            *made.parts["train"],
            batch_size=recipe.batch_size,
            outputs=_outputs(recipe, made.dataset),
            loss=made.loss,
            is_allowed=bool(recipe.allow_nondeterministic),
        )
    if made.state.draws is not None:
        made.state.draws.lends_all = draws.lends_all
    if recipe.metrics:
        made.measured(made.predictions())
    return found
