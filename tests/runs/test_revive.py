"""revive and predict: every form gives the bits of the trained model, and no file is run."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import QUICK
from reproven import Trained, predict, revive, tensors
from reproven.errors import DataError, InvalidInput, RevivalError, StoreError
from reproven.files.front import predicted
from reproven.store.registry import Registry
from reproven.store.store import Store
from reproven.tables import data
from reproven.training import building
from reproven.training.prepared import prepare


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "boston.csv"
    boston = data.load("boston")
    frame = pd.DataFrame(boston.X, columns=list(boston.features))
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    prepared = prepare(QUICK)
    for _ in prepared.steps():
        pass
    return predicted(prepared.model(), prepared.dataset.table.X)


def sources(run: Trained) -> list[tuple[str, str | None]]:
    files = Path(run.artifact_uri)
    return [
        (run.run_id, None),
        (run.run_id, "model"),
        (run.run_id, "state_dict"),
        (run.run_id, "registered"),
        (f"runs:/{run.run_id}", "state_dict"),
        (f"runs:/{run.run_id}/model.pth", None),
        ("models:/shared@champion", None),
        (f"models:/shared/{run.version}", "registered"),
        (str(run.model_uri), None),
        (str(files / "model.pth"), None),
        (str(files / "state_dict.pth"), None),
    ]


def test_every_source_and_form_predicts_the_same_bits(
    trained: Trained, uri: str, table: Path, expected: np.ndarray
) -> None:
    for source, form in sources(trained):
        target, predictions = predict(source, table, form, tracking_uri=uri)
        assert target == "MEDV"
        assert predictions.dtype == np.float32
        assert np.array_equal(predictions, expected), (source, form)


def test_revived_models_are_ready_to_predict(trained: Trained, uri: str) -> None:
    for source, form in sources(trained):
        assert not revive(source, form, tracking_uri=uri).training


def test_columns_are_found_by_name(trained: Trained, uri: str, table: Path, expected: np.ndarray) -> None:
    frame = pd.read_csv(table)
    frame["note"] = "not looked at"
    frame[frame.columns[::-1]].to_csv("turned.csv", index=False)
    assert np.array_equal(predict(trained.run_id, "turned.csv", tracking_uri=uri)[1], expected)
    pd.read_csv(table).to_csv("bare.csv", index=False, header=False)
    assert np.array_equal(predict(trained.run_id, "bare.csv", tracking_uri=uri)[1], expected)


def test_a_table_that_lacks_a_column_or_a_number_is_named(files: Path, table: Path) -> None:
    frame = pd.read_csv(table)
    frame.drop(columns=["RM"]).to_csv("lacking.csv", index=False)
    with pytest.raises(DataError, match=r"lacking\.csv has no column RM, which the model needs"):
        predict(files / "model.pth", "lacking.csv")
    frame.loc[4, "RM"] = np.nan
    frame.to_csv("holed.csv", index=False)
    with pytest.raises(DataError, match=r"holed\.csv: column RM, row 5 is missing"):
        predict(files / "model.pth", "holed.csv")


@pytest.mark.parametrize(
    ("source", "form", "error", "words"),
    [
        ("gone.pth", None, RevivalError, "gone.pth is not a file"),
        ("0" * 32, None, StoreError, "Run with id=" + "0" * 32 + " not found"),
        ("models:/nobody@champion", None, StoreError, "not found"),
        ("models:/shared@nobody", None, StoreError, "alias nobody not found"),
        ("models:/shared/99", None, StoreError, "version=99"),
        ("models:/shared@champion", "model", InvalidInput, "is a registered model"),
        ("x", "onnx", InvalidInput, "form is 'onnx', but must be one of model, state_dict, registered"),
    ],
)
def test_a_source_that_is_not_there_is_named(
    trained: Trained, uri: str, source: str, form: str | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        revive(source, form, tracking_uri=uri)
    assert words in str(caught.value)


def test_a_lone_state_dict_says_what_it_lacks(files: Path, tmp_path: Path) -> None:
    shutil.copy(files / "state_dict.pth", tmp_path)
    with pytest.raises(RevivalError, match=r"what it needs is not beside it: .*recipe\.json is not there"):
        revive(tmp_path / "state_dict.pth")


def test_a_form_that_the_file_does_not_have_is_named(files: Path) -> None:
    with pytest.raises(InvalidInput, match=r"form is state_dict, but .*model\.pth holds a model"):
        revive(files / "model.pth", "state_dict")


def test_weights_of_another_shape_are_refused(files: Path, tmp_path: Path) -> None:
    for name in ("state_dict.pth", "recipe.json", "standardisation.json"):
        shutil.copy(files / name, tmp_path)
    weights = torch.load(tmp_path / "state_dict.pth")
    weights["hidden1.weight"] = weights["hidden1.weight"][:5].clone()
    torch.save(weights, tmp_path / "state_dict.pth")
    with pytest.raises(RevivalError, match=r"cannot be revived with recipe\.json"):
        revive(tmp_path / "state_dict.pth")


class RunsCommand:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch ran",))


class Imports:
    def __reduce__(self) -> tuple[Any, ...]:
        return (__import__, ("antigravity",))


class Evaluates:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("open('ran', 'w')",))


@pytest.mark.parametrize(
    ("payload", "name"),
    [(RunsCommand(), "system"), (Imports(), "__import__"), (Evaluates(), "eval")],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_runs_code_is_refused_by_name(
    tmp_path: Path, payload: object, name: str, legacy: bool
) -> None:
    path = tmp_path / "model.pth"
    torch.save({"weight": payload}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(RevivalError, match=f"model.pth is refused: .*{name}"):
        revive(path)
    assert not Path("ran").exists()


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(RunsCommand()))
    with pytest.raises(RevivalError):
        revive(path)
    assert not Path("ran").exists()


def test_a_class_that_is_not_ours_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(torch.nn.Tanh(), path)
    with pytest.raises(RevivalError, match=r"it names torch\.nn\.modules\.activation\.Tanh"):
        revive(path)


def test_a_network_without_standardisation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(building.build_mlp("module", 2, (3,), init="default", bias=None, seed=0), path)
    with pytest.raises(RevivalError, match="holds a MLPModule, but must hold a Regressor"):
        revive(path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04", b"\x80\x02."])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(RevivalError, match=r"model\.pth"):
        revive(path)


def test_nothing_of_what_was_read_stays_behind(
    trained: Trained, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for source, form in sources(trained):
        revive(source, form, tracking_uri=uri)
        tensors(source, tracking_uri=uri)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_named(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    whole = (files / "model.pth").read_bytes()
    for size in range(0, len(whole), 397):
        path.write_bytes(whole[:size])
        with pytest.raises(RevivalError):
            revive(path)


def test_code_that_travels_with_a_model_is_not_run(trained: Trained, uri: str, tmp_path: Path) -> None:
    folder = Registry(Store(uri)).files(str(trained.model_uri), tmp_path)
    kept = folder / "code" / "reproven" / "__init__.py"
    original = kept.read_text()
    try:
        kept.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        revive("models:/shared@champion", tracking_uri=uri)
    finally:
        kept.write_text(original)
    assert not (tmp_path / "ran").exists()


def test_a_file_is_revived_without_mlflow(files: Path) -> None:
    code = (
        f"import sys, reproven; reproven.revive({str(files / 'model.pth')!r}); print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_archive_with_an_extra_record_still_runs_nothing(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    shutil.copy(files / "model.pth", path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/code/__torch__.py", "open('ran', 'w')")
    with contextlib.suppress(RevivalError):
        revive(path)
    assert not Path("ran").exists()


def test_a_run_that_no_file_could_be_called_is_looked_up_all_the_same(uri: str) -> None:
    with pytest.raises(StoreError, match="Cannot find runs:/aaa"):
        revive(f"runs:/{'a' * 300}", tracking_uri=uri)
