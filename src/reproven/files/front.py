"""Front: what stands before a network in a saved model: from raw columns to what it takes.

It is what was fitted to the training rows. A model is put together of it and a network here, nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from reproven.arithmetic.profiles import meanwhile
from reproven.errors import OwnCodeError
from reproven.files.columns import Schema, numeric
from reproven.files.names import MADE_OF, OF_ENCODING, OF_FEATURES, OF_TARGET, SCHEMA
from reproven.files.shapes import as_taken, zeros
from reproven.networks import ITSELF, Classifier, Regressor
from reproven.own import modules
from reproven.own.named import module_of, read_made_of

#: A trained network that takes a table's raw columns.
Model: TypeAlias = Regressor | Classifier


class Front:
    """What was fitted to the training rows, checked to fit together.

    Args:
        fitted: Numbers and texts, by the names that a model has for them.
        features: The features' names, in the order of the columns.
        target: The name of what is predicted.

    Raises:
        ValueError: It does not fit together; says what.
    """

    def __init__(self, fitted: Mapping[str, Any], *, features: tuple[str, ...], target: str) -> None:
        self.features, self.target = features, target
        self._text: str | None = fitted.get(SCHEMA)
        self.made_of: str | None = fitted.get(MADE_OF)
        if self.made_of is not None:
            read_made_of(self.made_of)
        self.schema = None if self._text is None else Schema.read(self._text)
        if self.schema is not None and tuple(column.name for column in self.schema.features) != features:
            raise ValueError("its schema has other features")
        names = (*OF_FEATURES, *OF_TARGET, *OF_ENCODING)
        self._numbers = {
            name: torch.as_tensor(fitted[name], dtype=torch.float64)
            for name in names
            if name in fitted and getattr(fitted[name], "dtype", torch.float64) == torch.float64
        }
        self._look_at_features()
        self._look_at_target(len(self.schema.targets) if self.schema else 1)

    @property
    def texts(self) -> dict[str, str]:
        """What is kept as texts, by the names that a model has for them."""
        return {
            name: text for name, text in ((SCHEMA, self._text), (MADE_OF, self.made_of)) if text is not None
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes to predict; none where numbers are."""
        return self.schema.classes if self.schema else ()

    @property
    def inputs(self) -> int:
        """How many numbers the network takes."""
        for name in ("source", "mean"):
            if name in self._numbers:
                return len(self._numbers[name])
        return self._width

    @property
    def outputs(self) -> tuple[int, ...]:
        """How many outputs the network may have: of two classes one may be told by the other."""
        if not self.classes:
            return (len(self.schema.targets) if self.schema else 1,)
        return (len(self.classes), 1) if len(self.classes) == 2 else (len(self.classes),)

    def before(self, network: nn.Module) -> Model:
        """A model of a network, which it holds."""
        held: dict[str, Any] = {**dict.fromkeys(OF_FEATURES), **self._numbers, **self.texts}
        kind = Classifier if self.classes else Regressor
        return kind(network, features=self.features, target=self.target, **held)

    @property
    def _width(self) -> int:
        """How many numbers a row of the table has."""
        return len(self.features) if self.schema is None else self.schema.width

    def _look_at_features(self) -> None:
        width, source = self._width, self._numbers.get(OF_ENCODING[0])
        shape = (width,) if source is None else source.shape[:1]
        kinds = [
            names for names in (OF_FEATURES, OF_ENCODING) if any(name in self._numbers for name in names)
        ]
        for name in (name for names in kinds for name in names):
            numbers = self._numbers.get(name)
            if numbers is None or numbers.shape != shape:
                raise ValueError(f"its {name} is not one float64 number for each of its {width} features")
        if source is not None and not bool(((source >= 0) & (source < width)).all()):
            raise ValueError("its source names a number that its table has not")

    def _look_at_target(self, targets: int) -> None:
        unit, shape = [self._numbers[name] for name in OF_TARGET if name in self._numbers], (targets,)
        if len(unit) == 1 or any(one.shape != (shape if targets > 1 else ()) for one in unit):
            raise ValueError("its target_mean and target_scale are not one float64 number each")
        if unit and self.classes:
            raise ValueError("it has a target_mean, but predicts classes")


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A whole model whose network is the user's own, as its file describes it: that is not imported.

    Attributes:
        front: What stands before the network, and what that is made of.
        tensors: All of the model's, by the names that its state_dict has for them.
    """

    front: Front
    tensors: Mapping[str, Tensor]

    @property
    def module(self) -> str:
        """The module that its network's class or function is in."""
        return module_of(read_made_of(self.front.made_of)[0])

    @property
    def shown(self) -> Model:
        """The model without its network, for who asks about what it takes."""
        return self.front.before(nn.Identity())

    def model(self) -> Model:
        """The model, its network made anew, on the CPU and in evaluation mode.

        Raises:
            Untrusted, OwnCodeError: The network cannot be had, or has other tensors now.
        """
        name, arguments = read_made_of(self.front.made_of)
        with torch.random.fork_rng(devices=[]):
            found = self.front.before(modules.make(name, arguments))
        wanted = {key: tuple(tensor.shape) for key, tensor in found.state_dict().items()}
        if wanted != (has := {key: tuple(tensor.shape) for key, tensor in self.tensors.items()}):
            apart = [key for key in {**wanted, **has} if wanted.get(key) != has.get(key)]
            raise OwnCodeError(
                f"{name} is another network than the one that was saved: its {apart[0]} has the shape "
                f"{wanted.get(apart[0])}, and saved was {has.get(apart[0])}."
            )
        found.load_state_dict(dict(self.tensors))
        return found.eval()


def array_of(model: Model) -> str | None:
    """The kind of the array that a model takes, as `shapes` has it; None where it takes a table's columns."""
    schema = _schema(model)
    return None if schema is None else schema.array


def raw_of(model: Model, frame: pd.DataFrame | np.ndarray, source: str) -> np.ndarray:
    """Raw features of a model, (rows, numbers) float64, of a table that has its columns; or its array.

    Args:
        model: Says which columns, and what they hold.
        frame: Columns as read; or an array, rows first.
        source: What errors call the table.

    Raises:
        DataError: A value cannot be taken; names all such columns.
    """
    if (kind := array_of(model)) is not None:
        return as_taken(frame, source, kind)
    if (schema := _schema(model)) is None:
        return numeric(pd.DataFrame(frame), model.features, source, kept=model.features)
    return schema.numbers(pd.DataFrame(frame), source, kept=model.features)


def outputs_of(schema: Schema | None) -> list[tuple[str, str]]:
    """The columns of predictions, with MLflow's types; none where they are the numbers of one target."""
    if schema is None or (not schema.classes and len(schema.targets) == 1):
        return []
    if schema.classes:
        return [(schema.targets[0].name, "string"), *((f"P({name})", "float") for name in schema.classes)]
    return [(column.name, "float") for column in schema.targets]


def predicted(model: Model, raw: np.ndarray, profile: str | None = None) -> np.ndarray:
    """What a whole model predicts, float32; it is in evaluation mode.

    Args:
        model: A regressor or a classifier, on the CPU.
        raw: What `raw_of` makes.
        profile: Of the arithmetic; None takes the usual one.
    """
    with torch.inference_mode(), meanwhile(profile):
        found: np.ndarray = model(torch.from_numpy(raw)).numpy()
    return found


def answer(model: Model, predicted: np.ndarray) -> np.ndarray | pd.DataFrame:
    """Predictions as they are handed out: numbers of one target as they are, of several by their names.

    Of classes it is the most probable one (the first of equals), and the probability of each.

    Args:
        model: Says what they are.
        predicted: What it made, float32.
    """
    schema = _schema(model)
    if not (columns := [name for name, _ in outputs_of(schema)]):
        return predicted
    if schema is None or not schema.classes:
        return pd.DataFrame(predicted, columns=columns)
    frame = pd.DataFrame(predicted, columns=columns[1:])
    frame.insert(0, columns[0], np.array(schema.classes, dtype=object)[predicted.argmax(axis=1)])
    return frame


def shown_by(found: Model | OwnModel) -> dict[str, Any]:
    """A model's columns, and a row to show them by, as a logged model takes them."""
    model = found.shown if isinstance(found, OwnModel) else found
    schema = _schema(model)
    if schema is not None and schema.array is not None:
        return {"array": schema.array, "data": zeros(schema.array), "outputs": outputs_of(schema)}
    return {
        "columns": list(model.features),
        "data": [_middle(model, schema)],
        "outputs": outputs_of(schema),
    }


def _middle(model: Model, schema: Schema | None) -> list[Any]:
    """A row of features: of numbers the mean over the training rows, of categories the first level.

    Where there is no mean, it is 0.
    """
    buffers = dict(model.named_buffers())
    source, code = (buffers.get(name) for name in ("source", "code"))
    width = len(model.features) if schema is None else schema.width
    means = (
        buffers["mean"].tolist() if "mean" in buffers else [0.0] * (width if source is None else len(source))
    )
    if schema is None:
        return list(means)
    raw = np.zeros((1, width))
    for place, mean in enumerate(means):
        if source is None or code is None:
            raw[0, place] = mean
        elif code[place] == ITSELF:
            raw[0, int(source[place])] = mean
    return list(schema.frame(raw).iloc[0])


def texts_of(model: Model) -> dict[str, str]:
    """What a model keeps as texts, by its names for them."""
    return {name: text for name in (SCHEMA, MADE_OF) if (text := getattr(model, name, None)) is not None}


def _schema(model: Model) -> Schema | None:
    text = texts_of(model).get(SCHEMA)
    return None if text is None else Schema.read(text)
