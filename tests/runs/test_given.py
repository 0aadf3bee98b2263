"""A DataFrame is trained on as it is, and its run carries it: no colleague needs another file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reproven import Recipe, audit, export, import_, predict, recipe_of, replay, train
from reproven.errors import InvalidInput
from reproven.logbooks import shelf
from reproven.tables import data, kept

ASKED: dict[str, Any] = {"preprocess": "auto", "drop": ("name",), "epochs": 3}


def people(rows: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "name": [f"Person {n}" for n in range(rows)],
            "age": draw.integers(18, 80, rows),
            "town": pd.Categorical(draw.choice(["Rome", "Oslo"], rows)),
            "smokes": draw.random(rows) < 0.5,
            "since": pd.date_range("2020-01-30 10:30", periods=rows, freq="17h"),
            "size": np.where(draw.random(rows) < 0.1, np.nan, draw.normal(170, 10, rows)),
            "sort": draw.choice(["a", "b"], rows),
            "price": draw.normal(1e5, 1e4, rows),
        }
    )


@pytest.mark.parametrize("target", ["sort", "price", "price,size"])
def test_a_run_of_a_frame_carries_it(target: str, uri: str, own: str, tmp_path: Path) -> None:
    frame = people().fillna({"size": 170})
    recipe = recipe_of(frame, target=target, **ASKED)
    found = train(recipe, tracking_uri=uri, figures=False)
    assert predict(found.run_id, recipe.data, tracking_uri=uri)[0] == target
    shutil.rmtree(Path(recipe.data).parent)
    kept_columns = set(pd.read_parquet(Path(found.artifact_uri) / "table.parquet").columns)
    assert kept_columns == set(frame.columns) - {"name"}
    assert replay(found.run_id, tracking_uri=uri).verdict == "IDENTICAL"
    looked = audit(found.run_id, tracking_uri=uri)
    assert looked.findings == ()
    assert "the table" in looked.checked
    bundle = export(found.run_id, tmp_path / "bundle", tracking_uri=uri)
    there = import_(bundle, tracking_uri=own)
    assert replay(there, tracking_uri=own).verdict == "IDENTICAL"
    assert replay(str(bundle), tracking_uri=own).verdict == "IDENTICAL"


def test_a_file_is_kept_where_that_is_asked_for_and_not_else(uri: str) -> None:
    people().to_csv("people.csv", index=False, sep=";")
    recipe = Recipe(data="people.csv", target="sort", sep=";", **ASKED)
    plain = train(recipe, tracking_uri=uri, figures=False)
    held = train(recipe, tracking_uri=uri, figures=False, keep_table=True)
    Path("people.csv").unlink()
    assert not (Path(plain.artifact_uri) / "table.parquet").exists()
    assert replay(held.run_id, tracking_uri=uri).verdict == "IDENTICAL"
    lost = replay(plain.run_id, tracking_uri=uri)
    assert lost.verdict == "INCONCLUSIVE"
    assert replay(
        plain.run_id, data=str(Path(held.artifact_uri) / "table.parquet"), tracking_uri=uri
    ).verdict == ("IDENTICAL")


def test_a_large_table_is_not_kept_and_that_is_said(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 1000)
    found = train(recipe_of(people(), target="sort", **ASKED), tracking_uri=uri, figures=False)
    assert any("is not kept with the run, since it has 0 MB, more than 0." in each for each in found.remarks)


def test_equal_frames_are_one_table_and_no_logbook() -> None:
    first, second = (recipe_of(people(), target="sort", **ASKED) for _ in range(2))
    assert first == second
    assert data.load(first.data, **first.of_table).sha256 == data.load(second.data, **second.of_table).sha256
    assert shelf.every() == []


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(InvalidInput, match="frame is of type list, but must be a pandas DataFrame"):
        recipe_of([[1, 2]], target="y")  # type: ignore[arg-type]
    mixed = pd.DataFrame({"x": [1, "a", {2}], "y": [1.0, 2.0, 3.0]})
    with pytest.raises(InvalidInput, match="frame cannot be kept as a table"):
        recipe_of(mixed, target="y")
