"""Columns that are no plain numbers: taken as scikit-learn takes them, from training rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from reproven.errors import DataError
from reproven.files.columns import CATEGORY, DATE, NUMBER, Schema
from reproven.tables import data
from reproven.tables.kinds import kind_of
from reproven.tables.split import Dataset, split

ROWS = 200
DATES = ["year", "month", "day of week", "day of year"]


def people() -> pd.DataFrame:
    """Numbers with holes, texts with holes, truths, dates, codes and names."""
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": draw.integers(18, 80, ROWS).astype(float),
            "town": draw.choice(["Rome", "Oslo", "Bonn"], ROWS).astype(object),
            "smokes": draw.random(ROWS) < 0.4,
            "since": pd.date_range("2019-12-01", periods=ROWS).strftime("%Y-%m-%d"),
            "code": draw.choice([3, 20, 100], ROWS),
        }
    )
    frame["price"] = 1000 * frame["age"] + draw.normal(0, 100, ROWS)
    frame.loc[::7, "age"] = np.nan
    frame.loc[::9, "town"] = None
    return frame


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    people().to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def load(path: Path, **asked: Any) -> data.Table:
    return data.load(str(path), **{"target": "price", "preprocess": "auto", "impute": "median", **asked})


@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent", "constant"])
def test_the_numbers_are_those_of_scikit_learn(csv: Path, impute: str) -> None:
    dataset = split(load(csv, impute=impute, categorical=("code",)), test_size=0.3, seed=4, impute=impute)
    frame = pd.read_csv(csv)
    day = pd.to_datetime(frame.pop("since"))
    parts = (day.dt.year, day.dt.month, day.dt.day_of_week, day.dt.day_of_year)
    for name, part in zip(DATES, parts, strict=True):
        frame[f"since {name}"] = part
    categories = ["town", "smokes", "code"]
    numbers = ["age", *(f"since {name}" for name in DATES)]
    strategy: dict[str, Any] = {"strategy": impute, "add_indicator": True}
    if impute == "constant":
        strategy["fill_value"] = 0
    oracle = ColumnTransformer(
        [
            ("numbers", SimpleImputer(**strategy), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        ]
    )
    scaler = StandardScaler()
    scaler.fit(oracle.fit_transform(frame.iloc[dataset.train_rows]))
    expected = scaler.transform(oracle.transform(frame.iloc[dataset.test_rows]))
    X, _ = dataset.tensors(dataset.test_rows)
    assert dataset.encoding is not None
    assert set(dataset.encoding.names) == {
        *numbers,
        *(
            "age is missing",
            "town is missing",
            "smokes=False",
            "smokes=True",
            "code=3",
            "code=20",
            "code=100",
        ),
        *("town=Bonn", "town=Oslo", "town=Rome"),
    }
    ours = [
        *numbers,
        *("age is missing", "town=Bonn", "town=Oslo", "town=Rome", "town is missing"),
        *("smokes=False", "smokes=True", "code=3", "code=20", "code=100"),
    ]
    places = [dataset.encoding.names.index(name) for name in ours]
    assert np.array_equal(X.numpy()[:, places], expected.astype(np.float32))


def test_only_training_rows_are_looked_at(csv: Path) -> None:
    def fitted(frame: pd.DataFrame) -> Dataset:
        frame.to_csv(csv, index=False)
        return split(load(csv), test_size=0.3, seed=4, impute="median")

    before = fitted(people())
    changed = people()
    changed.loc[before.test_rows, "age"] = 1e6
    after = fitted(changed)
    assert before.fitted == after.fitted


def test_a_category_that_no_training_row_has_counts_for_none_or_is_refused(csv: Path) -> None:
    rows = split(load(csv), test_size=0.3, seed=4, impute="median").test_rows
    frame = people()
    frame.loc[rows[0], "town"] = "Nice"
    frame.to_csv(csv, index=False)
    dataset = split(load(csv), test_size=0.3, seed=4, impute="median")
    assert dataset.encoding is not None
    assert dataset.mean is not None
    assert dataset.scale is not None
    assert "town=Nice" not in dataset.encoding.names
    towns = [i for i, name in enumerate(dataset.encoding.names) if name.startswith("town")]
    X = dataset.tensors(dataset.test_rows)[0].numpy() * dataset.scale[None] + dataset.mean[None]
    assert np.allclose(X[0, towns], 0, atol=1e-6)
    words = f"column town, row {rows[0] + 1} is 'Nice', which no training row has, and unknown is refuse"
    with pytest.raises(DataError, match=words):
        split(load(csv, unknown="refuse"), test_size=0.3, seed=4, impute="median")


def test_everything_that_is_wrong_is_told_at_once_with_the_command_that_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    frame = people().assign(name=[f"Person {n}" for n in range(ROWS)], planet="Earth")
    frame.to_csv(path, index=False)
    with pytest.raises(DataError) as caught:
        data.load(str(path), target="price")
    assert str(caught.value).splitlines() == [
        f"{path}:",
        "  column age, row 1 is missing, but must be a number (and 28 more)",
        "  column town, row 1 is missing, but must be a number (and 199 more)",
        f"  column smokes, row 1 is '{frame.smokes[0]}', but must be a number (and 199 more)",
        "  column since, row 1 is '2019-12-01', but must be a number (and 199 more)",
        "  column name, row 1 is 'Person 0', but must be a number (and 199 more)",
        "  column planet, row 1 is 'Earth', but must be a number (and 199 more)",
        "Mend or remove the row, or leave the columns out with --drop age,town,smokes,since,name,planet.",
        f"Or take it as it is: reproven train --data {path} --target price --preprocess auto --drop name",
    ]
    table = load(path, drop=("name",))
    assert table.features == ("age", "town", "smokes", "since", "code", "planet")
    assert table.remarks == (
        f"{path}: column planet is Earth in every row, from row 1 to row 200, so it says nothing.",
    )


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["?", *map(str, range(ROWS - 1))], "column x, row 1 is '\\?', but must be a number"),
        (
            [f"name {n}" for n in range(ROWS)],
            "column x has 200 different texts in 200 rows, as names and ident",
        ),
    ],
)
def test_a_column_that_cannot_be_taken_as_it_is_is_named(csv: Path, column: list[Any], words: str) -> None:
    people().assign(x=column).to_csv(csv, index=False)
    with pytest.raises(DataError, match=words):
        load(csv)


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "missing"), ("one", "one"), (2.5, "2.5"), (True, "True")]
)
def test_a_column_that_says_nothing_is_taken_as_it_is_and_that_is_said(
    csv: Path, value: Any, shown: str
) -> None:
    people().assign(x=value).to_csv(csv, index=False)
    table = load(csv)
    assert table.remarks == (
        f"{csv}: column x is {shown} in every row, from row 1 to row 200, so it says nothing.",
    )
    X, _ = split(table, test_size=0.3, seed=4, impute="median").tensors(np.arange(ROWS))
    assert np.isfinite(X.numpy()).all()


def test_rows_without_a_target_are_left_out_and_that_is_said(csv: Path) -> None:
    frame = people()
    frame.loc[[3, 5], "price"] = np.nan
    frame.to_csv(csv, index=False)
    table = load(csv)
    assert len(table.y) == ROWS - 2
    assert table.remarks == (f"{csv}: 2 row(s) without price are left out.",)


def test_whole_numbers_that_may_be_classes_get_a_hint(csv: Path) -> None:
    assert load(csv, target="code").remarks == (
        f"{csv}: the target code holds 3 different whole numbers. "
        "If they are classes, give --task classification.",
    )
    assert load(csv, target="code", task="classification").classes == ("3", "20", "100")
    assert load(csv, target="code", task="regression").remarks == ()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b"], CATEGORY),
        ([True, None], CATEGORY),
        ([1.5, None], NUMBER),
        (["1", "2", "x"], NUMBER),
        (["2020-01-01", None], DATE),
        (["2020-01-01 10:00", "2020-01-01T10:00:30Z"], DATE),
        (["2020-13-01", "2020-01-01"], CATEGORY),
        (["01/02/2020", "03/02/2020"], CATEGORY),
        (pd.to_datetime(["2020-01-01"]), DATE),
        (pd.Categorical(["a", "b"]), CATEGORY),
    ],
)
def test_what_a_column_holds_is_told_by_its_values(values: Any, kind: str) -> None:
    assert kind_of(pd.Series(values)) == kind


def test_a_schema_reads_back_what_it_wrote_and_nothing_else(csv: Path) -> None:
    schema = load(csv).schema
    assert schema is not None
    assert Schema.read(schema.text()) == schema
    frame = people()[[column.name for column in schema.features]]
    raw = schema.numbers(frame, "people", kept=())
    assert np.array_equal(schema.numbers(schema.frame(raw), "people", kept=()), raw, equal_nan=True)
    for text in (schema.text() + " ", schema.text().replace("Bonn", "Zug"), "{}", "[]", "nothing"):
        with pytest.raises(ValueError, match="its schema"):
            Schema.read(text)
