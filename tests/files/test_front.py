"""What stands before a network in a saved model fits together, or the file is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reproven.errors import RevivalError
from reproven.files.columns import CATEGORY, NUMBER, Column, Schema
from reproven.files.front import Front, outputs_of
from reproven.files.models import read_torch
from reproven.networks import ITSELF, MISSING, Classifier, MLPModule, Regressor, unset

SCHEMA = Schema(
    features=(Column("size"), Column("town", CATEGORY, ("Bonn", "Rome"))),
    targets=(Column("sort", CATEGORY, ("a", "b", "c")),),
    takes_missing=True,
)
FITTED: dict[str, Any] = {
    "mean": [1.0, 0.5, 0.5],
    "scale": [2.0, 0.5, 0.5],
    "source": [0.0, 1.0, 1.0],
    "fill": [1.5, MISSING, MISSING],
    "code": [ITSELF, 0.0, 1.0],
    "schema": SCHEMA.text(),
}


def front(**changed: Any) -> Front:
    return Front({**FITTED, **changed}, features=("size", "town"), target="sort")


def classifier() -> Classifier:
    model = front().before(unset(MLPModule, 3, (4,), 3))
    assert isinstance(model, Classifier)
    return model.eval()


def test_a_classifier_is_read_back_as_it_was(tmp_path: Path) -> None:
    model, raw = classifier(), torch.tensor([[3.0, 0.0], [float("nan"), 1.0], [1.0, 2.0]])
    torch.save(model, tmp_path / "model.pth")
    again = read_torch(tmp_path / "model.pth")
    assert isinstance(again, Classifier)
    assert torch.equal(again(raw), model(raw))
    expected = torch.tensor([[1.0, 1, -1], [0.25, -1, 1], [0, -1, -1]])
    assert torch.equal(model.standardise(raw), expected)
    assert outputs_of(SCHEMA) == [("sort", "string"), ("P(a)", "float"), ("P(b)", "float"), ("P(c)", "float")]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"source": [0.0, 1.0, 2.0]}, "its source names a number that its table has not"),
        ({"source": [0.0, 1.0, float("nan")]}, "its source names a number that its table has not"),
        ({"fill": [1.0]}, "its fill is not one float64 number for each of its 2 features"),
        ({"mean": [1.0, 2.0]}, "its mean is not one float64 number for each of its 2 features"),
        ({"target_mean": 1.0, "target_scale": 1.0}, "it has a target_mean, but predicts classes"),
        ({"schema": SCHEMA.text().replace("size", "seize")}, "its schema has other features"),
        ({"schema": "{}"}, "its schema cannot be read"),
        ({"schema": 3}, "its schema cannot be read"),
    ],
)
def test_what_does_not_fit_together_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        front(**changed)


def other_class(model: Classifier) -> None:
    model.__class__ = Regressor  # type: ignore[assignment]


ODD: dict[str, tuple[Callable[[Classifier], Any], str]] = {
    "another class": (other_class, "must be a Classifier"),
    "no schema": (lambda model: vars(model).pop("schema"), "which make no perceptron"),
    "other classes": (
        lambda model: setattr(model, "schema", model.schema.replace('"c"', '"c","d"')),
        "which make no perceptron",
    ),
    "numbers for classes": (
        lambda model: setattr(
            model, "schema", Schema(features=SCHEMA.features, targets=(Column("sort", NUMBER),)).text()
        ),
        "which make no perceptron",
    ),
    "half an encoding": (lambda model: model._buffers.pop("fill"), "its fill is not one float64 number"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_classifier_is_refused(name: str, tmp_path: Path) -> None:
    change, words = ODD[name]
    model = classifier()
    change(model)
    torch.save(model, tmp_path / "model.pth")
    with pytest.raises(RevivalError, match=words):
        read_torch(tmp_path / "model.pth")
