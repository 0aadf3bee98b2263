"""The logged model as MLflow's own tools use it, on tables as users have them: loaded, served, evaluated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc import scoring_server

import programs
from conftest import Cli
from programs import MLFLOW, ROOT
from reproven import Trained
from servers import started

CHAMPION = "models:/shared@champion"
RAW = ROOT / "src" / "reproven" / "datasets" / "boston.csv"
#: What is no number in a cell, and what the error says of it.
UNUSABLE = [
    (None, "missing, but must be a number"),
    (float("inf"), "inf, but must be a number that float32 can hold"),
    (1e39, "1e+39, but must be a number that float32 can hold"),
    ("many", "'many', but must be a number"),
    (True, "'True', but must be a number"),
    ("6.5", "'6.5', but must be a number"),
    ([6.5], "'[6.5]', but must be a number"),
]


Served = Callable[[dict[str, Any] | bytes], tuple[int, Any]]


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    """The features of the bundled table, as pandas reads them: some columns are whole numbers."""
    table = pd.read_csv(RAW).drop(columns="MEDV")
    assert {str(kind) for kind in table.dtypes} == {"int64", "float64"}
    return table


@pytest.fixture
def expected(trained: Trained, cli: Cli) -> list[float]:
    found: list[float] = json.loads(cli("predict", CHAMPION, str(RAW), "--json").stdout)["predictions"]
    return found


def in_python(code: str, uri: str) -> None:
    """Runs a script that has loaded the model, before torch is imported, and read the table."""
    start = (
        "import json, sys, mlflow, numpy, pandas\n"
        f"model = mlflow.pyfunc.load_model({CHAMPION!r})\n"
        f"table = pandas.read_csv({str(RAW)!r}).drop(columns='MEDV')\n"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    command = [sys.executable, "-W", "ignore", "-c", start + code]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_loaded_model_predicts_the_table_as_pandas_reads_it_or_names_what_it_cannot(
    uri: str, expected: list[float]
) -> None:
    in_python(
        "parts = {'whole': table, 'first': table.head(1), 'held out': table[7:9], 'one': table.iloc[[40]],\n"
        "         'whole numbers': table.round().astype(int), 'the same': table.round().astype(float)}\n"
        "numpy.savez('found.npz', **{name: model.predict(part) for name, part in parts.items()})\n"
        "def said(table):\n"
        "    try: model.predict(table)\n"
        "    except mlflow.exceptions.MlflowException as error: return str(error)\n"
        f"cells = json.loads({json.dumps([cell for cell, _ in UNUSABLE])!r})\n"
        "found = []\n"
        "for cell in cells:\n"
        "    damaged = table.astype({'RM': object}).set_index(table.index + 100)\n"
        "    damaged.at[104, 'RM'] = cell\n"
        "    found.append(said(damaged))\n"
        "found.append(said(table.drop(columns=['RM', 'TAX'])))\n"
        "open('found.json', 'w').write(json.dumps(found))\n",
        uri,
    )
    found = np.load("found.npz")
    assert found["whole"].dtype == np.float32
    assert found["whole"].tolist() == expected
    assert found["first"].tolist() == expected[:1]
    assert found["held out"].tolist() == expected[7:9]
    assert found["one"].tolist() == expected[40:41]
    assert found["whole numbers"].tolist() == found["the same"].tolist()
    *refused, missing = json.loads(Path("found.json").read_text())
    assert refused == [
        f"The table: column RM, row 5 is {words}. Mend or remove the row." for _, words in UNUSABLE
    ]
    assert "Model is missing inputs ['RM', 'TAX']" in missing


@pytest.mark.slow
def test_mlflow_evaluates_the_model_on_the_table_as_pandas_reads_it(uri: str, expected: list[float]) -> None:
    in_python(
        "mlflow.set_experiment('evaluated')\n"
        "with mlflow.start_run():\n"
        f"    found = mlflow.models.evaluate({CHAMPION!r}, pandas.read_csv({str(RAW)!r}), targets='MEDV',\n"
        "        model_type='regressor', evaluator_config={'log_model_explainability': False})\n"
        "open('found.json', 'w').write(json.dumps(found.metrics))\n",
        uri,
    )
    found = json.loads(Path("found.json").read_text())
    apart = pd.read_csv(RAW)["MEDV"].to_numpy() - np.array(expected)
    assert found["root_mean_squared_error"] == pytest.approx(np.sqrt(np.square(apart).mean()))


@pytest.mark.slow
def test_mlflow_predicts_from_a_csv_file_of_one_row_and_of_all(
    uri: str, raw: pd.DataFrame, expected: list[float]
) -> None:
    for rows in (1, len(raw)):
        raw.head(rows).to_csv("rows.csv", index=False)
        arguments = ("-m", CHAMPION, "-i", "rows.csv", "-o", "found.json", "-t", "csv")
        done = programs.run(MLFLOW, "models", "predict", *arguments, "--env-manager", "local", uri=uri)
        assert done.returncode == 0, done.stderr
        assert json.loads(Path("found.json").read_text())["predictions"] == expected[:rows]


@pytest.fixture
def served(trained: Trained, uri: str) -> Iterator[Served]:
    """Asks a server of the model; the status of its answer, and the predictions or the error."""
    command = ("models", "serve", "-m", CHAMPION, "--env-manager", "local")
    with started(*command, ping="ping", uri=uri) as address:

        def ask(body: dict[str, Any] | bytes) -> tuple[int, Any]:
            if isinstance(body, dict):
                content, kind = json.dumps(body).encode(), "application/json"
            else:
                content, kind = body, "application/vnd.apache.parquet"
            request = urllib.request.Request(f"{address}/invocations", content, {"Content-Type": kind})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, json.load(answer)["predictions"]
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)["message"]

        yield ask


def test_a_served_model_takes_rows_as_they_are_and_names_what_is_no_number(
    served: Served, raw: pd.DataFrame, expected: list[float]
) -> None:
    rows = json.loads(raw.to_json(orient="split", double_precision=15))
    assert served({"dataframe_split": rows}) == (200, expected)
    records = json.loads(raw.head(1).to_json(orient="records", double_precision=15))
    for form in ("dataframe_records", "instances", "inputs"):
        assert served({form: records}) == (200, expected[:1]), form
    if hasattr(scoring_server, "CONTENT_TYPE_PARQUET"):  # MLflow 3.7 has none
        assert served(raw.to_parquet()) == (200, expected)
    for cell, words in UNUSABLE:
        rows["data"][4][list(raw.columns).index("RM")] = cell
        status, said = served({"dataframe_split": rows})
        assert status == 400, words
        assert said.endswith(f"Error: The table: column RM, row 5 is {words}. Mend or remove the row.")
    status, said = served({"dataframe_records": [{"CRIM": 0.1}]})
    assert status == 400
    assert "Model is missing inputs ['ZN'," in said
