"""The MLflow project: its files agree, and `mlflow run` does what README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.projects._project_spec import load_project

import programs
from bringing import bring
from conftest import ROOT, Cli
from forging import copy, edit, reseal
from programs import SOURCE
from projects import edit_losses, mlflow_run, only_run
from reproven import Trained, replay, train
from reproven.errors import RebuildError
from reproven.machine import rebuilding
from reproven.recipes.blueprint import Blueprint
from reproven.recipes.recipe import Recipe
from reproven.runs.revive import revive

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text())


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
    assert set(project._entry_points) == {"main", "weights", "replay", "resume", "audit", "sweep", "compare"}


def test_the_version_is_said_once() -> None:
    from reproven import __version__

    assert PYPROJECT["project"]["version"] == __version__


def test_mlruns_holds_no_run() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "mlruns"], capture_output=True, text=True, check=True
    )
    assert tracked.stdout.split() == ["mlruns/README.md"]


@pytest.fixture(scope="module")
def adopted(uri: str, client: MlflowClient, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run that `mlflow run` made, from another folder; how it was asked for is spelled in many ways."""
    folder = tmp_path_factory.mktemp("another")
    done = mlflow_run(
        *(os.path.relpath(ROOT, folder), "--env-manager", "local"),
        *("--experiment-name", "adopted", "--run-name", "mine"),
        *("-P", "variant=sequential", "-P", "optimizer=adam", "-P", "lr=1e-3", "-P", "epochs=2"),
        *("-P", "layer_lr=hidden=1e-4, regression=0.010", "-P", "hidden=10"),
        uri=uri,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return only_run(client, "adopted")


def test_mlflow_run_is_one_run_whatever_the_spelling(adopted: Any, client: MlflowClient) -> None:
    run = adopted
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "mine"
    assert run.data.params["lr"] == "1e-3"
    assert run.data.params["split_seed"] == "12"
    assert run.data.tags["mlflow.project.entryPoint"] == "main"
    recipe = Recipe.from_json((Path(run.info.artifact_uri) / "recipe.json").read_text())
    assert recipe.lr == 0.001
    assert recipe.layer_lr == (("hidden", 0.0001), ("regression", 0.01))
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 8


@pytest.mark.slow
def test_mlflow_run_from_a_git_uri(uri: str, client: MlflowClient, tmp_path: Path) -> None:
    clone = tmp_path / "origin"  # what is committed, as a user's `mlflow run GIT_URI` clones it
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    source = f"file://{clone}"
    done = mlflow_run(
        *(source, "--env-manager", "local", "--experiment-name", "git", "-P", "epochs=1"), uri=uri
    )
    assert done.returncode == 0, done.stderr
    assert only_run(client, "git").info.status == "FINISHED"


def test_a_bad_value_fails_the_run_that_mlflow_made(uri: str, client: MlflowClient) -> None:
    done = mlflow_run(str(ROOT), "--env-manager", "local", "--experiment-name", "bad", "-P", "lr=-1", uri=uri)
    assert done.returncode != 0
    assert "Error: lr is -1.0, but must be greater than 0. Try --lr 0.001." in done.stderr
    assert only_run(client, "bad").info.status == "FAILED"


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_code_is_named_by_its_commit_and_what_differs(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    head = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()

    def train(*arguments: str) -> subprocess.CompletedProcess[str]:
        return programs.run(clone / "src", "train", "--epochs", "1", "--json", *arguments)

    def tags(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
        run_id = json.loads(done.stdout)["run_id"]
        found: dict[str, str] = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(run_id).data.tags
        return found

    clean = train("--require-clean")
    assert clean.returncode == 0, clean.stderr
    assert tags(clean)["mlflow.source.git.commit"] == head
    assert tags(clean)["mlflow.source.git.dirty"] == "false"
    assert not (Path(json.loads(clean.stdout)["artifact_uri"]) / "code.patch").exists()

    with (clone / "src/reproven/training/figures.py").open("a") as file:
        file.write("# edited\n")
    refused = train("--require-clean")
    assert refused.returncode == 2
    assert f"src/reproven/training/figures.py differ from the commit {head[:12]}." in refused.stderr

    dirty = train()
    assert tags(dirty)["mlflow.source.git.dirty"] == "true"
    patch = Path(json.loads(dirty.stdout)["artifact_uri"]) / "code.patch"
    undo = ["git", "-C", str(clone), "apply", "--check", "--reverse", str(patch)]
    subprocess.run(undo, check=True)


def test_the_default_store_is_in_the_folder_and_offline(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = programs.run(SOURCE, "train", "--epochs", "1", "--json", env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (tmp_path / "mlflow.db").is_file()
    assert Path(found["artifact_uri"]).is_relative_to(tmp_path / "mlruns")
    revive(Path(found["artifact_uri"]) / "model.pth")


@pytest.mark.slow
def test_mlflow_run_builds_its_environment_with_uv(uri: str, client: MlflowClient, tmp_path: Path) -> None:
    if shutil.which("uv", path=str(Path(sys.executable).parent)) is None:
        pytest.fail("uv is a development dependency; run `make test-all`")
    with torch_for_uv():
        done = mlflow_run(
            *(str(ROOT), "--env-manager", "uv", "--experiment-name", "uv", "-P", "epochs=1"), uri=uri
        )
    assert done.returncode == 0, done.stderr
    assert only_run(client, "uv").info.status == "FINISHED"


@contextmanager
def torch_for_uv() -> Iterator[None]:
    """uv looks for wheels where pip was told to look."""
    found = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        text=True,
        check=False,
    )
    given = os.environ.get("UV_FIND_LINKS")
    links = given or found.stdout.strip() or os.environ.get("PIP_FIND_LINKS", "")
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    if links:
        os.environ["UV_FIND_LINKS"] = links
    try:
        yield
    finally:
        os.environ["PATH"] = path
        os.environ.pop("UV_FIND_LINKS", None)
        if given:
            os.environ["UV_FIND_LINKS"] = given


def replay_in_mlflow(run: str, uri: str, *more: str) -> subprocess.CompletedProcess[str]:
    return mlflow_run(
        *(str(ROOT), "-e", "replay", "--env-manager", "local", "-P", f"run={run}", *more), uri=uri
    )


@pytest.mark.slow
def test_mlflow_run_replays_too(
    uri: str, client: MlflowClient, trained: Trained, bundle: Path, tmp_path: Path
) -> None:
    done = replay_in_mlflow(trained.run_id, uri, "--experiment-name", "verdicts")
    assert done.returncode == 0, done.stderr
    run = only_run(client, "verdicts")  # the one that MLflow made, and no other
    assert run.info.status == "FINISHED"
    assert run.data.tags["reproven.verdict"] == "IDENTICAL"
    assert run.data.tags["reproven.replay.of"] == trained.run_id
    damaged = copy(bundle, tmp_path / "damaged")
    (damaged / "losses.csv").unlink()
    done = replay_in_mlflow(str(damaged), uri, "--experiment-name", "damaged verdicts")
    assert done.returncode != 0
    run = only_run(client, "damaged verdicts")
    assert run.data.tags["reproven.verdict"] == "TAMPERED"


@pytest.mark.slow
def test_mlflow_run_replays_an_experiment_and_its_run_tells_the_verdicts(
    uri: str, client: MlflowClient
) -> None:
    for seed in (1, 2):
        train(Recipe(epochs=1, seed=seed), tracking_uri=uri, experiment="told")
    arguments = (str(ROOT), "-e", "replay", "--env-manager", "local", "--experiment-name", "telling")
    done = mlflow_run(*arguments, "-P", "experiment=told", uri=uri)
    assert done.returncode == 0, done.stderr
    run = only_run(client, "telling")
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.note.content"].count("| IDENTICAL | module-sgd-") == 2


def test_a_run_of_mlflow_run_is_sound_though_mlflow_ends_it_again(uri: str, adopted: Any) -> None:
    run_id = adopted.info.run_id
    arguments = (str(ROOT), "-e", "audit", "--env-manager", "local", "-P", f"run={run_id}")
    done = mlflow_run(*arguments, uri=uri)
    assert done.returncode == 0, done.stderr
    assert f"SOUND: {run_id}" in done.stdout


@pytest.mark.slow
def test_a_replay_rebuilds_the_recorded_environment_and_code_with_uv(tmp_path: Path) -> None:
    """Trained by one commit, replayed from a later one whose training is another."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--local", str(ROOT), str(clone)], check=True)
    shutil.copytree(ROOT / "src", clone / "src", dirs_exist_ok=True)
    git = ["git", "-C", str(clone), "-c", "user.name=t", "-c", "user.email=t@t.t"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "as here", "--allow-empty"], check=True)

    def reproven(*arguments: str) -> subprocess.CompletedProcess[str]:
        return programs.run(clone / "src", *arguments, "--json", cwd=tmp_path)

    run = json.loads(reproven("train", "--epochs", "2").stdout)["run_id"]
    bring(tmp_path)
    own = json.loads(reproven("train", "--epochs", "2", "--network", "nets:Net").stdout)["run_id"]
    edit_losses(clone)
    subprocess.run([*git, "commit", "-qam", "another loss"], check=True)
    with torch_for_uv():
        (here,) = json.loads(reproven("replay", run).stdout)["replays"]
        done = reproven("replay", run, "--env-manager", "uv")
        of_own = reproven("replay", own, "--env-manager", "uv", "--trust", "nets")
    assert here["verdict"] == "DIVERGED"
    (there,) = json.loads(done.stdout)["replays"]
    assert there["verdict"] == "IDENTICAL", there
    assert there["difference"]["changes"] == []
    (there,) = json.loads(of_own.stdout)["replays"]
    assert there["verdict"] == "IDENTICAL", there
    worktrees = subprocess.run([*git, "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(worktrees.stdout.splitlines()) == 1  # it was taken away again


def test_a_commit_that_is_not_here_is_inconclusive(bundle: Path, uri: str, tmp_path: Path) -> None:
    own = copy(bundle, tmp_path / "own")
    edit(own / "inputs.json", lambda value: value["code"].update(commit="0" * 40))
    edit(own / "run.json", lambda value: value["tags"].update({"mlflow.source.git.commit": "0" * 40}))
    reseal(own)
    found = replay(str(own), env_manager="uv", tracking_uri=uri)
    assert found.verdict == "INCONCLUSIVE"
    assert f"The commit {'0' * 40} cannot be checked out. Fetch it first." in found.reasons[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"packages": {"torch": "2.13.0", "evil": "1.0"}}, "wants evil, which no run needs"),
        ({"packages": {"torch": "2.13.0 @ https://example.org/x.whl"}}, "for torch, which is no version"),
        ({"python": "--help"}, "'--help' for python, which is no version"),
        ({"installed": {"--index-url": "1"}}, "names '--index-url', which is no package's name"),
    ],
)
def test_what_a_record_names_is_checked_before_it_is_installed(
    change: dict[str, Any], message: str, tmp_path: Path, files: Path
) -> None:
    environment = json.loads((files / "environment.json").read_text())
    with torch_for_uv(), pytest.raises(RebuildError, match=re.escape(message)):
        rebuilding.rebuild({**environment, **change}, tmp_path / "new")
    assert not (tmp_path / "new").exists()
