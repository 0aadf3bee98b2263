"""Who vouches for what: every row of its page is changed, and gets the promised answer."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput
from mlflow.tracking._tracking_service.utils import _use_tracking_uri

from conftest import ROOT, store_in
from forging import copy, edit, forge_recipe, reseal, sql
from reproven import Recipe, Trained, audit, export, import_, replay, seal, train
from reproven.files import manifest
from reproven.files.models import read_torch, write_torch
from reproven.networks import Regressor
from reproven.store.registry import Registry
from reproven.store.store import Store

ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$",
    (ROOT / "docs" / "explanation" / "vouching.md").read_text(),
    re.M,
)[1:]
ANSWERS = {(where, what): answer for where, what, answer in ROWS}
AUDIT, REPLAY, SEAL, NOTE, NOT_OURS = "audit", "replay", "seal", "note", "not ours"


@pytest.fixture(scope="module")
def uri(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of this file's own: datasets are changed in it, which older MLflows share among experiments."""
    return store_in(tmp_path_factory.mktemp("vouching"), empty_store)


@pytest.fixture(scope="module")
def six(uri: str) -> Trained:
    """A run with histograms in the middle, registered."""
    recipe = Recipe(epochs=4)
    options: Any = {"register_model": "vouched", "histogram_every": 1}
    return train(recipe, tracking_uri=uri, experiment="vouching", **options)


@pytest.fixture(scope="module")
def six_bundle(six: Trained, uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(six.run_id, tmp_path_factory.mktemp("vouching") / "bundle", tracking_uri=uri)


def within(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """A change of a JSON file."""
    return lambda bundle: edit(bundle / name, change)


def replaced(bundle: Path, name: str, pattern: str, new: str | Callable[[re.Match[str]], str]) -> None:
    text, count = re.subn(pattern, new, (bundle / name).read_text(), count=1, flags=re.M)
    assert count == 1, (name, pattern)
    (bundle / name).write_text(text)


def a_loss(bundle: Path, *, everywhere: bool) -> None:
    bits = struct.pack(">f", 5.0).hex()
    replaced(bundle, "losses.csv", r"^(7,\d+,\d+),.*$", rf"\1,5.0,{bits}")
    if everywhere:
        replaced(bundle, "metrics.csv", r"^train_loss,7,(\d+),.*$", r"train_loss,7,\1,5.0")


def renamed(path: Path) -> None:
    """Another name of a feature, in a saved model."""
    regressor = read_torch(path)
    assert isinstance(regressor, Regressor)
    regressor.features = ("OTHER", *regressor.features[1:])
    write_torch(path, regressor)


def a_weight(bundle: Path) -> None:
    regressor = read_torch(bundle / "model.pth")
    assert isinstance(regressor, Regressor)
    regressor.get_parameter("network.hidden1.weight").data[0, 0] += 1
    write_torch(bundle / "model.pth", regressor)


def gone(*names: str) -> Callable[[Path], None]:
    def take(bundle: Path) -> None:
        for name in names:
            (bundle / name).unlink()

    return take


def swap(one: Path, other: Path) -> None:
    contents = one.read_bytes(), other.read_bytes()
    assert contents[0] != contents[1]
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])


def two_images(bundle: Path) -> None:
    first, last = (next((bundle / "images").glob(f"weights+step+{n}+*.png")) for n in (0, 4))
    swap(first, last)


def split(bundle: Path) -> None:
    edit(bundle / "inputs.json", lambda v: v.update(split_sha256="0" * 64))
    edit(bundle / "run.json", lambda v: v["tags"].update({"reproven.split.sha256": "0" * 64}))


def commit(bundle: Path) -> None:
    edit(bundle / "inputs.json", lambda v: v["code"].update(commit="0" * 40))
    edit(bundle / "run.json", lambda v: v["tags"].update({"mlflow.source.git.commit": "0" * 40}))


def last_error(bundle: Path) -> None:
    edit(bundle / "outcome.json", lambda v: v["errors"].update(test_rmse=1.5))
    replaced(bundle, "metrics.csv", r"^test_rmse,4,(\d+),.*$", r"test_rmse,4,\1,1.5")


def a_digest_of_the_manifest(bundle: Path) -> None:
    def other(listed: dict[str, Any]) -> None:
        listed["files"]["losses.csv"]["sha256"] = "0" * 64

    edit(bundle / "manifest.json", other)


def first(values: dict[str, str]) -> str:
    return next(iter(values))


#: What is changed in a bundle; its manifest is then made to fit.
FILES: Mapping[tuple[str, str], Callable[[Path], Any]] = {
    ("recipe.json", "the learning rate, in digests, params and tags too"): lambda b: forge_recipe(
        b, lr=0.002
    ),
    ("recipe.json", "the learning rate, in this file alone"): within(
        "recipe.json", lambda v: v.update(lr=0.002)
    ),
    ("inputs.json", "the digest of the split, and its tag"): split,
    ("inputs.json", "the digest of an initial tensor"): within(
        "inputs.json", lambda v: v["initial_weights"].update({first(v["initial_weights"]): "0" * 64})
    ),
    ("inputs.json", "the digest of the standardisation"): within(
        "inputs.json", lambda v: v["standardisation"].update(mean="0" * 64)
    ),
    ("inputs.json", "the commit, and its tag"): commit,
    ("inputs.json", "the commit alone"): within("inputs.json", lambda v: v["code"].update(commit="0" * 40)),
    ("environment.json", "the CPU"): within("environment.json", lambda v: v.update(cpu="another")),
    ("environment.json", "the profile"): within("environment.json", lambda v: v.update(profile="native")),
    ("losses.csv", "a loss, and its metric"): lambda b: a_loss(b, everywhere=True),
    ("losses.csv", "a loss alone"): lambda b: a_loss(b, everywhere=False),
    ("weights.csv", "a digest in the middle"): lambda b: replaced(
        b, "weights.csv", r"^7,[0-9a-f]{16}", "7,0000000000000000"
    ),
    ("outcome.json", "the digest after an epoch"): within(
        "outcome.json", lambda v: v["epoch_weights"].__setitem__(1, "0" * 64)
    ),
    ("outcome.json", "a digest of the predictions"): within(
        "outcome.json", lambda v: v["predictions"].update(test="0" * 64)
    ),
    ("outcome.json", "the last error, and its metric"): last_error,
    ("outcome.json", "a final tensor's digest"): within(
        "outcome.json", lambda v: v["final_weights"].update({first(v["final_weights"]): "0" * 64})
    ),
    ("metrics.csv", "an error in the middle"): lambda b: replaced(
        b, "metrics.csv", r"^test_r2,2,(\d+),.*$", r"test_r2,2,\1,0.5"
    ),
    ("metrics.csv", "a metric more"): lambda b: replaced(
        b, "metrics.csv", r"^test_r2,2,(\d+),.*$", r"\g<0>\nscore,2,\1,0.5"
    ),
    ("metrics.csv", "a time"): lambda b: replaced(
        b, "metrics.csv", r"^test_r2,2,\d+,", "test_r2,2,1600000000000,"
    ),
    ("histograms.json", "a count"): within(
        "histograms.json", lambda v: v["2"][first(v["2"])]["counts"].__setitem__(0, 77)
    ),
    ("histograms.json", "a moment in the middle taken out"): within("histograms.json", lambda v: v.pop("2")),
    ("histograms.json", "the file taken out"): gone("histograms.json"),
    ("standardisation.json", "a feature's name"): within(
        "standardisation.json", lambda v: v["features"].__setitem__(0, "OTHER")
    ),
    ("standardisation.json", "a mean"): within(
        "standardisation.json", lambda v: v["mean"].__setitem__(0, 0.5)
    ),
    ("model.pth", "a feature's name"): lambda b: renamed(b / "model.pth"),
    ("model.pth", "a weight"): a_weight,
    ("model.pth", "the file taken out"): gone("model.pth"),
    ("model.pth", "both forms taken out"): gone("model.pth", "state_dict.pth"),
    ("state_dict.pth", "the file taken out"): gone("state_dict.pth"),
    ("figures", "two swapped"): lambda b: swap(b / "figures/train_loss.png", b / "figures/weights.png"),
    ("images", "two swapped"): two_images,
    ("run.json", "a param"): within("run.json", lambda v: v["params"].update(momentum="0.5")),
    ("run.json", "the status"): within("run.json", lambda v: v.update(status="FAILED")),
    ("run.json", "a dataset input's digest"): within(
        "run.json", lambda v: v["datasets"][0].update(digest="0" * 36)
    ),
    ("run.json", "the name"): within("run.json", lambda v: v.update(name="another")),
    ("run.json", "the times"): within("run.json", lambda v: v.update(start_time=5, end_time=6)),
    ("run.json", "the page's text"): within("run.json", lambda v: v.update(description="The best of all.")),
    ("manifest.json", "a digest"): a_digest_of_the_manifest,
}


def in_default(where: str, what: str) -> bool:
    """Whether no change before it to the same file is answered alike; what audit finds takes no time."""
    answer = ANSWERS[where, what]
    alike = [name for file, name in FILES if file == where and ANSWERS[file, name] == answer]
    return answer == AUDIT or what == alike[0]


@pytest.mark.parametrize(
    ("where", "what"),
    [pytest.param(*each, marks=() if in_default(*each) else pytest.mark.slow) for each in FILES],
)
def test_a_forged_record_is_found_by_whoever_vouches(
    where: str, what: str, six_bundle: Path, uri: str, tmp_path: Path
) -> None:
    answer = ANSWERS[where, what]
    forged = copy(six_bundle, tmp_path / "forged")
    FILES[where, what](forged)
    if where != "manifest.json":
        reseal(forged)
    found = audit(str(forged))
    if answer == AUDIT:
        assert found.findings
        return
    assert found.findings == ()
    assert audit(str(forged), seal=seal(str(six_bundle))).findings
    told = replay(str(forged), tracking_uri=uri)
    assert told.verdict == ("DIVERGED" if answer == REPLAY else "IDENTICAL"), told


class Stored:
    """A run in the store, to be changed behind its back or by MLflow's own means."""

    def __init__(self, run: str, uri: str) -> None:
        self.run, self.uri, self.client = run, uri, MlflowClient(tracking_uri=uri)

    def sql(self, statement: str, *values: Any) -> None:
        sql(self.uri, statement, *values, self.run)

    @property
    def model(self) -> str:
        (output,) = self.client.get_run(self.run).outputs.model_outputs
        return str(output.model_id)

    @property
    def folder(self) -> Path:
        place = self.client.get_logged_model(self.model).artifact_location
        return Path(place.removeprefix("file://"))

    def seal_model_again(self) -> None:
        reseal(self.folder)
        digest = manifest.file_sha256(self.folder / "manifest.json")
        self.client.set_logged_model_tags(self.model, {"reproven.seal": digest})

    def of_version(self, column: str, value: str) -> None:
        self.register()
        sql(self.uri, f"UPDATE model_versions SET {column} = ? WHERE name = ?", value, f"of {self.run}")

    def register(self) -> str:
        return Registry(Store(self.uri)).register(self.run, f"models:/{self.model}", f"of {self.run}")

    def tag_version(self, name: str, value: str) -> None:
        self.client.set_model_version_tag(f"of {self.run}", self.register(), name, value)


def a_verdict_by_another_run(at: Stored) -> None:
    other = at.client.create_run(at.client.get_run(at.run).info.experiment_id).info.run_id
    at.client.set_tag(other, "reproven.verdict", "IDENTICAL")
    at.client.set_tag(at.run, f"reproven.replayed.{other}", "IDENTICAL")
    at.client.set_tag(at.run, "reproven.verdict", "IDENTICAL")
    at.client.set_terminated(other)


def a_metric_by_mlflow_s_idiom(at: Stored) -> None:
    with _use_tracking_uri(at.uri), mlflow.start_run(run_id=at.run):
        mlflow.log_metric("my_score", 1.0)


def opened_again(at: Stored) -> None:
    with _use_tracking_uri(at.uri), mlflow.start_run(run_id=at.run):
        assert NOTE in told_of(at)  # while it is open, too


def code_of_the_model(at: Stored) -> None:
    loader = at.folder / "code" / "reproven" / "serving.py"
    loader.write_text(loader.read_text() + "\nimport os\n")


def loader_of_the_model(at: Stored) -> None:
    text = (at.folder / "MLmodel").read_text()
    assert "loader_module: reproven.serving" in text
    (at.folder / "MLmodel").write_text(text.replace("reproven.serving", "reproven.predicting"))


def another_model(at: Stored) -> str:
    """One of another run."""
    found = at.client.get_experiment_by_name("vouching")
    (run,) = at.client.search_runs([found.experiment_id], "tags.`reproven.seal` LIKE '%'")
    (output,) = run.outputs.model_outputs
    return str(output.model_id)


def in_table(where: str, column: str, value: Any, more: str = "") -> Callable[[Stored], None]:
    return lambda at: at.sql(f"UPDATE {where} SET {column} = {value!r} WHERE run_uuid = ?{more}")


def out_of(where: str, more: str = "", key: str = "run_uuid") -> Callable[[Stored], None]:
    return lambda at: at.sql(f"DELETE FROM {where} WHERE {key} = ?{more}")


def tagged(name: str, value: str) -> Callable[[Stored], None]:
    return lambda at: at.client.set_tag(at.run, name, value)


def sealed_again(change: Callable[[Stored], None]) -> Callable[[Stored], None]:
    def changed(at: Stored) -> None:
        change(at)
        at.seal_model_again()

    return changed


def written(path: str) -> Callable[[Stored], Any]:
    return lambda at: (at.folder / path).write_text("import os\n")


_HERE = " AND key = 'test_r2' AND step = 2"

STORE: Mapping[tuple[str, str], Callable[[Stored], Any]] = {
    ("files", "one more"): lambda at: at.client.log_text(at.run, "text", "thoughts.txt"),
    ("param", "another value"): in_table("params", "value", "0.5", " AND key = 'lr'"),
    ("param", "taken out"): out_of("params", " AND key = 'seed'"),
    ("param", "one more"): lambda at: at.client.log_param(at.run, "mine", 1),
    ("tag", "the table's digest"): tagged("reproven.data.sha256", "0" * 64),
    ("tag", "a user's own"): tagged("reviewed", "yes"),
    ("tag", "`reproven.pruned`, faked"): tagged("reproven.pruned", "hopeless"),
    ("tag", "`reproven.best_epoch`, faked"): tagged("reproven.best_epoch", "1"),
    ("tag", "`reproven.replay.of`, faked"): tagged("reproven.replay.of", "0" * 32),
    ("tag", "`reproven.verdict`, faked"): tagged("reproven.verdict", "IDENTICAL"),
    (
        "tag",
        "`reproven.verdict` and `reproven.replayed.…`, faked on both runs by another run that is no replay",
    ): a_verdict_by_another_run,
    ("tag", "`reproven.replayed.…` of a replay that is gone"): tagged(
        f"reproven.replayed.{'0' * 32}", "IDENTICAL"
    ),
    ("page", "the text"): tagged("mlflow.note.content", "A better text."),
    ("page", "the name"): lambda at: at.client.update_run(at.run, name="renamed"),
    ("metric", "a value in the middle"): in_table("metrics", "value", 0.5, _HERE),
    ("metric", "a value taken out"): out_of("metrics", _HERE),
    ("metric", "a value more of one of the record's"): lambda at: at.client.log_metric(
        at.run, "test_r2", 1.0, step=9
    ),
    ("metric", "a time"): in_table("metrics", "timestamp", 5, _HERE),
    ("metric", "the last value as lists and searches show it"): in_table(
        "latest_metrics", "value", 1.0, " AND key = 'test_rmse'"
    ),
    ("metric", "one more, by `mlflow.start_run(run_id=…)`"): a_metric_by_mlflow_s_idiom,
    ("dataset input", "its digest"): lambda at: at.sql(
        "UPDATE datasets SET digest = 'another' WHERE dataset_uuid = "
        "(SELECT MIN(source_id) FROM inputs WHERE source_type = 'DATASET' AND destination_id = ?)"
    ),
    ("dataset input", "taken out"): lambda at: at.sql(
        "DELETE FROM inputs WHERE input_uuid = (SELECT MIN(input_uuid) FROM inputs WHERE destination_id = ?)"
    ),
    ("dataset input", "one more"): lambda at: at.client.log_inputs(
        at.run, [DatasetInput(Dataset("mine", "1234", "local", "{}"), [])]
    ),
    ("run", "its status"): in_table("runs", "status", "FAILED"),
    ("run", "its start"): in_table("runs", "start_time", 5),
    ("run", "an earlier end"): in_table("runs", "end_time", 5),
    ("run", "opened again"): opened_again,
    ("logged model", "taken from the run's outputs"): out_of(
        "inputs", " AND destination_type = 'MODEL_OUTPUT'", key="source_id"
    ),
    ("logged model", "its status"): lambda at: sql(
        at.uri, "UPDATE logged_models SET status = 3 WHERE model_id = ?", at.model
    ),
    ("logged model", "the run that it comes from"): lambda at: sql(
        at.uri, "UPDATE logged_models SET source_run_id = ? WHERE model_id = ?", "0" * 32, at.model
    ),
    ("logged model", "a metric"): lambda at: sql(
        at.uri,
        "UPDATE logged_model_metrics SET metric_value = 1.0 WHERE metric_name = 'test_rmse' AND model_id = ?",
        at.model,
    ),
    ("logged model", "a param"): lambda at: sql(
        at.uri,
        "UPDATE logged_model_params SET param_value = '0.5' WHERE param_key = 'lr' AND model_id = ?",
        at.model,
    ),
    ("logged model", "its code"): code_of_the_model,
    ("logged model", "its code, sealed again"): sealed_again(code_of_the_model),
    ("logged model", "its loader, sealed again"): sealed_again(loader_of_the_model),
    ("logged model", "a feature's name in its weights' file, sealed again"): sealed_again(
        lambda at: renamed(at.folder / "data" / "model.pth")
    ),
    ("logged model", "a file more in code"): written("code/reproven/more.py"),
    ("logged model", "a file more in data"): written("data/more.py"),
    ("registered version", "its source"): lambda at: at.of_version("source", f"models:/{another_model(at)}"),
    ("registered version", "its run"): lambda at: at.of_version("run_id", "0" * 32),
    ("registered version", "its storage location"): lambda at: at.of_version(
        "storage_location", "/elsewhere"
    ),
    ("registered version", "`reproven.seal`, faked"): lambda at: at.tag_version("reproven.seal", "0" * 64),
    ("registered version", "`reproven.verdict`, faked"): lambda at: at.tag_version(
        "reproven.verdict", "IDENTICAL"
    ),
    ("registered version", "an alias"): lambda at: at.client.set_registered_model_alias(
        f"of {at.run}", "mine", at.register()
    ),
}


#: Of what audit says, what replay makes of it; for all of a kind alike.
REPLAYED = {
    "the last value as lists and searches show it": "TAMPERED",
    "one more, by `mlflow.start_run(run_id=…)`": "IDENTICAL",
}


def told_of(at: Stored) -> str:
    """What an audit of a run comes to."""
    found = audit(at.run, tracking_uri=at.uri)
    return AUDIT if found.findings else NOTE if found.notes else NOT_OURS


@pytest.fixture
def stored(six_bundle: Path, uri: str) -> Stored:
    return Stored(import_(six_bundle, experiment="vouched for", tracking_uri=uri, again=True), uri)


def test_of_a_run_that_nobody_changed_nothing_is_told(stored: Stored) -> None:
    assert told_of(stored) == NOT_OURS
    assert replay(stored.run, tracking_uri=stored.uri).verdict == "IDENTICAL"


@pytest.mark.parametrize(("where", "what"), list(STORE))
def test_what_is_changed_in_a_store_is_told_as_promised(where: str, what: str, stored: Stored) -> None:
    answer = ANSWERS[where, what]
    STORE[where, what](stored)
    if answer == REPLAY:
        assert told_of(stored) == NOT_OURS
        assert replay(stored.run, tracking_uri=stored.uri).verdict == "DIVERGED"
        return
    assert told_of(stored) == answer, audit(stored.run, tracking_uri=stored.uri)
    if what in REPLAYED:
        assert replay(stored.run, tracking_uri=stored.uri).verdict == REPLAYED[what]


def test_every_row_is_walked() -> None:
    assert {(where, what) for where, what, _ in ROWS} == FILES.keys() | STORE.keys()
    assert {answer for *_, answer in ROWS} == {AUDIT, REPLAY, SEAL, NOTE, NOT_OURS}
