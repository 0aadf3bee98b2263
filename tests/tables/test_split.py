"""Datasets: rows and scales are those of scikit-learn, and a standardised target keeps its unit."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import StandardScaler

from reproven.errors import DataError
from reproven.recipes.choices import rows_tested
from reproven.tables import data
from reproven.tables.split import folded, split, standardisation


@pytest.mark.parametrize("name", ["boston", "diabetes"])
@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.5])
def test_split_and_scale_are_those_of_scikit_learn(name: str, test_size: float) -> None:
    table = data.load(name)
    for seed in range(5):
        dataset = split(table, test_size=test_size, seed=seed)
        train, test = train_test_split(np.arange(len(table.y)), test_size=test_size, random_state=seed)
        assert np.array_equal(dataset.train_rows, train)
        assert np.array_equal(dataset.test_rows, test)
        scaler = StandardScaler().fit(table.X[train])
        assert np.array_equal(dataset.fitted["mean"], scaler.mean_)
        assert np.array_equal(dataset.fitted["scale"], scaler.scale_)
        X, _ = dataset.tensors(test)
        assert np.array_equal(X.numpy(), scaler.transform(table.X[test]).astype(np.float32))


@pytest.mark.parametrize("folds", [2, 7, 10])
def test_folds_are_those_of_scikit_learn_and_test_each_row_once(folds: int) -> None:
    table = data.load("boston")
    rows = np.arange(len(table.y))
    theirs = KFold(folds, shuffle=True, random_state=3).split(rows)
    seen = []
    for number, (train, test) in enumerate(theirs, start=1):
        dataset = split(table, test_size=1 / folds, seed=3, fold=(number, folds))
        assert sorted(dataset.train_rows) == train.tolist()
        assert sorted(dataset.test_rows) == test.tolist()
        assert len(test) == rows_tested(len(rows), 1 / folds, (number, folds))
        seen += test.tolist()
        held = split(table, test_size=1 / folds, validation_size=0.1, seed=3, fold=(number, folds))
        assert np.array_equal(held.test_rows, dataset.test_rows)
        assert len(held.validation_rows) == 51
    assert sorted(seen) == rows.tolist()


def test_folds_of_classes_have_their_shares_of_each() -> None:
    classes = np.repeat([0, 1, 2], [50, 33, 7])
    order = np.random.RandomState(1).permutation(90)
    folds = [folded(order, (number, 4), classes)[0] for number in range(1, 5)]
    assert sorted(np.concatenate(folds)) == list(range(90))
    for label, count in enumerate((50, 33, 7)):
        own = [int((classes[rows] == label).sum()) for rows in folds]
        assert max(own) - min(own) <= 1
        assert sum(own) == count
    assert max(map(len, folds)) - min(map(len, folds)) <= 1


def test_tensors_are_made_in_parts_with_the_bits_of_the_whole() -> None:
    X = np.random.default_rng(0).normal(1e3, 1e-2, (10_001, 3))
    features = ("a", "b", "c")
    table = data.Table(name="t", source="t", features=features, target="y", X=X, y=X[:, 0] * X[:, 1])
    before = table.sha256
    dataset = split(table, test_size=0.1, seed=3, standardise_target=True)
    for rows in dataset.parts.values():
        found, _ = dataset.tensors(rows)
        assert np.array_equal(found.numpy(), ((X[rows] - dataset.mean) / dataset.scale).astype(np.float32))
    assert replace(table).sha256 == before  # nothing was written over


def test_scale_is_scikit_learn_s_for_awkward_columns_too() -> None:
    for seed in range(40):
        X = np.random.default_rng(seed).normal(1e6 * (seed % 3), 10.0 ** (seed % 7 - 8), (50 + seed, 7))
        X[:, 3] = 5
        scaler = StandardScaler().fit(X)
        mean, scale = standardisation(X)
        assert np.array_equal(mean, scaler.mean_)
        assert np.array_equal(scale, scaler.scale_)


def test_all_rows_are_trained_on_without_a_test_size() -> None:
    dataset = split(data.load("boston"), test_size=0, seed=1)
    assert dataset.train_rows.tolist() == list(range(506))
    assert len(dataset.test_rows) == 0


def test_a_test_size_that_leaves_no_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n3,4\n")
    table = data.load(str(tmp_path / "t.csv"), target="y")
    with pytest.raises(DataError, match=r"test_size 0\.9 leaves none to train on"):
        split(table, test_size=0.9, seed=1)


@pytest.mark.parametrize("test_size", [0.2, 0.0])
def test_validation_rows_come_from_the_training_rows_and_leave_the_test_rows_as_they_are(
    test_size: float,
) -> None:
    table = data.load("boston")
    without = split(table, test_size=0.2, seed=4)
    found = split(table, test_size=test_size, validation_size=0.101, seed=4)
    rows = [*found.test_rows, *found.validation_rows, *found.train_rows]
    assert rows == [*without.test_rows, *without.train_rows]  # in the order that was drawn
    assert len(found.validation_rows) == 52  # of 506, rounded up
    assert list(found.parts) == ["train", "validation", *(["test"] if test_size else [])]
    scaler = StandardScaler().fit(table.X[found.train_rows])
    assert np.array_equal(found.fitted["mean"], scaler.mean_)
    assert found.split_sha256 != split(table, test_size=test_size, seed=4).split_sha256


def test_sizes_that_leave_no_row_are_named_together(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n3,4\n5,7\n")
    table = data.load(str(tmp_path / "t.csv"), target="y")
    assert len(split(table, test_size=0.3, validation_size=0.3, seed=1).train_rows) == 1
    words = r"test_size 0\.3 with validation_size 0\.5 leave none to train on\. Try --test-size 0\.2 --valid"
    with pytest.raises(DataError, match=words):
        split(table, test_size=0.3, validation_size=0.5, seed=1)


def test_split_digest_names_the_rows() -> None:
    table = data.load("boston")
    digests = {split(table, test_size=0.2, seed=seed).split_sha256 for seed in (1, 1, 2)}
    assert len(digests) == 2
    found = split(table, test_size=0.2, validation_size=0.2, seed=1)
    train, test, validation = (
        rows.astype("<i8").tobytes() for rows in (found.train_rows, found.test_rows, found.validation_rows)
    )
    assert found.split_sha256 == hashlib.sha256(b"|".join((train, test, validation))).hexdigest()
    before = split(table, test_size=0.2, seed=1)
    rows = b"|".join(rows.astype("<i8").tobytes() for rows in (before.train_rows, before.test_rows))
    assert before.split_sha256 == hashlib.sha256(rows).hexdigest()


def test_a_standardised_target_is_that_of_scikit_learn_and_fitted_to_the_training_rows() -> None:
    table = data.load("diabetes")
    dataset = split(table, test_size=0.2, seed=3, standardise_target=True)
    scaler = StandardScaler().fit(table.y[dataset.train_rows, None])
    assert (dataset.target_mean, dataset.target_scale) == (scaler.mean_[0], scaler.scale_[0])
    _, y = dataset.tensors(dataset.test_rows)
    expected = scaler.transform(table.y[dataset.test_rows, None])[:, 0]
    assert np.array_equal(y.numpy(), expected.astype(np.float32))
    assert split(table, test_size=0.2, seed=3).target_mean is None
