"""The record: a run as a value, without torch or MLflow, read from and written to plain texts.

`Inputs` is everything that determines a run and is known before its first step; `Outcome` is everything
that came out, to the bit. `train` writes a record, `replay` makes a second one from the first one's
recipe, and `difference` compares the two. It touches no file: whoever holds the texts gives them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from reproven.errors import InvalidInput, RecordError
from reproven.files.names import (
    ENVIRONMENT,
    INPUTS,
    LOSSES,
    MADE_OF,
    OF_ENCODING,
    OUTCOME,
    RECIPE,
    SCHEMA,
    WEIGHTS,
)
from reproven.files.texts import FORMAT, csv_text, json_object, json_text
from reproven.recipes.recipe import Recipe
from reproven.values.programs import Code, OwnCode
from reproven.values.steps import Step, all_weights_sha256, read_losses, read_weights, short

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What determines a run.

    Attributes:
        recipe: Complete, with the table's digest, the device and the profile.
        split_sha256: Digest of the rows for training, validation and testing.
        code: The code that it was made by.
        environment: As `environment.describe` tells it.
        standardisation: Digests of the features' means and standard deviations, as `mean` and `scale`; of
            the target's, as `target_mean` and `target_scale`, where it is standardised; and of `source`,
            `fill`, `code` and `schema` where features are no plain numbers.
        initial_weights: Digest of each tensor, by name.
        own: The user's own code; None where the recipe names none.
    """

    recipe: Recipe
    split_sha256: str
    code: Code
    environment: Mapping[str, Any]
    standardisation: Mapping[str, str]
    initial_weights: Mapping[str, str]
    own: OwnCode | None = None

    @classmethod
    def read(cls, text_of: Callable[[str], str], names: Sequence[str] = ()) -> Inputs:
        """Reads inputs from their texts.

        Args:
            text_of: A file's name to its text.
            names: The tensors in their order; that of their names where not given.

        Raises:
            RecordError: A text is not what it must be, or contradicts another.
        """
        found, problems = _read_inputs(text_of, names)
        if problems:
            raise RecordError(" ".join(problems))
        return found

    def texts(self) -> dict[str, str]:
        """The files that hold it, by name."""
        inputs = {
            "format": FORMAT,
            "recipe_sha256": self.recipe.sha256,
            "data_sha256": self.recipe.data_sha256,
            "split_sha256": self.split_sha256,
            "code": asdict(self.code),
            "standardisation": dict(self.standardisation),
            "initial_weights": dict(self.initial_weights),
            **({} if self.own is None else {"own": asdict(self.own)}),
        }
        return {
            RECIPE: self.recipe.to_json(),
            INPUTS: json_text(inputs),
            ENVIRONMENT: json_text(dict(self.environment)),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came out of a run.

    Attributes:
        steps: Every step with its loss.
        step_weights: After each step, the first 16 digits of each tensor's digest, in the tensors' order; an
            empty text where it was not digested (`weights_every`).
        epoch_weights: After each epoch, one digest of all weights.
        final_weights: Digest of each tensor at the end, by name; where the recipe has patience, and training
            did not fail, those of the best epoch.
        predictions: Digest of the predictions with them, by part; none where training failed.
        errors: RMSE, MAE and R² of each part with them; where training failed, after the last epoch for which
            they are finite.
        failure: Why it failed; None where it did not.
        pruned: Why a sweep stopped it after an epoch; None where none did.
        weights_every: Steps between two digests of a tensor, by its name, where that is not every step. All
            are digested after each epoch and after the last step.
        best_epoch: Epochs completed when the final weights stood; None where the recipe has no patience, or
            training failed.
    """

    steps: Sequence[Step]
    step_weights: Sequence[tuple[str, ...]]
    epoch_weights: Sequence[str]
    final_weights: Mapping[str, str]
    predictions: Mapping[str, str]
    errors: Mapping[str, float]
    failure: str | None
    pruned: str | None = None
    weights_every: Mapping[str, int] = field(default_factory=dict)
    best_epoch: int | None = None

    def epochs_at(self, place: int) -> int:
        """After how many epochs the weights stood that histograms and errors show at a place.

        Weights that are kept from the best epoch are shown once more, at the place after the last epoch.
        """
        return self.epochs_kept if place > len(self.epoch_weights) else place

    @property
    def epochs_kept(self) -> int:
        """After how many epochs the final weights stood."""
        return len(self.epoch_weights) if self.best_epoch is None else self.best_epoch

    @property
    def status(self) -> str:
        """As which a run with this outcome ends in MLflow."""
        if self.failure is not None:
            return "FAILED"
        return "FINISHED" if self.pruned is None else "KILLED"

    def texts(self) -> dict[str, str]:
        """The files that hold it, by name."""
        names = [item.name for item in fields(self) if item.name not in ("steps", "step_weights")]
        outcome = {name: getattr(self, name) for name in names}
        for name in ("pruned", "weights_every", "best_epoch"):
            if not outcome[name]:
                del outcome[name]  # as in the records made before there was such a thing
        losses = (
            (s.step, s.epoch, s.batch, repr(s.loss), struct.pack(">f", s.loss).hex()) for s in self.steps
        )
        weights = ((number, *digests) for number, digests in enumerate(self.step_weights))
        return {
            LOSSES: csv_text(("step", "epoch", "batch", "loss", "float32"), losses),
            WEIGHTS: csv_text(("step", *self.final_weights), weights),
            OUTCOME: json_text({"format": FORMAT, **outcome}),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A run, as a value.

    Attributes:
        inputs: What determines it.
        outcome: What came out.
        weights: The tensors at the end, by name, where they are kept.
    """

    inputs: Inputs
    outcome: Outcome
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def read(cls, text_of: Callable[[str], str]) -> Record:
        """Reads a record from its texts.

        Args:
            text_of: A file's name to its text.

        Raises:
            RecordError: A text is not what it must be, or contradicts another.
        """
        outcome = _read_object(OUTCOME, text_of(OUTCOME))
        steps = read_losses(text_of(LOSSES))
        names, step_weights = read_weights(text_of(WEIGHTS))
        inputs, problems = _read_inputs(text_of, names)
        try:
            record = cls(
                inputs=inputs,
                outcome=Outcome(
                    steps=steps,
                    step_weights=step_weights,
                    epoch_weights=tuple(outcome["epoch_weights"]),
                    final_weights=_texts(outcome["final_weights"], names),
                    predictions=_texts(outcome["predictions"], dict(outcome["predictions"])),
                    errors={name: float(value) for name, value in outcome["errors"].items()},
                    failure=outcome["failure"],
                    pruned=outcome.get("pruned"),
                    weights_every=_intervals(outcome.get("weights_every", {}), names),
                    best_epoch=_best_epoch(outcome.get("best_epoch")),
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(f"{OUTCOME} lacks a field or has a wrong one: {error}.") from error
        if problems := [*problems, *_contradictory_steps(record)]:
            raise RecordError(" ".join(problems))
        return record


def _read_inputs(text_of: Callable[[str], str], names: Sequence[str]) -> tuple[Inputs, list[str]]:
    """Inputs from their texts, and what in these contradicts another, in sentences."""
    recipe = _read_recipe(text_of(RECIPE))
    inputs = _read_object(INPUTS, text_of(INPUTS))
    environment = json_object(ENVIRONMENT, text_of(ENVIRONMENT))
    try:
        found = Inputs(
            recipe=recipe,
            split_sha256=inputs["split_sha256"],
            code=Code(**inputs["code"]),
            environment=environment,
            standardisation=_fitted(inputs["standardisation"], recipe.fits),
            initial_weights=_texts(inputs["initial_weights"], names or dict(inputs["initial_weights"])),
            own=OwnCode.read(inputs["own"]) if recipe.own else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RecordError(f"{INPUTS} lacks a field or has a wrong one: {error}.") from error
    return found, _contradictions(found, inputs)


def _read_recipe(text: str) -> Recipe:
    try:
        return Recipe.from_json(text)
    except InvalidInput as error:
        raise RecordError(f"{RECIPE}: {error}") from error


def _read_object(name: str, text: str) -> dict[str, Any]:
    value = json_object(name, text)
    if value.get("format") != FORMAT:
        raise RecordError(f"{name} is not of format {FORMAT}, which this version reads.")
    return value


def _texts(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """The named values, in that order, all of them texts."""
    found = {name: values[name] for name in names}
    if wrong := [name for name, value in found.items() if not isinstance(value, str)]:
        raise TypeError(f"{wrong[0]} is no text")
    return found


def _fitted(values: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, str]:
    """The digests of what was fitted to the training rows: some the recipe says, and some may be there."""
    return _texts(values, needed + tuple(name for name in (*OF_ENCODING, SCHEMA, MADE_OF) if name in values))


def _intervals(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, int]:
    """Steps between two digests of a tensor, by its name, whole numbers from 2 on."""
    found = {name: values[name] for name in names if name in values}
    if set(found) != set(values) or any(type(every) is not int or every < 2 for every in found.values()):
        raise TypeError("weights_every is no whole numbers of steps by tensor")
    return found


def _best_epoch(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise TypeError("best_epoch is no number of epochs")
    return value


def _contradictions(inputs: Inputs, said: Mapping[str, Any]) -> list[str]:
    recipe = inputs.recipe
    pairs = [
        (f"{RECIPE} has the digest", recipe.sha256, f"{INPUTS} says", said.get("recipe_sha256")),
        (f"{RECIPE} names a table of digest", recipe.data_sha256, f"{INPUTS} says", said.get("data_sha256")),
        (
            f"{RECIPE} says that the profile is",
            recipe.profile,
            f"{ENVIRONMENT} says",
            inputs.environment.get("profile"),
        ),
    ]
    return [f"{left} {a}, but {right} {b}." for left, a, right, b in pairs if a != b]


def _contradictory_steps(record: Record) -> list[str]:
    recipe, outcome = record.inputs.recipe, record.outcome
    problems = []
    has = sum(step.ends_epoch for step in outcome.steps)
    if outcome.pruned is not None and not (outcome.steps and outcome.steps[-1].ends_epoch):
        problems.append(f"{OUTCOME} says that the run was pruned, but {LOSSES} ends within an epoch.")
    problems += _contradictory_epochs(recipe, outcome, has)
    if len(outcome.step_weights) != len(outcome.steps):
        problems.append(
            f"{LOSSES} has {len(outcome.steps)} steps, but {WEIGHTS} has {len(outcome.step_weights)}."
        )
    turns = [outcome.weights_every.get(name, 1) for name in outcome.final_weights]
    steps = outcome.steps[:-1] if outcome.best_epoch is None else outcome.steps
    for step, row in zip(steps, outcome.step_weights, strict=False):
        due = [step.ends_epoch or (step.step + 1) % turn == 0 for turn in turns]
        if due != [cell != "" for cell in row]:
            problems.append(f"{WEIGHTS}, step {step.step} has not the digests that {OUTCOME} says it has.")
            break
    final, rows, which, where = tuple(outcome.final_weights.values()), outcome.step_weights, "last", ""
    if (best := outcome.best_epoch) is not None:
        pairs = zip(outcome.steps, outcome.step_weights, strict=False)
        rows, which, where = [row for step, row in pairs if step.epoch < best], "best", " of the best epoch"
    if rows and rows[-1] != short(final):
        problems.append(f"The last step{where} in {WEIGHTS} is not what {OUTCOME} says of the final weights.")
    ended = bool(outcome.steps) and outcome.steps[-1].ends_epoch and outcome.failure is None
    if (ended or best is not None) and outcome.epoch_weights[:best][-1:] != (all_weights_sha256(final),):
        problems.append(f"The {which} epoch in {OUTCOME} is not what it says of the final weights.")
    return problems


def _contradictory_epochs(recipe: Recipe, outcome: Outcome, has: int) -> Iterator[str]:
    """Whether as many epochs are there as the recipe and its patience say."""
    best, patience = outcome.best_epoch, recipe.patience
    if patience is None or outcome.failure is not None:
        if best is not None:
            yield f"{OUTCOME} says that weights after {best} epochs were kept, but such a run keeps its last."
        if outcome.failure is None and outcome.pruned is None and has != recipe.epochs:
            yield f"{RECIPE} says {recipe.epochs} epochs, but {LOSSES} has {has} whole ones."
    elif best is None or best > has:
        yield f"{OUTCOME} says that weights after {best} epochs were kept, but {LOSSES} has {has} whole ones."
    elif has - best > patience or not (outcome.pruned or has - best == patience or has == recipe.epochs):
        yield (
            f"{RECIPE} says {recipe.epochs} epochs and a patience of {patience}, but {LOSSES} has {has} "
            f"whole ones, and {OUTCOME} says that weights after {best} epochs were kept."
        )
