"""The MLflow model as a folder: MLmodel, weights, this package's code, the environment, an example.

MLflow's own `save_model` first asks which distribution every installed module belongs to, which takes
longer than everything else about logging a model; the requirements here are known. It talks to no store.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType
from numpy import dtype

from reproven.files.names import MODEL, OWN
from reproven.files.shapes import dtype_and_shape
from reproven.machine.environment import package_version

#: What the served model imports; every version is the one that is installed.
PACKAGES = ("torch", "mlflow", "numpy", "pandas")
#: This package's modules that it imports; a test follows their imports.
MODULES = (
    *("__init__", "_version", "errors", "networks", "serving"),
    *("arithmetic", "arithmetic.formulas", "arithmetic.functions", "arithmetic.profiles"),
    *("arithmetic.rounding", "arithmetic.sampling", "arithmetic.sums", "arithmetic.windows"),
    *("operations", "operations.algebra", "operations.chance", "operations.criteria", "operations.exact"),
    *("operations.indexing", "operations.layers", "operations.pointwise", "operations.takeover"),
    "operations.tensors",
    *("blocks", "files", "files.archive", "files.columns", "files.described", "files.digests", "files.disk"),
    *("files.front", "files.models", "files.names", "files.pickles", "files.shapes"),
    *("own", "own.failing", "own.finding", "own.modules", "own.named", "own.sources", "own.trust"),
)
NOTED = "registered_model_meta"  # which MLflow writes beside a registered model that it loads
EXAMPLE = "input_example.json"
#: A file where Python would keep bytecode, in each folder of code.
_NO_BYTECODE = "In place of a folder: so Python writes no bytecode here and reads none. The sources run.\n"
_SOURCE = Path(__file__).resolve().parents[1]


def write_mlmodel(folder: Path, model_file: Path, example: Mapping[str, Any], *, entry: Any) -> None:
    """Writes a model with two flavors: python_function, served by this package's code that travels
    along, and pytorch, for `mlflow.pytorch.load_model`.

    Args:
        folder: An empty folder.
        model_file: The pickled model, whose tensors are on the CPU; the user's own sources lie beside it.
        example: A few raw rows of the features, as `columns`, all of them, and `data`, or of an array as its
            kind, `array`, and `data`; and as `outputs` the columns of the predictions, where they are more
            than the numbers of one target.
        entry: The LoggedModel that it becomes.

    Source: https://mlflow.org/docs/latest/ml/model/ (storage format)
    """
    model = Model(
        artifact_path=entry.artifact_location,
        model_uuid=entry.model_id,
        model_id=entry.model_id,
        run_id=entry.source_run_id,
        signature=ModelSignature(inputs=_inputs(example), outputs=_outputs(example.get("outputs", ()))),
        saved_input_example_info={
            "artifact_path": EXAMPLE,
            "serving_input_path": "serving_input_example.json",
            **(
                {"type": "ndarray"} if "array" in example else {"type": "dataframe", "pandas_orient": "split"}
            ),
        },
    )
    model.add_flavor("pytorch", model_data="data", pytorch_version=package_version("torch"), code="code")
    environment = {"conda_env": "conda.yaml", "python_env": "python_env.yaml"}
    pyfunc.add_to_model(model, "reproven.serving", data="data", code="code", **environment)
    (folder / "data").mkdir()
    shutil.copyfile(model_file, folder / "data" / MODEL)
    (folder / "data" / "pickle_module_info.txt").write_text("pickle")
    if "array" in example:
        rows = served = {"inputs": example["data"]}
    else:
        rows = {name: example[name] for name in ("columns", "data")}
        served = {"dataframe_split": rows}
    (folder / EXAMPLE).write_text(json.dumps(rows))
    (folder / "serving_input_example.json").write_text(json.dumps(served))
    if (own := model_file.parent / OWN).is_dir():
        shutil.copytree(own, folder / "code", dirs_exist_ok=True)
    code = folder / "code" / "reproven"
    for name in MODULES:
        inner = name.replace(".", "/")
        path = f"{inner}/__init__.py" if (_SOURCE / inner).is_dir() else f"{inner}.py"
        (code / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_SOURCE / path, code / path)
    for place in {path.parent for path in (folder / "code").rglob("*.py")}:
        (place / "__pycache__").write_text(_NO_BYTECODE)
    _write_environment(folder)
    model.save(folder / "MLmodel")


def _inputs(example: Mapping[str, Any]) -> Schema:
    """What the model takes: an array, or columns, which MLflow looks at by their names alone.

    It takes no whole number for a double, and a CSV file may have some.
    """
    if "array" in example:
        kind, shape = dtype_and_shape(example["array"])
        return Schema([TensorSpec(dtype(kind), (-1, *shape))])
    return Schema([ColSpec(AnyType(), name) for name in example["columns"]])


def _outputs(columns: Sequence[tuple[str, str]]) -> Schema:
    """What the predictions are, by the columns' names and MLflow's types."""
    if not columns:
        return Schema([TensorSpec(dtype("float32"), (-1,))])
    return Schema([ColSpec(kind, name) for name, kind in columns])


def _write_environment(folder: Path) -> None:
    python = platform.python_version()
    pins = [f"{package}=={package_version(package).partition('+')[0]}" for package in PACKAGES]
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": pins}],
    }
    build = ["pip", "setuptools", "wheel"]
    virtualenv = {
        "python": python,
        "build_dependencies": build,
        "dependencies": ["-r requirements.txt"],
    }
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n")
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda, sort_keys=False))
    (folder / "python_env.yaml").write_text(yaml.safe_dump(virtualenv, sort_keys=False))
