"""History: a recipe is trained, and its record grows with every step. It writes no file.

Whoever trains (train, replay) pulls `History.train` and does with each step what it wants; what came
out is then `History.outcome`. So both make the same type, and can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from reproven.files.digests import (
    digester,
    fitted_digests,
    intervals,
    tensor_digests,
    tensor_sha256,
)
from reproven.machine.code import own_code
from reproven.training.evaluation import Predictions
from reproven.training.loop import unstable
from reproven.training.prepared import Prepared
from reproven.values.metrics import Best, choosing_metric
from reproven.values.programs import Code
from reproven.values.record import Inputs, Outcome, Record
from reproven.values.steps import Step, all_weights_sha256, short


def inputs_of(made: Prepared, code: Code, environment: Mapping[str, Any]) -> Inputs:
    """Everything that determines a training, before its first step.

    Args:
        made: What is trained.
        code: This package's code.
        environment: As `environment.describe` tells it.
    """
    told = {"nondeterministic": list(made.nondeterministic)} if made.nondeterministic else {}
    described = {**environment, **told}
    return Inputs(
        recipe=made.recipe,
        split_sha256=made.dataset.split_sha256,
        code=code,
        environment=described,
        standardisation=fitted_digests(made.fitted),
        initial_weights=tensor_digests(made.state.network.state_dict()),
        own=own_code(made.sources) if made.recipe.own else None,
    )


@dataclass
class History:
    """What training has left behind so far: it only grows.

    Attributes:
        made: What is trained.
        errors: The errors of each part after the last epoch for which they are finite; at the end, of the
            weights that are kept.
        failure: Why training failed; None while it has not.
        pruned: Why a sweep stopped it; None while none has. Whoever stops it says so here.
        steps: Every step so far.
        weights_every: As an `Outcome` has it; None takes what costs little.
        step_weights: After each step, the digests of the tensors as the record keeps them.
        epoch_weights: After each epoch, one digest of all weights.
        best: The best epoch so far, where the recipe has patience.
        best_weights: The tensors after it, by name, on the device.
        best_epoch: Epochs completed when the weights stood that are kept, once they are.
        judged: What a schedule may look at after each epoch, where rows are held out for validation.
    """

    made: Prepared
    weights_every: Mapping[str, int] | None = None
    errors: dict[str, float] = field(default_factory=dict)
    failure: str | None = None
    pruned: str | None = None
    steps: list[Step] = field(default_factory=list)
    step_weights: list[tuple[str, ...]] = field(default_factory=list)
    epoch_weights: list[str] = field(default_factory=list)
    best: Best | None = None
    best_weights: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    best_epoch: int | None = None
    judged: list[float] = field(default_factory=list)
    _predicted: Predictions | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.weights_every is None:
            sizes = {name: one.numel() for name, one in self.made.state.network.state_dict().items()}
            self.weights_every = intervals(sizes, batch_size=self.made.recipe.batch_size)
        if self.made.recipe.patience is not None:
            self.best = Best(metric=self._chooses_by, patience=self.made.recipe.patience)

    @property
    def _chooses_by(self) -> str:
        return choosing_metric("validation", self.made.recipe.task)

    @property
    def is_over(self) -> bool:
        """Whether no step follows: all epochs are over, or it failed, was pruned, or is patient no more."""
        is_whole = len(self.epoch_weights) == self.made.recipe.epochs
        has_waited = self.best is not None and self.best.has_waited
        return is_whole or has_waited or self.failure is not None or self.pruned is not None

    def train(self) -> Iterator[Step]:
        """Trains, and yields each step once it is recorded.

        It ends early where the numbers are not finite, or the recipe waits no longer for a better epoch. The
        network is then as the last step left it.
        """
        if self.is_over:  # resumed after the last step
            return
        digests = digester(self.made.state.network, self.weights_every)
        for step in self.made.steps(self.judged):
            is_finite = math.isfinite(step.loss)
            found = digests(None if step.ends_epoch or not is_finite else step.step + 1)
            self._predicted = None
            self.steps.append(step)
            self.step_weights.append(short(found))
            if not is_finite:
                self.failure = self._failure(f"The loss became {step.loss}")
            elif step.ends_epoch:
                self._end_epoch(found)
            yield step
            if self.is_over:
                return

    def _end_epoch(self, digests: list[str]) -> None:
        sha256 = all_weights_sha256(digests)
        errors = self.made.measured(self.predictions())
        if not all(math.isfinite(value) for value in errors.values()):
            self.epoch_weights.append(sha256)
            self.failure = self._failure("The weights became infinite")
            return
        self.note_epoch(sha256, errors)
        if self.best is not None and self.best.is_last:
            self.best_weights = {n: t.clone() for n, t in self.made.state.network.state_dict().items()}

    def note_epoch(self, sha256: str, errors: Mapping[str, float]) -> None:
        """Notes what was found at the end of an epoch, now or before training was resumed.

        Args:
            sha256: The digest of all weights.
            errors: The errors of each part, all finite.
        """
        self.epoch_weights.append(sha256)
        self.errors = dict(errors)
        if self._chooses_by in errors:
            self.judged.append(errors[self._chooses_by])
        if self.best is not None:
            self.best = self.best.after(self.errors)

    def keep_best(self) -> int | None:
        """Ends training with the weights of the best epoch, and returns how many epochs were completed then.

        They are the network's from here on, and theirs are the errors. Where the recipe has no patience, or
        training failed, it ends as it is, and None is returned.
        """
        if self.best is None or self.best.epoch == 0 or self.failure is not None:
            return None
        self.made.state.network.load_state_dict(dict(self.best_weights))
        self.best_epoch, self.errors = self.best.epoch, dict(self.best.errors)
        self._predicted = None
        return self.best_epoch

    def _failure(self, what: str) -> str:
        step, lr = self.steps[-1], self.made.recipe.lr
        where = f"at step {step.step} (epoch {step.epoch}, batch {step.batch})"
        return f"{what} {where}. {unstable(self.losses)} Try --lr {lr / 10:g}."

    def predictions(self) -> Predictions:
        """Observed and predicted values where training stands, (rows,) float32 each, by part."""
        if self._predicted is None:
            self._predicted = self.made.predictions()
        return self._predicted

    @property
    def losses(self) -> list[float]:
        """The loss of every step."""
        return [step.loss for step in self.steps]

    @property
    def metrics(self) -> dict[str, float]:
        """The last finite value of each metric; train_loss is the last batch's."""
        finite = [loss for loss in self.losses if math.isfinite(loss)]
        return ({"train_loss": finite[-1]} if finite else {}) | self.errors

    def outcome(self) -> Outcome:
        """What came out so far."""
        predictions = {} if self.failure else self.predictions()
        return Outcome(
            steps=tuple(self.steps),
            step_weights=tuple(self.step_weights),
            weights_every=dict(self.weights_every or {}),
            epoch_weights=tuple(self.epoch_weights),
            final_weights=tensor_digests(self.made.state.network.state_dict()),
            predictions={
                part: tensor_sha256(torch.from_numpy(predicted))
                for part, (_, predicted) in predictions.items()
            },
            errors=dict(self.errors),
            failure=self.failure,
            pruned=self.pruned,
            best_epoch=self.best_epoch,
        )

    def record(self, inputs: Inputs) -> Record:
        """The whole record, once training is over."""
        weights = {name: t.cpu().numpy() for name, t in self.made.state.network.state_dict().items()}
        return Record(inputs=inputs, outcome=self.outcome(), weights=weights)
