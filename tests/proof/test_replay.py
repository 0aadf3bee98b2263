"""replay: a true run is IDENTICAL; every difference that is caused is named first, at its step."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

import programs
from conftest import QUICK, ROOT, Cli
from forging import copy, edit, flip, forge_recipe, nudged, reseal
from programs import SOURCE
from projects import edit_losses
from reproven import Recipe, Trained, audit, export, import_, replay, replays, train
from reproven.errors import InvalidInput, RecordError, StoreError
from reproven.proof.verdict import Verdict
from reproven.store.store import Store
from reproven.training.prepared import Prepared

#: The environment of a user who works in a checkout of their own.
USER = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}


def report(found: Verdict) -> str:
    return "\n".join((*found.reasons, *found.report))


def test_a_true_run_is_identical_and_both_runs_say_so(
    trained: Trained, uri: str, client: MlflowClient
) -> None:
    found = replay(trained.run_id, tracking_uri=uri)
    assert (found.verdict, found.exit_code, found.reasons) == ("IDENTICAL", 0, ())
    assert found.difference is not None
    assert {count["differ"] for count in found.difference["counts"]} == {0}
    assert "losses (12), weights after steps (12), weights after epochs (3), final tensors (6)" in report(
        found
    )
    assert found.replay is not None
    again, original = client.get_run(found.replay), client.get_run(trained.run_id)
    assert again.data.tags["reproven.replay.of"] == trained.run_id
    assert again.data.tags["mlflow.parentRunId"] == trained.run_id
    assert again.data.tags["reproven.verdict"] == original.data.tags["reproven.verdict"] == "IDENTICAL"
    assert original.data.tags[f"reproven.replayed.{found.replay}"] == "IDENTICAL"
    assert again.info.status == "FINISHED"
    assert "**IDENTICAL**" in again.data.tags["mlflow.note.content"]
    files = Path(again.info.artifact_uri)
    assert json.loads((files / "replay.json").read_text()) == json.loads(json.dumps(found.to_dict()))
    with Image.open(files / "figures" / "replay.png") as image:
        assert min(image.size) >= 300
    history = [client.get_metric_history(run, "train_loss") for run in (trained.run_id, found.replay)]
    assert [(m.step, m.value) for m in history[0]] == [(m.step, m.value) for m in history[1]]


def test_a_replay_is_a_run_that_can_be_audited_and_replayed(trained: Trained, uri: str) -> None:
    again = replay(trained.run_id, tracking_uri=uri).replay
    assert again is not None
    assert audit(again, tracking_uri=uri).findings == ()
    assert replay(again, tracking_uri=uri).verdict == "IDENTICAL"
    assert audit(trained.run_id, tracking_uri=uri).findings == ()


def test_a_bundle_is_replayed_without_the_store_that_it_comes_from(
    bundle: Path, client: MlflowClient
) -> None:
    found = replay(str(bundle), tracking_uri="sqlite:///elsewhere.db")
    assert found.verdict == "IDENTICAL"
    there = MlflowClient(tracking_uri="sqlite:///elsewhere.db")
    assert there.get_experiment_by_name("replays") is not None
    assert found.replay is not None
    assert there.get_run(found.replay).data.tags["reproven.replay.of"] == found.run


def test_a_run_that_failed_is_replayed_to_its_failure(uri: str) -> None:
    failed = train(Recipe(lr=10.0, epochs=2), tracking_uri=uri, experiment="failed")
    assert failed.failure is not None
    found = replay(failed.run_id, tracking_uri=uri)
    assert found.verdict == "IDENTICAL", report(found)
    assert found.replay is not None
    assert audit(found.replay, tracking_uri=uri).findings == ()


@pytest.mark.parametrize(
    ("step", "name", "index"),
    [
        (5, "hidden2.bias", (1,)),
        pytest.param(0, "hidden1.weight", (3, 4), marks=pytest.mark.slow),
        pytest.param(11, "regression.weight", (0, 0), marks=pytest.mark.slow),
    ],
)
def test_a_weight_moved_by_one_ulp_is_found_at_its_step(
    step: int, name: str, index: tuple[int, ...], uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Prepared, "steps", nudged(step, name, index))
        run = train(QUICK, tracking_uri=uri, experiment="nudged")
    found = replay(run.run_id, tracking_uri=uri)
    assert (found.verdict, found.exit_code) == ("DIVERGED", 1)
    assert found.difference is not None
    first = found.difference["first"]
    assert (first["what"], first["step"], first["tensor"], first["others"]) == ("weights", step, name, 0)
    assert (first["epoch"], first["batch"]) == (step // 4, step % 4)
    assert "Cause: unexplained. Every recorded input is the same." in report(found)
    weight = found.difference["weight"]
    assert weight["ulp"] >= 1
    assert np.float32(weight["recorded"]) != np.float32(weight["found"])
    counts = {count["what"]: count["differ"] for count in found.difference["counts"]}
    assert counts["weights after steps"] == 12 - step


def test_in_a_wide_network_a_finer_record_names_the_step(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The large tensor is digested after 16 steps and at the end; it is moved by one ulp after the sixth."""
    wide = Recipe(hidden=(300, 300), batch_size=16, epochs=1, lr=1e-5)
    with monkeypatch.context() as patch:
        patch.setattr(Prepared, "steps", nudged(5, "hidden2.weight", (3, 4)))
        run = train(wide, tracking_uri=uri, experiment="wide")
        finer = replay(run.run_id, every_step=True, tracking_uri=uri)
    assert finer.verdict == "IDENTICAL", report(finer)
    coarse = replay(run.run_id, tracking_uri=uri)
    assert coarse.verdict == "DIVERGED"
    assert coarse.difference is not None
    assert coarse.difference["first"]["since"] == -1
    assert 5 < coarse.difference["first"]["step"] <= 15
    assert "known to agree before the first step" in report(coarse)
    assert finer.replay is not None
    found = replay(finer.replay, tracking_uri=uri).difference
    assert found is not None
    assert (found["first"]["step"], found["first"]["tensor"], found["first"]["others"]) == (
        5,
        "hidden2.weight",
        0,
    )
    weights = (Path(run.artifact_uri) / "weights.csv").read_text().splitlines()
    assert sum(",," not in line and not line.endswith(",") for line in weights[1:]) == 2


LIES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"lr": 0.002}, "recipe.lr 0.001, where the record says 0.002"),
    ({"lr": 0.03}, {"lr": 0.001}, "recipe.lr 0.03, where the record says 0.001"),
    ({"optimizer": "adam"}, {"lr": 0.01}, "recipe.lr 0.001, where the record says 0.01"),
    (
        {"optimizer": "rmsprop"},
        {
            "optimizer": "sgd",
            "alpha": None,
            "eps": None,
            "centered": None,
            "dampening": 0.0,
            "nesterov": False,
        },
        "recipe.optimizer rmsprop, where the record says sgd",
    ),
    (
        {"layer_lr": (("hidden1", 0.005),)},
        {"layer_lr": ()},
        "recipe.layer_lr {'hidden1': 0.005}, where the record says {}",
    ),
]


@pytest.mark.parametrize(
    ("truth", "lie", "named"),
    [pytest.param(*lie, marks=pytest.mark.slow if number else ()) for number, lie in enumerate(LIES)],
)
def test_a_rate_or_optimizer_hidden_in_a_perfect_forgery_is_found(
    truth: dict[str, Any], lie: dict[str, Any], named: str, uri: str, tmp_path: Path
) -> None:
    run = train(Recipe(epochs=2, **truth), tracking_uri=uri, experiment="lies")
    forged = export(run.run_id, tmp_path / "forged", tracking_uri=uri)
    if "layer_lr" in lie:
        edit(forged / "run.json", lambda value: value["params"].pop("layer_lr"))
        edit(forged / "recipe.json", lambda value: value.update(layer_lr={}))
        (forged / "recipe.json").write_text(Recipe.from_json((forged / "recipe.json").read_text()).to_json())
        lie = {}
    forge_recipe(forged, **lie)
    found = replay(str(forged), tracking_uri=uri)
    assert found.verdict == "DIVERGED", report(found)
    assert found.difference is not None
    assert (found.difference["first"]["what"], found.difference["first"]["step"]) == ("weights", 0)
    assert f"Cause, found by trying: trained with {named}." in report(found)
    assert "the recorded weights after 8 of the 8 steps tried" in report(found)


def test_a_recipe_that_was_edited_is_a_contradiction(bundle: Path, uri: str, tmp_path: Path) -> None:
    edited = copy(bundle, tmp_path / "edited")
    path = edited / "recipe.json"
    path.write_text(path.read_text().replace('"lr":0.001', '"lr":0.002'))
    found = replay(str(edited), tracking_uri=uri)
    assert (found.verdict, found.exit_code) == ("TAMPERED", 4)
    assert found.reasons[0].startswith("recipe.json has changed: its sha256 is ")
    reseal(edited)
    found = replay(str(edited), tracking_uri=uri)
    assert found.verdict == "TAMPERED"
    assert "recipe.json has the digest" in found.reasons[0]


def test_one_flipped_bit_is_tampering_and_becomes_a_run(
    bundle: Path, uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    damaged = copy(bundle, tmp_path / "damaged")
    flip(damaged / "losses.csv", 1000)
    found = replay(str(damaged), tracking_uri=uri)
    assert found.verdict == "TAMPERED"
    assert found.replay is not None
    run = client.get_run(found.replay)
    assert run.data.tags["reproven.verdict"] == "TAMPERED"
    assert "losses.csv has changed" in run.data.tags["mlflow.note.content"]
    assert not run.data.metrics  # nothing was trained


@pytest.fixture
def table(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(60, 3)), columns=["a", "b", "y"])
    frame.to_csv(tmp_path / "houses.csv", index=False)
    return tmp_path / "houses.csv"


def test_a_changed_row_of_data_is_the_first_cause(table: Path, uri: str) -> None:
    run = train(
        Recipe(data=str(table), target="y", epochs=2, batch_size=16), tracking_uri=uri, experiment="data"
    )
    assert replay(run.run_id, tracking_uri=uri).verdict == "IDENTICAL"
    frame = pd.read_csv(table)
    frame.iloc[17, 0] = 0.5
    frame.to_csv(table, index=False)
    found = replay(run.run_id, tracking_uri=uri)
    assert found.verdict == "DIVERGED"
    assert found.difference is not None
    assert found.difference["changes"][0]["name"] == "recipe.data_sha256"
    assert found.difference["first"]["step"] == 0
    assert "Possible causes, the first one first: recipe.data_sha256 is " in report(found)


def test_data_that_is_gone_is_inconclusive_until_it_is_found(table: Path, uri: str, tmp_path: Path) -> None:
    run = train(Recipe(data=str(table), target="y", epochs=1), tracking_uri=uri, experiment="data")
    moved = table.rename(tmp_path / "moved.csv")
    found = replay(run.run_id, tracking_uri=uri)
    assert (found.verdict, found.exit_code) == ("INCONCLUSIVE", 3)
    assert "The table houses.csv is gone" in report(found)
    assert replay(run.run_id, data=str(moved), tracking_uri=uri).verdict == "IDENTICAL"
    moved.write_text("y,a\n1,2\n")
    found = replay(run.run_id, data=str(moved), tracking_uri=uri)
    assert found.verdict == "INCONCLUSIVE"
    assert "training needs at least 2" in report(found)


def fake(bundle: Path, name: str, value: Any) -> None:
    """Another value in the environment record, hidden well."""

    def change(environment: dict[str, Any]) -> None:
        *outer, last = name.split(".")
        for key in outer:
            environment = environment[key]
        environment[last] = value

    edit(bundle / "environment.json", change)
    reseal(bundle)


@pytest.fixture
def nudged_bundle(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr(Prepared, "steps", nudged(3, "hidden1.weight", (0, 0)))
        run = train(QUICK, tracking_uri=uri, experiment="nudged")
    return export(run.run_id, tmp_path / "nudged", tracking_uri=uri)


def test_another_package_version_is_the_first_cause(
    bundle: Path, nudged_bundle: Path, uri: str, tmp_path: Path
) -> None:
    fake(nudged_bundle, "packages.numpy", "1.26.1")
    found = replay(str(nudged_bundle), tracking_uri=uri)
    assert found.verdict == "DIVERGED"
    assert found.difference is not None
    assert [change["name"] for change in found.difference["changes"]] == ["environment.packages.numpy"]
    assert found.difference["first"]["step"] == 3
    assert f"environment.packages.numpy is {np.__version__}, recorded was 1.26.1" in report(found)
    without_effect = copy(bundle, tmp_path / "without effect")
    fake(without_effect, "packages.numpy", "1.26.1")
    found = replay(str(without_effect), tracking_uri=uri)
    assert found.verdict == "IDENTICAL"
    assert "Other inputs, without effect: environment.packages.numpy" in report(found)


def test_another_torch_is_inconclusive(nudged_bundle: Path, uri: str) -> None:
    fake(nudged_bundle, "torch.version", "2.12.0+cpu")
    found = replay(str(nudged_bundle), tracking_uri=uri)
    assert found.verdict == "INCONCLUSIVE"
    assert found.reasons == (f"environment.torch.version is {torch.__version__}, recorded was 2.12.0+cpu",)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.mark.slow
def test_another_thread_count_in_native_is_the_first_cause(fresh_cli: Cli) -> None:
    rows = 70_000  # so many that torch splits the mean of their errors, on whatever CPU
    numbers = np.random.default_rng(0).random((rows, 3))
    np.savetxt("long.csv", numbers, delimiter=",", header="a,b,y", comments="")
    table = ("--data", "long.csv", "--target", "y", "--test-size", "0", "--batch-size", str(rows))
    arguments = (*table, "--profile", "native", "--hidden", "2", "--epochs", "3")
    run = answer(fresh_cli("train", *arguments, "--json", OMP_NUM_THREADS="2"))["run_id"]
    done = fresh_cli("replay", run, "--json")  # takes on the recorded threads
    assert answer(done)["replays"][0]["verdict"] == "IDENTICAL"
    done = fresh_cli("replay", run, "--json", OMP_NUM_THREADS="1")
    (found,) = answer(done)["replays"]
    assert (found["verdict"], done.returncode) == ("DIVERGED", 1)
    assert [change["name"] for change in found["difference"]["changes"]] == ["environment.torch.threads"]
    assert found["difference"]["first"]["step"] <= 1  # a mean of so many may be rounded to the same loss


@pytest.fixture(scope="module")
def mixed(uri: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Runs of the experiment of that name: in portable, in native and in portable arithmetic."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPROVEN_STATE", str(tmp_path_factory.mktemp("state")))
        patch.chdir(tmp_path_factory.mktemp("mixed"))
        for profile in ("portable", "native", "portable"):
            arguments = ("--profile", profile, "--epochs", "1", "--experiment", "mixed", "--json")
            done = programs.run(SOURCE, "train", *arguments, uri=uri)
            found.append(answer(done)["run_id"])
            assert done.returncode == 0, done.stderr
    return found


@pytest.mark.slow
def test_runs_of_both_profiles_are_replayed_by_one_command(mixed: list[str], fresh_cli: Cli) -> None:
    done = fresh_cli("replay", "--experiment", "mixed", "--json")
    assert [(v["verdict"], v["source"]) for v in answer(done)["replays"]] == [
        ("IDENTICAL", run) for run in mixed
    ]
    assert done.returncode == 0


def test_a_process_takes_on_what_a_native_run_had_and_leaves_the_user_s() -> None:
    code = (
        "import os; os.environ['OMP_NUM_THREADS'] = '3'\n"
        "from reproven.arithmetic import profiles as a\n"
        "had = {'torch': {'threads': 2}, 'variables': {'MKL_CBWR': 'AVX2'}}\n"
        "a.take_on({'profile': 'native', **had})\n"
        "print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_CBWR'])\n"
        "found = a.users_environment()\n"
        "assert found['OMP_NUM_THREADS'] == '3' and 'MKL_CBWR' not in found\n"
        "a.take_on({'profile': 'portable', **had})\n"
        "assert 'MKL_CBWR' not in os.environ and os.environ['OMP_NUM_THREADS'] == '3'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=USER, capture_output=True, text=True, check=True)
    assert done.stdout == "3 AVX2\n"


@pytest.mark.slow
def test_a_run_is_replayed_in_a_process_that_has_imported_torch(cli: Cli, uri: str) -> None:
    run = answer(cli("train", "--epochs", "2", "--json"))["run_id"]
    found = replay(run, tracking_uri=uri)
    assert found.verdict == "IDENTICAL", report(found)
    done = cli("replay", run)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("IDENTICAL: module-sgd-")
    assert lines[1].startswith("  Equal to the bit: losses (8)")


def test_all_runs_of_an_experiment_are_replayed_and_the_worst_decides(
    uri: str, client: MlflowClient, cli: Cli
) -> None:
    name = "several"
    runs = [train(Recipe(epochs=1, seed=seed), tracking_uri=uri, experiment=name) for seed in (1, 2)]
    found = list(replays(experiment=name, tracking_uri=uri))
    assert [(v.verdict, v.source) for v in found] == [("IDENTICAL", run.run_id) for run in runs]
    client.set_tag(runs[0].run_id, "reproven.seal", "0" * 64)
    ended = client.create_run(
        client.get_experiment_by_name(name).experiment_id, tags={"reproven.recipe.sha256": "0"}
    )
    client.set_terminated(ended.info.run_id, "FINISHED")
    done = cli("replay", "--experiment", name, "--json")  # replays are not replayed
    assert [v["verdict"] for v in answer(done)["replays"]] == ["TAMPERED", "IDENTICAL", "INCONCLUSIVE"]
    assert done.returncode == 4


def test_one_run_alone_is_no_list_of_characters() -> None:
    with pytest.raises(InvalidInput, match="run is 'abc', but must be a run id"):
        next(replays("abc"))
    number: Any = 3
    with pytest.raises(InvalidInput, match=r"runs is \[3\], but must be a str, or a list of some"):
        replay(number)


@pytest.mark.slow
def test_a_dirty_tree_is_the_first_cause(tmp_path: Path) -> None:
    """A clone whose training is edited and not committed, trains; the clean clone replays."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--local", str(ROOT), str(clone)], check=True)
    shutil.copytree(ROOT / "src", clone / "src", dirs_exist_ok=True)
    commit = [
        "git",
        "-C",
        str(clone),
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t.t",
        "commit",
        "-qam",
        "as here",
    ]
    subprocess.run([*commit, "--allow-empty"], check=True)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return programs.run(clone / "src", *arguments, "--json", env=USER, cwd=tmp_path)

    edit_losses(clone)
    trained = answer(run("train", "--epochs", "2"))
    subprocess.run(["git", "-C", str(clone), "checkout", "-q", "."], check=True)
    done = run("replay", trained["run_id"])
    (found,) = answer(done)["replays"]
    assert (found["verdict"], done.returncode) == ("DIVERGED", 1), found["reasons"]
    names = [change["name"] for change in found["difference"]["changes"]]
    assert names == ["code.patch_sha256", "code.source_sha256"]
    first = found["difference"]["first"]
    assert (first["what"], first["step"]) == ("loss", 0)
    assert first["recorded"] == pytest.approx(1.5 * first["found"])


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("nonsense", InvalidInput, "run is 'nonsense', but must be a run id"),
        ("0" * 32, StoreError, "Cannot find the run 0000"),
        (".", RecordError, "a folder without manifest.json, so it is no bundle"),
    ],
)
def test_what_is_no_record_is_refused(source: str, error: type[Exception], message: str, uri: str) -> None:
    with pytest.raises(error, match=message):
        replay(source, tracking_uri=uri)


def test_a_run_that_has_not_ended_is_refused(uri: str, client: MlflowClient) -> None:
    running = client.create_run("0")
    with pytest.raises(RecordError, match="has no sealed record"):
        replay(running.info.run_id, tracking_uri=uri)
    client.set_terminated(running.info.run_id, "KILLED")


def test_bad_options_are_told_all_at_once(cli: Cli) -> None:
    done = cli("replay", "--env-manager", "conda", "--data", " ")
    assert done.returncode == 2
    assert done.stderr.count("Error: ") == 3
    assert "run is not given" in done.stderr
    with pytest.raises(InvalidInput, match="env_manager is 'conda'"):
        replay("x", env_manager="conda")


def test_an_imported_run_is_replayed_like_the_original(bundle: Path, uri: str) -> None:
    run_id = import_(bundle, experiment="imported", tracking_uri=uri)
    assert replay(run_id, tracking_uri=uri).verdict == "IDENTICAL"


def test_a_store_that_was_copied_without_its_old_place_is_inconclusive(
    own: str, tmp_path: Path, cli: Cli
) -> None:
    run = train(Recipe(epochs=1), tracking_uri=own, experiment="moved").run_id
    kept = Path(Store(own).place_of(run))
    moved = f"sqlite:///{shutil.copy(own.removeprefix('sqlite:///'), tmp_path / 'copy.db')}"
    there = Path(shutil.move(tmp_path / "mlruns", tmp_path / "elsewhere"))
    found = replay(run, tracking_uri=moved)
    assert (found.verdict, found.exit_code, found.replay) == ("INCONCLUSIVE", 3, None)
    assert found.reasons[0].startswith(f"The files of the run {run} are not at {kept}, where its store says")
    for command in ("audit", "export"):
        done = cli(command, run, *(["new"] if command == "export" else []), MLFLOW_TRACKING_URI=moved)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"Error: {found.reasons[0]}\n" == done.stderr
    assert not kept.parent.exists()
    assert len(list(Store(moved).search("moved", ""))) == 1
    lies_now = there / kept.relative_to(tmp_path / "mlruns")
    assert replay(str(lies_now), tracking_uri=moved).verdict == "IDENTICAL"
