"""Front: what stands before a network in a saved model: from raw columns to what it takes.

It is what was fitted to the training rows. A model is put together of it and a network here, nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import nn

from reproven.files.columns import Schema, numeric
from reproven.files.names import OF_ENCODING, OF_FEATURES, OF_TARGET, SCHEMA
from reproven.networks import ITSELF, Classifier, Regressor

#: A trained network that takes a table's raw columns.
Model: TypeAlias = Regressor | Classifier


class Front:
    """What was fitted to the training rows, checked to fit together.

    Args:
        fitted: Numbers and the schema's text, by the names that a model has for them.
        features: The features' names, in the order of the columns.
        target: The name of what is predicted.

    Raises:
        ValueError: It does not fit together; says what.
    """

    def __init__(self, fitted: Mapping[str, Any], *, features: tuple[str, ...], target: str) -> None:
        self.features, self.target = features, target
        self._text: str | None = fitted.get(SCHEMA)
        self.schema = None if self._text is None else Schema.read(self._text)
        if self.schema is not None and tuple(column.name for column in self.schema.features) != features:
            raise ValueError("its schema has other features")
        names = (*OF_FEATURES, *OF_TARGET, *OF_ENCODING)
        self._numbers = {
            name: torch.as_tensor(fitted[name], dtype=torch.float64)
            for name in names
            if name in fitted and getattr(fitted[name], "dtype", torch.float64) == torch.float64
        }
        self._look_at_features(len(features) if self.schema is None else self.schema.width)
        self._look_at_target(len(self.schema.targets) if self.schema else 1)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes to predict; none where numbers are."""
        return self.schema.classes if self.schema else ()

    @property
    def inputs(self) -> int:
        """How many numbers the network takes."""
        return len(self._numbers["mean"])

    @property
    def outputs(self) -> tuple[int, ...]:
        """How many outputs the network may have: of two classes one may be told by the other."""
        if not self.classes:
            return (len(self.schema.targets) if self.schema else 1,)
        return (len(self.classes), 1) if len(self.classes) == 2 else (len(self.classes),)

    def before(self, network: nn.Module) -> Model:
        """A model of a network, which it holds."""
        held: dict[str, Any] = dict(self._numbers)
        if self._text is not None:
            held[SCHEMA] = self._text
        kind = Classifier if self.classes else Regressor
        return kind(network, features=self.features, target=self.target, **held)

    def _look_at_features(self, width: int) -> None:
        has_encoding = OF_ENCODING[0] in self._numbers
        source = self._numbers.get(OF_ENCODING[0])
        shape = (width,) if source is None else source.shape[:1]
        for name in OF_FEATURES + (OF_ENCODING if has_encoding else ()):
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


def raw_of(model: Model, frame: pd.DataFrame, source: str) -> np.ndarray:
    """Raw features of a model, (rows, numbers) float64, of a table that has its columns.

    Args:
        model: Says which columns, and what they hold.
        frame: Columns as read.
        source: What errors call the table.

    Raises:
        DataError: A value cannot be taken; names all such columns.
    """
    if (schema := _schema(model)) is None:
        return numeric(frame, model.features, source, kept=model.features)
    return schema.numbers(frame, source, kept=model.features)


def outputs_of(schema: Schema | None) -> list[tuple[str, str]]:
    """The columns of predictions, with MLflow's types; none where they are the numbers of one target."""
    if schema is None or (not schema.classes and len(schema.targets) == 1):
        return []
    if schema.classes:
        return [(schema.targets[0].name, "string"), *((f"P({name})", "float") for name in schema.classes)]
    return [(column.name, "float") for column in schema.targets]


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


def shown_by(model: Model) -> dict[str, Any]:
    """A model's columns, and a row to show them by, as a logged model takes them."""
    schema = _schema(model)
    return {
        "columns": list(model.features),
        "data": [_middle(model, schema)],
        "outputs": outputs_of(schema),
    }


def _middle(model: Model, schema: Schema | None) -> list[Any]:
    """A row of features: of numbers the mean over the training rows, of categories the first level."""
    if schema is None:
        middle: list[Any] = model.mean.tolist()
        return middle
    raw, buffers = np.zeros((1, schema.width)), dict(model.named_buffers())
    source, code = (buffers.get(name) for name in ("source", "code"))
    for place, mean in enumerate(model.mean.tolist()):
        if source is None or code is None:
            raw[0, place] = mean
        elif code[place] == ITSELF:
            raw[0, int(source[place])] = mean
    return list(schema.frame(raw).iloc[0])


def _schema(model: Model) -> Schema | None:
    text = getattr(model, SCHEMA, None)
    return None if text is None else Schema.read(text)
