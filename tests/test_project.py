"""The MLflow project: its files agree, and `mlflow run` does what README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.projects._project_spec import load_project

from conftest import ROOT, Cli
from reproven.blueprint import Blueprint
from reproven.recipe import Recipe
from reproven.verbs.revive import revive

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA = yaml.safe_load((ROOT / "conda.yaml").read_text())
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text())


def mlflow_run(*arguments: str, uri: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """`mlflow run` as a user types it, with this interpreter first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri}
    command = [sys.executable, "-m", "mlflow", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, **more)


def only_run(client: MlflowClient, experiment: str) -> Any:
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len(found) == 1
    return found[0]


def test_every_direct_dependency_is_pinned_and_both_files_agree() -> None:
    pins = PYPROJECT["project"]["dependencies"]
    assert all(re.fullmatch(r"[a-z-]+==[\d.]+", pin) for pin in pins)
    assert pins[0] == "torch==2.13.0"
    (pip,) = [item["pip"] for item in CONDA["dependencies"] if isinstance(item, dict)]
    assert pip == pins
    assert "python=3.11" in CONDA["dependencies"]
    assert PYPROJECT["project"]["requires-python"] == "==3.11.*"


def test_what_is_imported_is_pinned() -> None:
    names = {"yaml": "pyyaml", "sklearn": "scikit-learn"}
    pinned = {pin.partition("==")[0] for pin in PYPROJECT["project"]["dependencies"]}
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        imported |= set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
    third_party = imported - set(sys.stdlib_module_names) - {"reproven"}
    assert {names.get(name, name) for name in third_party} <= pinned


@pytest.mark.parametrize(("entry_point", "kind"), [("main", Recipe), ("weights", Blueprint)])
def test_mlproject_repeats_the_defaults(entry_point: str, kind: type) -> None:
    parameters = MLPROJECT["entry_points"][entry_point]["parameters"]
    command = MLPROJECT["entry_points"][entry_point]["command"]
    fields = kind.__dataclass_fields__  # type: ignore[attr-defined]
    for name, parameter in parameters.items():
        default = fields[name].default
        spelt = ",".join(map(str, default)) if isinstance(default, tuple) else default
        assert parameter["default"] == spelt
        assert f"--{name.replace('_', '-')} {{{name}}}" in command
    without_line = {n for n, f in fields.items() if f.default in (None, ())}
    assert set(parameters) == set(fields) - without_line


def test_mlproject_is_read_by_mlflow() -> None:
    project = load_project(str(ROOT))
    assert project.name == "reproven"
    assert set(project._entry_points) == {"main", "weights", "replay", "audit"}


def test_the_version_is_said_once() -> None:
    from reproven import __version__

    assert PYPROJECT["project"]["version"] == __version__


def test_mlruns_holds_a_readme_alone() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "mlruns"], capture_output=True, text=True, check=True
    )
    assert tracked.stdout.split() == ["mlruns/README.md"]


def test_mlflow_run_is_one_run_whatever_the_spelling(uri: str, client: MlflowClient) -> None:
    done = mlflow_run(
        *(str(ROOT), "--env-manager", "local", "--experiment-name", "adopted", "--run-name", "mine"),
        *("-P", "variant=sequential", "-P", "optimizer=adam", "-P", "lr=1e-3", "-P", "epochs=2"),
        *("-P", "layer_lr=hidden=1e-4,regression=0.010", "-P", "hidden=10"),
        uri=uri,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(client, "adopted")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "mine"
    assert run.data.params["lr"] == "1e-3"
    assert run.data.params["split_seed"] == "12"
    assert run.data.tags["mlflow.project.entryPoint"] == "main"
    recipe = Recipe.from_json((Path(run.info.artifact_uri) / "recipe.json").read_text())
    assert recipe.lr == 0.001
    assert recipe.layer_lr == (("hidden", 0.0001), ("regression", 0.01))
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 8


def test_mlflow_run_from_another_folder_and_a_git_uri(uri: str, client: MlflowClient, tmp_path: Path) -> None:
    for source, name in ((os.path.relpath(ROOT), "relative"), (f"file://{ROOT}", "git")):
        if name == "git":  # what is committed, as a user's `mlflow run GIT_URI` clones it
            clone = tmp_path / "origin"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
            source = f"file://{clone}"
        done = mlflow_run(
            *(source, "--env-manager", "local", "--experiment-name", name, "-P", "epochs=1"), uri=uri
        )
        assert done.returncode == 0, done.stderr
        assert only_run(client, name).info.status == "FINISHED"


def test_a_bad_value_fails_the_run_that_mlflow_made(uri: str, client: MlflowClient) -> None:
    done = mlflow_run(str(ROOT), "--env-manager", "local", "--experiment-name", "bad", "-P", "lr=-1", uri=uri)
    assert done.returncode != 0
    assert "Error: lr is -1.0, but must be greater than 0. Try --lr 0.001." in done.stderr
    assert only_run(client, "bad").info.status == "FAILED"


def test_weights_is_an_entry_point(uri: str, client: MlflowClient) -> None:
    done = mlflow_run(
        *(str(ROOT), "-e", "weights", "--env-manager", "local", "--experiment-name", "initial"),
        *("-P", "network=testnet", "-P", "init=by_layer", "-P", "seed=13"),
        uri=uri,
    )
    assert done.returncode == 0, done.stderr
    assert (Path(only_run(client, "initial").info.artifact_uri) / "histograms.json").is_file()


def test_a_run_that_has_ended_is_not_adopted(cli: Cli, uri: str, client: MlflowClient) -> None:
    ended = client.create_run("0")
    client.set_terminated(ended.info.run_id)
    done = cli("train", "--epochs", "1", MLFLOW_RUN_ID=ended.info.run_id)
    assert done.returncode == 2
    assert "which is FINISHED. Unset the variable." in done.stderr


def test_the_code_is_named_by_its_commit_and_what_differs(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    head = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    command = [sys.executable, str(clone / "src"), "train", "--epochs", "1", "--json"]

    def train(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)

    def tags(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
        run_id = json.loads(done.stdout)["run_id"]
        found: dict[str, str] = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(run_id).data.tags
        return found

    clean = train("--require-clean")
    assert clean.returncode == 0, clean.stderr
    assert tags(clean)["mlflow.source.git.commit"] == head
    assert tags(clean)["mlflow.source.git.dirty"] == "false"
    assert not (Path(json.loads(clean.stdout)["artifact_uri"]) / "code.patch").exists()

    with (clone / "src/reproven/figures.py").open("a") as file:
        file.write("# edited\n")
    refused = train("--require-clean")
    assert refused.returncode == 2
    assert f"src/reproven/figures.py differ from the commit {head[:12]}." in refused.stderr

    dirty = train()
    assert tags(dirty)["mlflow.source.git.dirty"] == "true"
    patch = Path(json.loads(dirty.stdout)["artifact_uri"]) / "code.patch"
    undo = ["git", "-C", str(clone), "apply", "--check", "--reverse", str(patch)]
    subprocess.run(undo, check=True)


def test_the_default_store_is_in_the_folder_and_offline(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    command = [sys.executable, str(ROOT / "src"), "train", "--epochs", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    found = json.loads(done.stdout)
    assert (tmp_path / "mlflow.db").is_file()
    assert Path(found["artifact_uri"]).is_relative_to(tmp_path / "mlruns")
    revive(Path(found["artifact_uri"]) / "model.pth")


@pytest.mark.slow
def test_mlflow_run_builds_its_environment_with_uv(uri: str, client: MlflowClient, tmp_path: Path) -> None:
    if shutil.which("uv", path=str(Path(sys.executable).parent)) is None:
        pytest.fail("uv is a development dependency; run `make test-all`")
    found = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        text=True,
        check=False,
    )
    links = os.environ.get("UV_FIND_LINKS") or found.stdout.strip() or os.environ.get("PIP_FIND_LINKS", "")
    os.environ.pop("UV_FIND_LINKS", None)
    try:
        if links:
            os.environ["UV_FIND_LINKS"] = links
        done = mlflow_run(
            *(str(ROOT), "--env-manager", "uv", "--experiment-name", "uv", "-P", "epochs=1"), uri=uri
        )
    finally:
        os.environ.pop("UV_FIND_LINKS", None)
    assert done.returncode == 0, done.stderr
    assert only_run(client, "uv").info.status == "FINISHED"
