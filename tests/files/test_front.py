"""What stands before a network in a saved model fits together, or the file is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from bringing import bring, forgotten
from reproven import trust
from reproven.arithmetic.profiles import meanwhile
from reproven.errors import DataError, OwnCodeError, RevivalError
from reproven.files.columns import CATEGORY, DATE, NUMBER, Column, Schema
from reproven.files.front import (
    Front,
    OwnModel,
    answer,
    array_of,
    outputs_of,
    predicted,
    raw_of,
    shown_by,
)
from reproven.files.models import read_torch
from reproven.networks import ITSELF, MISSING, Classifier, MLPModule, Regressor, unset
from reproven.own.named import made_of

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
    with pytest.raises(ValueError, match=f"^{words}"):
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


OF_NUMBERS = Schema(
    features=(Column("size"), Column("town", CATEGORY, ("Bonn", "Rome"))), targets=(Column("price"),)
)
OF_SEVERAL = replace(OF_NUMBERS, targets=(Column("price"), Column("rent")))
OF_ARRAYS = Schema(features=(Column("data", "float32[1,2,2]"),), targets=SCHEMA.targets)


def numbers(**fitted: Any) -> Front:
    return Front(fitted, features=("size", "age"), target="price")


@pytest.mark.parametrize("schema", [None, OF_NUMBERS])
def test_one_target_has_one_mean_and_one_scale(schema: Schema | None) -> None:
    features = ("size", "age") if schema is None else ("size", "town")
    fitted: dict[str, Any] = {} if schema is None else {"schema": schema.text()}
    words = r"^its target_mean and target_scale are not one float64 number each$"
    sound = Front({**fitted, "target_mean": 1.0, "target_scale": 2.0}, features=features, target="price")
    assert dict(sound.before(nn.Identity()).named_buffers()) == {"target_mean": 1.0, "target_scale": 2.0}
    for odd in ({"target_mean": 1.0}, {"target_mean": [1.0], "target_scale": [2.0]}):
        with pytest.raises(ValueError, match=words):
            Front({**fitted, **odd}, features=features, target="price")


def test_several_targets_have_a_mean_and_a_scale_each() -> None:
    fitted: dict[str, Any] = {
        "schema": OF_SEVERAL.text(),
        "target_mean": [1.0, 2.0],
        "target_scale": [2.0, 3.0],
    }
    assert Front(fitted, features=("size", "town"), target="price").outputs == (2,)
    with pytest.raises(ValueError, match=r"^its target_mean and target_scale are not one"):
        Front({**fitted, "target_mean": 1.0, "target_scale": 2.0}, features=("size", "town"), target="price")


def test_what_a_network_is_made_of_is_read_or_refused() -> None:
    text = made_of("nets:Net", {"inputs": 2})
    held = numbers(made_of=text)
    assert (held.made_of, held.texts) == (text, {"made_of": text})
    assert OwnModel(held, {}).module == "nets"
    with pytest.raises(ValueError, match=r"^what it says that its network is made of cannot be read$"):
        numbers(made_of="{}")


def test_every_feature_has_one_number_of_each_kind() -> None:
    square = [[0.0], [1.0], [1.0]]
    with pytest.raises(
        ValueError, match=r"^its source is not one float64 number for each of its 2 features$"
    ):
        front(source=square)
    assert front().inputs == 3
    assert numbers(mean=[1.0, 2.0], scale=[1.0, 1.0]).inputs == numbers().inputs == 2


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, []),
        (OF_NUMBERS, []),
        (OF_SEVERAL, [("price", "float"), ("rent", "float")]),
        (OF_ARRAYS, [("sort", "string"), ("P(a)", "float"), ("P(b)", "float"), ("P(c)", "float")]),
    ],
)
def test_the_columns_of_predictions(schema: Schema | None, expected: list[tuple[str, str]]) -> None:
    assert outputs_of(schema) == expected


def test_a_model_is_shown_by_the_means_of_its_columns_and_the_first_levels() -> None:
    outputs = outputs_of(SCHEMA)
    assert shown_by(classifier()) == {
        "columns": ["size", "town"],
        "data": [[1.0, "Bonn"]],
        "outputs": outputs,
    }
    means = numbers(mean=[1.0, 2.0], scale=[1.0, 1.0]).before(nn.Identity())
    assert shown_by(means) == {"columns": ["size", "age"], "data": [[1.0, 2.0]], "outputs": []}
    nothing = numbers().before(nn.Identity())
    assert shown_by(nothing) == {"columns": ["size", "age"], "data": [[0.0, 0.0]], "outputs": []}
    encoded = {name: FITTED[name] for name in ("source", "fill", "code", "schema")}
    unfitted = Front(encoded, features=("size", "town"), target="sort").before(nn.Identity())
    assert shown_by(unfitted) == {"columns": ["size", "town"], "data": [[0.0, "Bonn"]], "outputs": outputs}


def test_a_date_is_shown_by_its_means_though_its_columns_are_fewer() -> None:
    schema = Schema(features=(Column("day", DATE), Column("size")), targets=(Column("price"),))
    fitted = {"schema": schema.text(), "mean": [2000.0, 2.0, 3.0, 32.0, 5.0], "scale": [1.0] * 5}
    model = Front(fitted, features=("day", "size"), target="price").before(nn.Identity())
    assert shown_by(model)["data"] == [["2000-02-01", 5.0]]


def test_a_model_of_arrays_is_shown_by_zeros() -> None:
    found = Front({"schema": OF_ARRAYS.text()}, features=("data",), target="sort")
    shown = {
        "array": "float32[1,2,2]",
        "data": [[[[0.0, 0.0], [0.0, 0.0]]]],
        "outputs": outputs_of(OF_ARRAYS),
    }
    assert shown_by(found.before(nn.Identity())) == shown_by(OwnModel(found, {})) == shown
    assert array_of(found.before(nn.Identity())) == "float32[1,2,2]"
    assert array_of(classifier()) is array_of(numbers().before(nn.Identity())) is None


def test_columns_are_taken_by_their_names_whatever_stands_beside_them() -> None:
    frame = pd.DataFrame({"age": [3, 4], "size": [1.0, 2.0], "town": ["Rome", "Oslo"], "more": ["x", "y"]})
    assert raw_of(classifier(), frame, "the table").tolist() == [[1.0, 1.0], [2.0, 2.0]]
    plain = numbers().before(nn.Identity())
    assert raw_of(plain, frame, "the table").tolist() == [[1.0, 3.0], [2.0, 4.0]]
    with pytest.raises(DataError, match=r"^the table.*size"):
        raw_of(plain, frame.assign(size="x"), "the table")
    with pytest.raises(DataError, match=r"^the table.*size"):
        raw_of(classifier(), frame.assign(size="x"), "the table")
    arrays = Front({"schema": OF_ARRAYS.text()}, features=("data",), target="sort").before(nn.Identity())
    assert raw_of(arrays, np.zeros((3, 1, 2, 2)), "the array").dtype == np.float32
    with pytest.raises(DataError, match=r"^the array has rows of shape"):
        raw_of(arrays, np.zeros((3, 4)), "the array")


def test_an_answer_is_named_as_the_targets_are() -> None:
    made = np.array([[0.25, 0.5, 0.25], [0.4, 0.2, 0.4]], np.float32)
    told = answer(classifier(), made)
    assert isinstance(told, pd.DataFrame)
    assert told.columns.tolist() == ["sort", "P(a)", "P(b)", "P(c)"]
    assert told["sort"].tolist() == ["b", "a"]
    assert told[["P(a)", "P(b)", "P(c)"]].to_numpy().tolist() == made.tolist()
    several = Front({"schema": OF_SEVERAL.text()}, features=("size", "town"), target="price")
    told = answer(several.before(nn.Identity()), made[:, :2])
    assert isinstance(told, pd.DataFrame)
    assert told.columns.tolist() == ["price", "rent"]
    assert told.to_numpy().tolist() == made[:, :2].tolist()
    one = Front({"schema": OF_NUMBERS.text()}, features=("size", "town"), target="price")
    numbers_alone = answer(one.before(nn.Identity()), made[:, 0])
    assert isinstance(numbers_alone, np.ndarray)
    assert np.array_equal(numbers_alone, made[:, 0])


def test_predictions_are_those_of_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    model, raw = classifier(), np.array([[3.0, 0.0], [1.0, 2.0]])
    asked: list[str | None] = []

    def noted(profile: str | None) -> Any:
        asked.append(profile)
        return meanwhile(profile)

    monkeypatch.setattr("reproven.files.front.meanwhile", noted)
    for profile in (None, "portable", "native"):
        assert np.allclose(predicted(model, raw, profile), model(torch.from_numpy(raw)).detach().numpy())
    assert asked == [None, "portable", "native"]
    assert np.array_equal(predicted(model, raw), predicted(model, raw, "portable"))


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    bring(tmp_path)
    monkeypatch.chdir(tmp_path)
    with forgotten():
        trust("nets", "blocks")
        yield


@pytest.mark.usefixtures("brought")
def test_a_network_of_one_s_own_is_made_again_or_refused_where_it_is_another() -> None:
    found = Front(
        {"made_of": made_of("nets:made", {"width": 2})}, features=tuple("abcdefghijklm"), target="price"
    )
    shapes = {"0.weight": (2, 13), "0.bias": (2,), "2.weight": (1, 2), "2.bias": (1,)}
    held = {f"network.{name}": torch.full(shape, 0.5) for name, shape in shapes.items()}
    again = OwnModel(found, held).model()
    assert not again.training
    assert all(torch.equal(tensor, held[name]) for name, tensor in again.state_dict().items())
    wide = {**held, "network.0.weight": torch.zeros(3, 13)}
    with pytest.raises(
        OwnCodeError,
        match=r"^nets:made is another network than the one that was saved: its network\.0\.weight has the "
        r"shape \(2, 13\), and saved was \(3, 13\)\.$",
    ):
        OwnModel(found, wide).model()
    more = {**held, "network.3.weight": torch.zeros(1)}
    with pytest.raises(
        OwnCodeError, match=r"its network\.3\.weight has the shape None, and saved was \(1,\)"
    ):
        OwnModel(found, more).model()
