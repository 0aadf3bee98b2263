"""audit and seal: one flipped bit, one edited metric, one swapped or missing file: each found and named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _use_tracking_uri

from conftest import ROOT, Cli
from forging import copy, edit, flip, forge_recipe, reseal, sql
from reproven import Audit, Recipe, Trained, audit, export, import_, predict, revive, seal, train
from reproven.errors import RecordError
from reproven.files import manifest
from reproven.files.manifest import Manifest
from reproven.files.models import read_torch, write_torch


@pytest.fixture
def own(bundle: Path, tmp_path: Path) -> Path:
    """A bundle to be damaged."""
    return copy(bundle, tmp_path / "own")


@pytest.fixture
def run(bundle: Path, uri: str) -> str:
    """A run in the store, to be damaged."""
    return import_(bundle, experiment="damaged", again=True, tracking_uri=uri)


def files_of(run: str, client: MlflowClient) -> Path:
    return Path(client.get_run(run).info.artifact_uri)


def model_of(run: str, client: MlflowClient) -> Path:
    (output,) = client.get_run(run).outputs.model_outputs
    return Path(client.get_logged_model(output.model_id).artifact_location.removeprefix("file://"))


def only(found: Audit) -> str:
    assert len(found.findings) == 1, found.findings
    return found.findings[0]


def test_a_sound_run_is_sound_and_says_what_was_looked_at(trained: Trained, uri: str) -> None:
    found = audit(trained.run_id, tracking_uri=uri)
    assert (found.findings, found.notes) == ((), ())
    text = ", ".join(found.checked)
    for part in ("files with their tensors", "18 params", "30 values of 7 metrics", "the table"):
        assert part in text
    assert "the registered model shared, version 1" in text


def test_using_a_run_leaves_it_sound(trained: Trained, uri: str, tmp_path: Path) -> None:
    table = tmp_path / "boston.csv"
    table.write_text((ROOT / "src/reproven/datasets/boston.csv").read_text())
    for source in ("models:/shared@champion", trained.run_id):
        predict(source, table, tracking_uri=uri)
    assert audit(trained.run_id, tracking_uri=uri).findings == ()


def test_one_flipped_bit_in_any_file_is_found_and_named(bundle: Path, tmp_path: Path) -> None:
    """Every file of a run, the manifest among them, each in a copy of its own."""
    paths = sorted(path.relative_to(bundle) for path in bundle.rglob("*") if path.is_file())
    assert len(paths) > 15
    for number, path in enumerate(paths):
        damaged = copy(bundle, tmp_path / str(number))
        bits = 8 * (damaged / path).stat().st_size
        flip(damaged / path, 8 * (bits // 16) + 1)  # one in the middle
        findings = audit(str(damaged)).findings
        assert any(str(path) in finding for finding in findings), (path, findings)


def test_the_tensor_that_changed_is_named(own: Path) -> None:
    weights = read_torch(own / "state_dict.pth")
    assert isinstance(weights, dict)
    weights["hidden2.weight"][3, 4] += 1
    write_torch(own / "state_dict.pth", weights)
    findings = audit(str(own)).findings
    assert "Of its tensors, hidden2.weight differ." in findings[0]


def test_a_missing_file_is_named(own: Path) -> None:
    (own / "histograms.json").unlink()
    assert only(audit(str(own))) == "histograms.json is missing."


def test_a_swapped_model_is_found_though_the_manifest_was_made_to_fit(own: Path, uri: str) -> None:
    other = train(Recipe(epochs=1, seed=99), tracking_uri=uri, experiment="others")
    for name in ("model.pth", "state_dict.pth"):
        content = (Path(other.artifact_uri) / name).read_bytes()
        (own / name).write_bytes(content)
        reseal(own)
        findings = audit(str(own)).findings
        tensor = "network.hidden1.weight" if name == "model.pth" else "hidden1.weight"
        assert f"{name} holds another tensor {tensor} than the record." in findings


def test_a_manifest_that_lies_about_tensors_is_found(own: Path, bundle: Path, uri: str) -> None:
    other = train(Recipe(epochs=1, seed=99), tracking_uri=uri, experiment="others")
    (own / "model.pth").write_bytes((Path(other.artifact_uri) / "model.pth").read_bytes())
    honest, lying = Manifest.read((bundle / "manifest.json").read_text()), manifest.take(own)
    entry = dataclasses.replace(lying.files["model.pth"], tensors=honest.files["model.pth"].tensors)
    manifest.write(own, Manifest({**lying.files, "model.pth": entry}))
    finding = only(audit(str(own)))
    assert finding.startswith("model.pth is not what the manifest says of it. Of its tensors, ")
    assert "network.hidden1.weight" in finding


def test_another_standardisation_is_found_though_the_manifest_was_made_to_fit(own: Path) -> None:
    edit(own / "standardisation.json", lambda value: value["mean"].__setitem__(3, 0.5))
    reseal(own)
    assert only(audit(str(own))) == "standardisation.json holds another mean than the record."
    regressor = revive(own / "model.pth")
    regressor.scale[0] *= 2
    write_torch(own / "model.pth", regressor)
    reseal(own)
    assert "model.pth holds another tensor scale than the record." in audit(str(own)).findings


def test_an_added_file_is_a_note(own: Path) -> None:
    (own / "thoughts.txt").write_text("mine")
    found = audit(str(own))
    assert found.findings == ()
    assert found.notes == ("Not part of the record, and added since: thoughts.txt.",)


def test_a_link_out_of_the_folder_is_not_followed(own: Path, tmp_path: Path) -> None:
    outside = (own / "outcome.json").rename(tmp_path / "outside.json")
    (own / "outcome.json").symlink_to(outside)
    assert "outcome.json is a symbolic link" in audit(str(own)).findings[0]


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "a\\b", "./recipe.json"])
def test_a_manifest_that_leads_outside_is_refused(path: str, own: Path) -> None:
    manifest.write(own, Manifest({path: manifest.Entry(1, "0" * 64, {})}))
    assert only(audit(str(own))) == f"manifest.json names {path!r}, which is not a path inside its folder."
    with pytest.raises(RecordError):
        export(str(own), own.parent / "new")


CONTRADICTIONS: list[tuple[str, Any, str]] = [
    (
        "outcome.json",
        lambda v: v["errors"].update(test_rmse=1.0),
        "The outcome's test_rmse is 1.0, but metrics",
    ),
    ("outcome.json", lambda v: v["epoch_weights"].append("0" * 64), "The last epoch in outcome.json is not"),
    (
        "outcome.json",
        lambda v: v.update(failure="no"),
        "run.json says FINISHED, but by its outcome it is FAILED.",
    ),
    ("inputs.json", lambda v: v.update(data_sha256="0" * 64), "recipe.json names a table of digest"),
    ("inputs.json", lambda v: v.update(split_sha256="0" * 64), "run.json says reproven.split.sha256"),
    ("inputs.json", lambda v: v["code"].update(patch_sha256="0" * 64), "code.patch has the digest"),
    ("environment.json", lambda v: v.update(profile="other"), "recipe.json says that the profile is"),
    ("run.json", lambda v: v["params"].update(lr="0.2"), "The param lr is 0.2, but the recipe says 0.001."),
    ("run.json", lambda v: v["params"].pop("seed"), "The param seed is missing; the recipe says 12."),
    (
        "run.json",
        lambda v: v.update(status="RUNNING"),
        "run.json is not a run's snapshot: status has a wrong value",
    ),
    ("run.json", lambda v: v.pop("name"), "run.json is not a run's snapshot"),
]


@pytest.mark.parametrize(("name", "change", "message"), CONTRADICTIONS)
def test_what_contradicts_itself_is_found_though_the_manifest_fits(
    name: str, change: Any, message: str, own: Path
) -> None:
    edit(own / name, change)
    reseal(own)
    findings = audit(str(own)).findings
    assert any(finding.startswith(message) or message in finding for finding in findings), findings


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a JSON value has values, the first three of each object or list."""
    if above:
        yield above
    names = (
        list(value)[:3]
        if isinstance(value, dict)
        else range(min(3, len(value)))
        if isinstance(value, list)
        else ()
    )
    for name in names:
        yield from places(value[name], (*above, name))


@pytest.mark.parametrize("name", ["recipe", "inputs", "outcome", "environment", "run", "manifest"])
def test_a_value_of_any_other_type_is_a_finding_and_no_crash(name: str, own: Path) -> None:
    path, whole = own / f"{name}.json", Manifest.read((own / "manifest.json").read_text())
    text = path.read_text()
    for place in places(json.loads(text)):
        odd: Any
        for odd in (None, [], {"a": 1}, "\0", -(2**70), 1e400):
            value = inner = json.loads(text)
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = odd
            path.write_text(json.dumps(value))
            if name != "manifest":
                entry = manifest.Entry(path.stat().st_size, manifest.file_sha256(path), {})
                manifest.write(own, Manifest({**whole.files, path.name: entry}))
            audit(str(own))  # whatever it finds


CELLS = [
    ("losses.csv", "5,1,1,", "5,1,2,", "losses.csv has step 5, epoch 1, batch 2 after step 4"),
    ("losses.csv", ",44", ",45", "losses.csv, step 0 says"),
    ("weights.csv", "\n3,", "\n4,", "weights.csv has step 4 where step 3 must be"),
    ("weights.csv", "hidden1.weight", "hidden9.weight", "lacks a field or has a wrong one: 'hidden9.weight'"),
    ("metrics.csv", "train_loss,3,", "train_loss,30,", "Step 3 has the loss"),
    ("metrics.csv", "key,step", "key,stop", "metrics.csv does not start with the columns key, step"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), CELLS)
def test_a_cell_that_was_edited_is_found_though_the_manifest_fits(
    name: str, old: str, new: str, message: str, own: Path
) -> None:
    text = (own / name).read_text()
    assert old in text
    (own / name).write_text(text.replace(old, new, 1))
    reseal(own)
    assert message in " ".join(audit(str(own)).findings)


def test_an_edited_metric_is_named_with_both_values(run: str, uri: str) -> None:
    where = "WHERE run_uuid = ? AND key = ? AND step = ?"
    sql(uri, f"UPDATE metrics SET value = 1.5 {where}", run, "train_loss", 7)
    finding = only(audit(run, tracking_uri=uri))
    assert finding.startswith("The metric train_loss, step 7, is 1.5 in the store, but metrics.csv says ")
    sql(uri, f"DELETE FROM metrics {where}", run, "test_r2", 2)
    assert "The metric test_r2, step 2, is missing in the store" in " ".join(
        audit(run, tracking_uri=uri).findings
    )


def test_a_metric_logged_again_is_named(run: str, uri: str, client: MlflowClient) -> None:
    client.log_metric(run, "train_loss", 0.25, step=3)
    assert "The metric train_loss, step 3, is 0.25 in the store, but not in" in only(
        audit(run, tracking_uri=uri)
    )


def test_what_a_user_adds_is_a_note(run: str, uri: str, client: MlflowClient) -> None:
    client.log_metric(run, "my_score", 1.0)
    client.set_tag(run, "reviewed", "yes")
    client.set_tag(run, "mlflow.note.content", "A better text.")
    client.log_text(run, "text", "thoughts.txt")
    found = audit(run, tracking_uri=uri)
    assert found.findings == ()
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE params SET value = '0.5' WHERE run_uuid = ? AND key = 'lr'",
            "The param lr is 0.5 in the store",
        ),
        ("DELETE FROM params WHERE run_uuid = ? AND key = 'seed'", "The param seed is None in the store"),
        (
            "UPDATE tags SET value = 'x' WHERE run_uuid = ? AND key = 'reproven.data.sha256'",
            "The tag reproven.data.sha256 is x in the store",
        ),
        ("UPDATE runs SET start_time = 5 WHERE run_uuid = ?", "The run's start_time is 5 in the store"),
        ("UPDATE runs SET end_time = 5 WHERE run_uuid = ?", "The run's end_time is 5 in the store"),
        (
            "UPDATE metrics SET timestamp = 5 WHERE run_uuid = ? AND key = 'train_loss' AND step = 7",
            "The metric train_loss, step 7, has the time 5 in the store, but metrics.csv says 1",
        ),
        ("UPDATE runs SET status = 'FAILED' WHERE run_uuid = ?", "The run's status is FAILED in the store"),
    ],
)
def test_an_edit_in_the_store_is_named(statement: str, message: str, run: str, uri: str) -> None:
    sql(uri, statement, run)
    assert message in only(audit(run, tracking_uri=uri))


def test_a_damaged_logged_model_is_named(run: str, uri: str, client: MlflowClient) -> None:
    folder = model_of(run, client)
    loader = folder / "code" / "reproven" / "serving.py"
    loader.write_text(loader.read_text() + "\nimport os\n")
    finding = only(audit(run, tracking_uri=uri))
    assert finding.startswith("The logged model (models:/m-")
    assert "code/reproven/serving.py has changed" in finding
    flip(folder / "data" / "model.pth", 8 * 3000)
    assert "data/model.pth has changed" in " ".join(audit(run, tracking_uri=uri).findings)
    flip(folder / "data" / "model.pth", 8 * 3000)
    reseal(folder)
    assert "manifest.json has the digest" in " ".join(audit(run, tracking_uri=uri).findings)


def test_a_registered_version_with_other_weights_is_named(
    trained: Trained, run: str, uri: str, client: MlflowClient
) -> None:
    other = train(Recipe(epochs=1, seed=98), tracking_uri=uri, experiment="others")
    client.create_registered_model("swapped")
    assert other.model_uri is not None
    model_id = other.model_uri.removeprefix("models:/")
    with _use_tracking_uri(uri):  # MLflow asks the global one
        client.create_model_version("swapped", source=other.model_uri, run_id=run, model_id=model_id)
    findings = audit(run, tracking_uri=uri).findings
    assert any(
        f.startswith("The registered model swapped, version 1")
        and "holds another tensor network.hidden1.weight" in f
        for f in findings
    )


def test_a_deleted_model_is_named(run: str, uri: str, client: MlflowClient) -> None:
    (model_of(run, client) / "manifest.json").unlink()
    assert "manifest.json is not there" in only(audit(run, tracking_uri=uri))


def test_a_table_that_changed_is_found_and_one_that_is_gone_is_a_note(tmp_path: Path, uri: str) -> None:
    table = tmp_path / "own.csv"
    frame = pd.DataFrame(
        {"a": range(30), "b": [i * i % 7 for i in range(30)], "y": [i % 5 for i in range(30)]}
    )
    frame.to_csv(table, index=False)
    run = train(Recipe(data=str(table), target="y", epochs=1), tracking_uri=uri, experiment="tables").run_id
    assert audit(run, tracking_uri=uri).findings == ()
    frame.iloc[4, 1] = 100
    frame.to_csv(table, index=False)
    assert only(audit(run, tracking_uri=uri)).startswith(f"The table {table} has the digest ")
    table.write_text("a,y\n1,2\n")
    assert only(audit(run, tracking_uri=uri)).startswith("The table cannot be trained on any more: ")
    table.unlink()
    found = audit(run, tracking_uri=uri)
    assert found.findings == ()
    assert found.notes == ("The table own.csv is not where it was, so it was not looked at (--data).",)


def test_the_seal_is_what_a_perfect_forgery_does_not_have(bundle: Path, own: Path, uri: str) -> None:
    true = seal(str(bundle))
    assert audit(str(bundle), seal=true).findings == ()
    forge_recipe(own, lr=0.002)
    assert audit(str(own)).findings == ()  # it contradicts nothing
    assert only(audit(str(own), seal=true)) == (
        f"The seal is {seal(str(own))}, but {true} was given: the record is another."
    )


def test_a_run_has_its_seal_wherever_it_is(trained: Trained, bundle: Path, run: str, uri: str) -> None:
    found = {seal(source, tracking_uri=uri) for source in (trained.run_id, str(bundle), run)}
    assert len(found) == 1


def test_what_contradicts_itself_has_no_seal(own: Path) -> None:
    flip(own / "losses.csv", 800)
    with pytest.raises(RecordError, match="is not sealed, since its record is not whole"):
        seal(str(own))


def test_the_manifest_lists_every_file_with_its_tensors(bundle: Path) -> None:
    listed = Manifest.read((bundle / "manifest.json").read_text())
    paths = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert set(listed.files) == paths - {"manifest.json"}
    assert set(listed.files["state_dict.pth"].tensors) < {
        name.removeprefix("network.") for name in listed.files["model.pth"].tensors
    }
    assert Manifest.read(listed.text()) == listed


def test_the_command_line_says_it_too(own: Path, cli: Cli, trained: Trained) -> None:
    done = cli("audit", trained.run_id)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"SOUND: {trained.run_id}\n")
    digest = cli("seal", trained.run_id).stdout.strip()
    assert f"  seal {digest}\n" in done.stdout
    (own / "losses.csv").unlink()
    done = cli("audit", str(own), "--seal", "0" * 64, "--json")
    assert done.returncode == 1
    findings = json.loads(done.stdout)["findings"]
    assert {"losses.csv is missing."} < set(findings)
    done = cli("audit", str(own), "--seal", "12", "--data", "")
    assert (done.returncode, done.stderr.count("Error: ")) == (2, 2)
