"""The words of an audit, each to the letter: of a shipped record, as a folder and as a run in a store."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _use_tracking_uri

from conftest import ROOT, store_in
from forging import copy, edit, forge_recipe, reseal, sql
from recording import record
from reproven import Audit, Recipe, audit, import_, seal
from reproven.errors import DataError, InvalidInput, RecordError
from reproven.files import manifest
from reproven.files.manifest import Manifest
from reproven.files.models import read_torch, write_torch
from reproven.networks import Regressor
from reproven.proof.audit import look, place_of_table
from reproven.proof.evidence import Evidence
from reproven.store.registry import Registry
from reproven.store.store import Store
from reproven.tables import data

SHIPPED = ROOT / "src" / "reproven" / "reference" / "adam-layer-rates"
SHOWN = Evidence("", SHIPPED, None).snapshot
TRUE = manifest.file_sha256(SHIPPED / "manifest.json")
OTHER = "0" * 64
FILES, TABLE = "20 files with their tensors", "the table"
SHOWS = ("19 params, 10 tags, status and times", "1 dataset inputs", "210 values of 4 metrics")


class Stored:
    """A run in a store of its own."""

    def __init__(self, run: str, uri: str) -> None:
        self.run, self.uri, self.client = run, uri, MlflowClient(tracking_uri=uri)
        (output,) = self.client.get_run(run).outputs.model_outputs
        self.model, self.source = output.model_id, f"models:/{output.model_id}"
        entry = self.client.get_logged_model(self.model)
        self.place = entry.artifact_location.removeprefix("file://")

    def sql(self, statement: str, *values: Any) -> None:
        sql(self.uri, statement, *values)

    def register(self, name: str) -> None:
        Registry(Store(self.uri)).register(self.run, self.source, name)

    def moved(self, folder: Path) -> Path:
        """A copy of the model's files, at which it lies from now on."""
        self.sql("UPDATE logged_models SET artifact_location = ? WHERE model_id = ?", str(folder), self.model)
        return copy(Path(self.place), folder)

    def audit(self) -> Audit:
        return audit(self.run, tracking_uri=self.uri)


@pytest.fixture(scope="module")
def kept(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The shipped record in a store, to be looked at."""
    uri = store_in(tmp_path_factory.mktemp("audited"), empty_store)
    return Stored(import_(SHIPPED, experiment="Default", tracking_uri=uri), uri)


@pytest.fixture
def at(kept: Stored, tmp_path: Path) -> Stored:
    """A copy of that store, to be changed; its files are the same."""
    path = shutil.copy(kept.uri.removeprefix("sqlite:///"), tmp_path / "copy.db")
    return Stored(kept.run, f"sqlite:///{path}")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The shipped record, to be damaged."""
    return copy(SHIPPED, tmp_path / "own")


def test_a_sound_run_is_told_with_all_that_was_looked_at(at: Stored) -> None:
    at.register("boston (small)")
    with _use_tracking_uri(at.uri):
        at.client.copy_model_version("models:/boston (small)/1", "copied (too)")
    assert at.audit() == Audit(
        run=at.run,
        source=at.run,
        seal=TRUE,
        findings=(),
        notes=(),
        checked=(
            FILES,
            *SHOWS,
            "the logged model",
            "the registered model boston (small), version 1",
            "the registered model copied (too), version 1",
            TABLE,
        ),
    )


def test_a_bundle_is_told_by_the_run_that_it_was(own: Path) -> None:
    (own / "thoughts.txt").touch()
    (own / "more.txt").touch()
    assert audit(str(own), seal=TRUE) == Audit(
        run=SHOWN.run_id,
        source=str(own),
        seal=TRUE,
        findings=(),
        notes=("Not part of the record, and added since: more.txt, thoughts.txt.",),
        checked=("the seal", FILES, TABLE),
    )


def test_a_bundle_that_does_not_say_which_run_it_was_is_told_by_its_folder(own: Path) -> None:
    (own / "run.json").unlink()
    assert audit(str(own)).run == str(own)


def test_another_seal_is_a_finding_and_no_table_is_looked_at_for_a_replay() -> None:
    found = Evidence("", SHIPPED, None)
    told = look(found, None, seal=OTHER, whole=False)
    assert told.findings == (f"The seal is {TRUE}, but {OTHER} was given: the record is another.",)
    assert told.checked == ("the seal", FILES)
    assert look(found, None).checked == (FILES, TABLE)


def test_without_a_manifest_that_can_be_read_there_is_no_seal(own: Path) -> None:
    (own / "manifest.json").write_text("{}")
    (own / "recipe.json").unlink()
    why = "manifest.json is not a manifest: KeyError('format')."
    assert audit(str(own), seal=OTHER) == Audit(
        run=SHOWN.run_id,
        source=str(own),
        seal=None,
        findings=(why,),
        notes=(),
        checked=("0 files with their tensors",),
    )
    with pytest.raises(RecordError, match=re.escape(why)):
        seal(str(own))


def test_what_contradicts_itself_has_no_seal_and_all_reasons_are_told(own: Path, at: Stored) -> None:
    assert seal(str(own)) == seal(at.run, tracking_uri=at.uri) == TRUE
    for name in ("losses.csv", "weights.csv"):
        (own / name).unlink()
    with pytest.raises(RecordError) as caught:
        seal(str(own))
    assert str(caught.value) == (
        f"{own} is not sealed, since its record is not whole: losses.csv is missing. weights.csv is missing. "
        "losses.csv is not there."
    )


def test_a_run_whose_record_cannot_be_read_is_looked_at_as_far_as_it_goes(at: Stored, own: Path) -> None:
    (own / "losses.csv").unlink()
    at.sql("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", str(own), at.run)
    at.sql("UPDATE logged_model_params SET param_value = '7' WHERE param_key = 'lr'")
    at.register("boston")
    at.client.set_model_version_tag("boston", "1", "reproven.seal", TRUE)
    models = ("the logged model", "the registered model boston, version 1")
    found = at.audit()
    assert found.findings == ("losses.csv is missing.", "losses.csv is not there.")
    assert found.checked == (FILES, *SHOWS, *models)
    (own / "manifest.json").unlink()
    assert at.audit() == Audit(
        run=at.run,
        source=at.run,
        seal=None,
        findings=("manifest.json is not there.",),
        notes=(),
        checked=("0 files with their tensors", *SHOWS, *models),
    )


def test_a_logged_model_that_the_outputs_do_not_name_is_missed(at: Stored, own: Path) -> None:
    at.sql("DELETE FROM inputs WHERE source_id = ? AND destination_type = 'MODEL_OUTPUT'", at.run)
    assert at.audit().findings == ("The run's outputs name no logged model; its record has model.pth.",)
    at.sql("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", str(own), at.run)
    (own / "model.pth").unlink()
    reseal(own)
    assert not any("outputs" in finding for finding in at.audit().findings)


def test_what_a_store_says_of_a_logged_model_is_held_against_the_record(at: Stored) -> None:
    of = "WHERE model_id = ?"
    at.client.log_metric(at.run, "mine", 1.0, model_id=at.model)
    at.sql(f"UPDATE logged_models SET status = 3, source_run_id = ? {of}", OTHER[:32], at.model)
    at.sql(f"UPDATE logged_model_params SET param_value = '7' {of} AND param_key = 'lr'", at.model)
    at.sql(f"UPDATE logged_model_metrics SET metric_value = 1.0 {of} AND metric_name = 'train_mae'", at.model)
    what = f"The logged model ({at.source}): it"
    assert at.audit().findings == (
        f"{what} says that it comes from the run {OTHER[:32]}.",
        f"{what}s status is FAILED, but it was logged whole (READY).",
        f"The logged model ({at.source}): The param lr is 7, but the recipe says 0.01.",
        f"{what}s metric train_mae is 1.0, but the record says 18.479163122742545.",
    )


def test_a_logged_model_without_params_is_sound(at: Stored) -> None:
    with_params = at.client.get_logged_model(at.model)
    for name in with_params.params:
        at.sql("DELETE FROM logged_model_params WHERE param_key = ? AND model_id = ?", name, at.model)
    assert at.audit().findings == ()


def test_what_a_registry_says_of_a_version_is_held_against_the_record(at: Stored) -> None:
    at.register("boston")
    what = f"The registered model boston, version 1 ({at.source}): it"
    for name, value in {"reproven.seal": OTHER, "reproven.verdict": "IDENTICAL"}.items():
        at.client.set_model_version_tag("boston", "1", name, value)
    at.sql("UPDATE model_versions SET run_id = ?, storage_location = '/elsewhere'", OTHER[:32])
    at.client.set_tag(at.run, f"reproven.replayed.{OTHER[:32]}", "DIVERGED")
    at.client.set_tag(at.run, "reviewed", "IDENTICAL")
    assert at.audit().findings == (
        f"{what} says that it comes from the run {OTHER[:32]}.",
        f"{what} is loaded from /elsewhere, but the model lies in {at.place}.",
        f"{what}s tag reproven.seal is {OTHER}, but the record's seal is {TRUE}.",
        f"{what}s tag reproven.verdict is IDENTICAL, but no replay that the run names says so.",
    )
    at.sql("UPDATE model_versions SET run_id = ?, storage_location = ?", at.run, at.place)
    for name, value in {"reproven.seal": TRUE, "reproven.verdict": "DIVERGED"}.items():
        at.client.set_model_version_tag("boston", "1", name, value)
    assert at.audit().findings == ()


@pytest.mark.parametrize("source", ["models:/m-0", "models:/boston/1", "models:/boston/1/2"])
def test_a_version_of_no_model_of_the_run_is_named(source: str, at: Stored) -> None:
    at.register("boston")
    place = at.place if source == "models:/m-0" else "/elsewhere"
    at.sql("UPDATE model_versions SET source = ?, storage_location = ?", source, place)
    words, *errors = at.audit().findings
    what = f"The registered model boston, version 1 ({source}):"
    assert words == f"{what} its source is no model that the run logged."
    assert len(errors) == 1
    assert errors[0].startswith(f"{what} Cannot find the files of {source}")


def test_a_file_of_a_logged_model_that_is_another_is_named(at: Stored, tmp_path: Path) -> None:
    folder = at.moved(tmp_path / "model")
    (folder / "registered_model_meta").touch()  # MLflow's own
    at.register("boston")
    assert at.audit().findings == ()
    for name in ("more.py", "other.py"):
        (folder / "code" / name).touch()
    (folder / "conda.yaml").unlink()
    regressor = read_torch(folder / "data" / "model.pth")
    assert isinstance(regressor, Regressor)
    regressor.mean[0] += 1
    write_torch(folder / "data" / "model.pth", regressor)
    files = Manifest.read((folder / "manifest.json").read_text()).files
    held = manifest.take(folder).files["data/model.pth"]
    manifest.write(folder, Manifest({**files, "data/model.pth": held}))
    has, said = manifest.file_sha256(folder / "manifest.json"), Registry(Store(at.uri)).seal(at.source)
    assert at.audit().findings == tuple(
        f"{what} ({at.source}): {problem}"
        for what in ("The logged model", "The registered model boston, version 1")
        for problem in (
            "conda.yaml is missing.",
            "it holds files that were not logged: code/more.py, code/other.py.",
            f"manifest.json has the digest {has}, but its tag says {said}.",
            "data/model.pth holds another tensor mean than the record.",
        )
    )


def test_a_logged_model_without_weights_or_manifest_is_named(at: Stored, tmp_path: Path) -> None:
    folder, what = at.moved(tmp_path / "model"), f"The logged model ({at.source}):"
    (folder / "data" / "model.pth").unlink()
    reseal(folder)
    seals = {"reproven.seal": manifest.file_sha256(folder / "manifest.json")}
    at.client.set_logged_model_tags(at.model, seals)
    assert at.audit().findings == (f"{what} manifest.json lists no data/model.pth.",)
    (folder / "manifest.json").write_text("{}")
    assert at.audit().findings == (f"{what} manifest.json is not a manifest: KeyError('format').",)
    (folder / "manifest.json").unlink()
    assert at.audit().findings == (f"{what} manifest.json is not there.",)
    os.mkfifo(folder / "manifest.json")  # to open it would be to wait
    assert at.audit().findings == (f"{what} manifest.json is a named pipe, but must be a plain file.",)


def digest(table: Path) -> str:
    return data.load(str(table), target="y", drop=("words",)).sha256


def test_a_table_is_held_against_the_recipe(own: Path, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("x,y,words\n" + "".join(f"{n},{n * n},some\n" for n in range(30)))
    path, said = str(table), digest(table)
    edit(own / "inputs.json", lambda value: value.update(data_sha256=said))
    forge_recipe(own, data="own.csv", target="y", drop=("words",), data_sha256=said)

    def told(table: str | None) -> tuple[list[str], list[str], bool]:
        found = audit(str(own), data=table)
        of_the_table = [f for f in found.findings if f.startswith("The table")]
        return of_the_table, list(found.notes), TABLE in found.checked

    assert told(path) == ([], [], True)
    assert told(None) == (
        [],
        ["The table own.csv is not where it was, so it was not looked at (--data)."],
        False,
    )
    table.write_text(f"{table.read_text()}30,900,some\n")
    assert told(path) == (
        [f"The table {path} has the digest {digest(table)}, but the recipe says {said}."],
        [],
        True,
    )
    table.write_text("x,words\n1,some\n")
    for _ in range(2):
        with pytest.raises((DataError, InvalidInput)) as caught:
            digest(table)
        assert told(path) == ([f"The table cannot be trained on any more: {caught.value}"], [], True)
        table.unlink(missing_ok=True)


def test_a_table_is_where_one_says_or_else_where_it_was(tmp_path: Path) -> None:
    here, gone = tmp_path / "own.csv", str(tmp_path / "gone.csv")
    here.touch()

    def place(name: str, given: str | None, tags: dict[str, str] | None) -> str | None:
        of = record(recipe=Recipe(data=name, epochs=3, profile="portable"))
        return place_of_table(of, Evidence("", tmp_path, tags), given)

    was = {"reproven.data.origin": str(here)}
    assert place("boston", None, was) == "boston"
    assert place("boston", gone, was) == place("own.csv", gone, was) == gone
    assert place("own.csv", None, was) == str(here)
    for tags in (None, {}, {"reproven.data.origin": gone}, {"reproven.data.origin": ""}):
        assert place("own.csv", None, tags) is None
