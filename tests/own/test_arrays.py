"""Arrays of the user's own: from a function or an .npz file, of any number of dimensions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import bringing
from conftest import ROOT, Cli
from reproven import Recipe, audit, predict, replay, resume, train, trust
from reproven.errors import DataError, InvalidInput, OwnCodeError, Untrusted
from reproven.tables import data
from reproven.training.prepared import prepare
from stopping import outcome, stopped

IMAGES = Recipe(
    data="images:load", network="nets:Conv", loss="cross_entropy", optimizer="adam", lr=0.01, epochs=2
)
WORDS = Recipe(data="images:words", network="nets:Words", epochs=2, standardise="none")


@pytest.mark.parametrize("recipe", [IMAGES, WORDS])
def test_images_and_words_are_trained_replayed_audited_and_predicted(
    recipe: Recipe, brought: Path, own: str
) -> None:
    made = train(recipe, tracking_uri=own)
    assert audit(made.run_id, tracking_uri=own).findings == ()
    told = replay(made.run_id, tracking_uri=own)
    assert told.verdict == "IDENTICAL", told.report
    _, wanted = predict(made.run_id, recipe.data, tracking_uri=own)
    X, y = getattr(sys.modules["images"], recipe.data.partition(":")[2])()
    np.save("X.npy", X)
    np.savez("both.npz", X=X, y=y)
    for form, place in (("state_dict", "X.npy"), ("registered", "both.npz")):
        found = predict(made.run_id, place, form, tracking_uri=own)[1]
        assert isinstance(found, pd.DataFrame)
        assert isinstance(wanted, pd.DataFrame)
        assert found.equals(wanted)
    with pytest.raises(DataError, match="is a table of columns, but the model takes an array"):
        predict(made.run_id, ROOT / "src" / "reproven" / "datasets" / "boston.csv", tracking_uri=own)


def test_a_stopped_run_on_images_goes_on_to_the_same_bits(brought: Path, uri: str) -> None:
    whole = train(IMAGES, tracking_uri=uri)
    book = stopped(IMAGES, 4, uri, checkpoint_every="1step")
    assert outcome(resume(book.id)) == outcome(whole)


SERVED = """
import sys
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
print(model.metadata.signature.inputs)
np.save(sys.argv[3], model.predict(np.load(sys.argv[4])).iloc[:, 1:].to_numpy())
"""


def test_the_logged_model_works_without_the_users_folder(
    brought: Path, own: str, tmp_path: Path, cli: Cli
) -> None:
    made = train(IMAGES, tracking_uri=own)
    X, _ = sys.modules["images"].load()
    np.save("X.npy", X)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    files = (str(tmp_path / "found.npy"), str(tmp_path / "X.npy"))
    done = subprocess.run(
        [sys.executable, "-c", SERVED, own, str(made.model_uri), *files],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Tensor('float32', (-1, 1, 8, 8))" in done.stdout
    assert audit(made.run_id, tracking_uri=own).findings == ()
    told = cli("predict", made.run_id, "X.npy", "--trust", "nets", "--tracking-uri", own, "--json")
    rows = json.loads(told.stdout)["predictions"]
    wanted = [[row[f"P({name})"] for name in range(3)] for row in rows]
    assert np.array_equal(np.load(files[0]), np.array(wanted, dtype=np.float32))


def test_two_dimensions_are_columns(brought: Path) -> None:
    trust("images")
    table = data.load("images:table")
    assert (table.features, table.target, table.X.shape) == (("a", "b"), "y", (60, 2))
    X, y = np.arange(24.0).reshape(12, 2) ** 2, np.arange(24.0).reshape(12, 2)
    np.savez("t.npz", X=X, y=y)
    table = data.load("t.npz", drop=("x1",))
    assert (table.features, table.targets) == (("x0",), ("y0", "y1"))
    assert np.array_equal(table.X[:, 0], X[:, 0])
    assert np.array_equal(table.y, y)


def test_tensors_and_arrays_are_the_same(brought: Path) -> None:
    (brought / "images.py").write_text(
        bringing.IMAGES + "\n\ndef as_tensors():\n    import torch\n    X, y = load()\n"
        "    return torch.from_numpy(X), torch.from_numpy(y)\n"
    )
    trust("images")
    first, again = (data.load(name, task="classification") for name in ("images:load", "images:as_tensors"))
    assert first.sha256 == again.sha256
    assert first.shape == (1, 8, 8)
    assert first.X.dtype == np.float32
    assert data.load("images:words", standardise="none").X.dtype == np.int64


def test_the_numbers_of_an_array_reach_the_network_as_they_are(brought: Path) -> None:
    trust("images", "nets")
    made = prepare(IMAGES)
    X, _ = sys.modules["images"].load()
    seen, _ = made.parts["train"]
    assert torch.equal(seen, torch.from_numpy(X[made.dataset.train_rows]))
    assert made.dataset.mean is None
    assert made.recipe.standardise == "none"


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"X": np.zeros((3, 2))}, "t.npz has no array y. It needs X and y, and may have names."),
        (
            {"X": np.zeros((3, 2)), "y": np.zeros(4)},
            "t.npz: X has 3 rows, and y 4, but both must",
        ),
        (
            {"X": np.zeros(3), "y": np.zeros(3)},
            r"X has the shape \(3,\) and y \(3,\), but X must have two",
        ),
        (
            {"X": np.full((3, 1, 2), np.nan), "y": np.arange(3.0)},
            "t.npz: X, row 1 has a number that is",
        ),
        (
            {"X": np.array([[["a"]]] * 3), "y": np.arange(3.0)},
            "t.npz: X holds <U1, but must hold an array",
        ),
        ({"X": np.zeros((3, 2)), "y": np.zeros(3), "names": ["a"]}, "there are 1 names for X of shape"),
        (
            {"X": np.zeros((3, 1)), "y": np.zeros(3), "names": ["y"]},
            "a feature is called y, as the target is.",
        ),
        ({"X": np.array([{}] * 3, dtype=object), "y": np.zeros(3)}, "t.npz cannot be read: Object arrays"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused(held: dict[str, Any], words: str) -> None:
    np.savez("t.npz", **held)
    with pytest.raises(DataError, match=words):
        data.load("t.npz")


def test_a_function_is_called_only_where_it_is_trusted(brought: Path) -> None:
    with pytest.raises(Untrusted, match=r"images:load is named by the record.*--trust images"):
        data.load("images:load")
    trust("images")
    with pytest.raises(OwnCodeError, match=r"images:wrong returned a int, but must return \(X, y\)"):
        data.load("images:wrong")


def test_what_does_not_fit_an_array_is_told(brought: Path, uri: str) -> None:
    settings: dict[str, Any] = {"data": "images:load", "loss": "cross_entropy", "epochs": 1}
    with pytest.raises(InvalidInput, match=r"network is module, which takes rows of numbers, but X of"):
        train(Recipe(**settings), tracking_uri=uri)
    with pytest.raises(InvalidInput, match="standardise is features, but X of images:load has rows of shape"):
        train(Recipe(**settings, network="nets:Conv", standardise="features"), tracking_uri=uri)


def test_a_table_may_be_taken_as_it_is(brought: Path, own: str) -> None:
    trust("nets")
    plain = prepare(Recipe(standardise="none", epochs=1))
    assert torch.equal(
        plain.parts["train"][0], torch.from_numpy(plain.dataset.table.X[plain.dataset.train_rows]).float()
    )
    made = train(Recipe(standardise="none", epochs=1, lr=1e-6), tracking_uri=own)
    assert audit(made.run_id, tracking_uri=own).findings == ()
    assert replay(made.run_id, tracking_uri=own).verdict == "IDENTICAL"
    boston = ROOT / "src" / "reproven" / "datasets" / "boston.csv"
    wanted = predict(made.run_id, boston, tracking_uri=own)[1]
    assert np.array_equal(predict(made.run_id, boston, "state_dict", tracking_uri=own)[1], wanted)
