"""export and import: a run travels as a folder of plain files, and arrives like the original."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

import programs
from conftest import ROOT, Cli
from forging import copy, flip
from reproven import Recipe, Trained, audit, export, import_, revive, train
from reproven.errors import InvalidInput, RecordError
from stopping import metrics_of


def test_a_bundle_is_the_run_s_files_as_they_are(bundle: Path, files: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert content(bundle) == content(files)


def test_an_imported_run_looks_like_the_original(
    trained: Trained, bundle: Path, client: MlflowClient
) -> None:
    uri = "sqlite:///new.db"
    run_id = import_(bundle, tracking_uri=uri)
    there = MlflowClient(tracking_uri=uri)
    old, new = client.get_run(trained.run_id), there.get_run(run_id)
    assert there.get_experiment(new.info.experiment_id).name == "shared"
    assert new.data.params == old.data.params
    assert new.data.metrics == old.data.metrics
    for name in ("status", "start_time", "end_time", "run_name"):
        assert getattr(new.info, name) == getattr(old.info, name), name
    for name in old.data.metrics:
        histories = [c.get_metric_history(r, name) for c, r in ((client, trained.run_id), (there, run_id))]
        rows = [sorted((m.step, m.timestamp, m.value) for m in history) for history in histories]
        assert rows[0] == rows[1]
    kept = ("reproven.", "mlflow.source.git", "mlflow.loggedImages", "mlflow.user")
    changing = ("reproven.replayed", "reproven.verdict", "reproven.live")
    for name, value in old.data.tags.items():
        if name.startswith(kept) and not name.startswith(changing):
            assert new.data.tags[name] == value, name
    assert new.data.tags["reproven.imported.from"] == trained.run_id
    assert new.data.tags["mlflow.note.content"] == old.data.tags["mlflow.note.content"].replace(
        trained.run_id, run_id
    )
    assert [(i.dataset.to_dictionary(), i.tags[0].value) for i in new.inputs.dataset_inputs] == [
        (i.dataset.to_dictionary(), i.tags[0].value) for i in old.inputs.dataset_inputs
    ]
    (was,), (made,) = (run.outputs.model_outputs for run in (old, new))
    was, made = client.get_logged_model(was.model_id), there.get_logged_model(made.model_id)
    assert (made.name, made.params) == (was.name, was.params)
    assert metrics_of(made) == metrics_of(was)
    for form in ("model", "state_dict", "registered"):
        raw = torch.rand(5, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        there_again = revive(run_id, form, tracking_uri=uri)(raw)
        assert torch.equal(there_again, revive(trained.run_id, tracking_uri=str(client.tracking_uri))(raw))
    assert audit(run_id, tracking_uri=uri).findings == ()


def test_a_bundle_has_no_path_of_the_machine_that_made_it(tmp_path: Path, cli: Cli) -> None:
    table = tmp_path / "secret-folder" / "houses.csv"
    table.parent.mkdir()
    rows = "".join(f"{i},{i * i % 7},{i % 5}\n" for i in range(40))
    table.write_text(f"a,b,y\n{rows}")
    done = cli("train", "--data", str(table), "--target", "y", "--epochs", "1", "--json")
    run = json.loads(done.stdout)["run_id"]
    assert cli("export", run, "travels").stdout.startswith("bundle travels\n")
    for path in (tmp_path / "travels").rglob("*"):
        if path.is_file() and path.name != "code.patch":
            content = path.read_bytes()
            for text in (str(tmp_path), "secret-folder", str(ROOT), str(Path.home()), "mlruns"):
                assert text.encode() not in content, (path, text)
    imported = json.loads(cli("import", "travels", "--experiment", "arrived", "--json").stdout)["run_id"]
    done = cli("replay", imported, "--data", str(table), "--json")
    assert json.loads(done.stdout)["replays"][0]["verdict"] == "IDENTICAL"
    assert cli("replay", imported).returncode == 3  # nobody has said where the table is


def test_a_failed_run_travels_too(uri: str, tmp_path: Path) -> None:
    run = train(Recipe(lr=10.0, epochs=1), tracking_uri=uri, experiment="failed")
    folder = export(run.run_id, tmp_path / "failed", tracking_uri=uri)
    there = import_(folder, tracking_uri=uri, experiment="failed again")
    info = MlflowClient(tracking_uri=uri).get_run(there)
    assert info.info.status == "FAILED"
    assert "became inf" in info.data.tags["reproven.failure"]
    assert not info.outputs.model_outputs


def test_a_damaged_bundle_is_refused_before_anything_is_created(
    bundle: Path, tmp_path: Path, uri: str, client: MlflowClient
) -> None:
    damaged = copy(bundle, tmp_path / "damaged")
    flip(damaged / "model.pth", 8 * 2000)
    with pytest.raises(RecordError, match=r"model\.pth has changed"):
        import_(damaged, experiment="never", tracking_uri=uri)
    assert client.get_experiment_by_name("never") is None
    with pytest.raises(RecordError, match=r"model\.pth has changed"):
        export(str(damaged), tmp_path / "again", tracking_uri=uri)
    assert not (tmp_path / "again").exists()


def test_a_pickle_that_names_a_function_is_refused_though_the_manifest_fits(
    bundle: Path, tmp_path: Path, uri: str, client: MlflowClient
) -> None:
    from reproven.files import manifest

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, (f"touch {tmp_path}/attacked",)

    evil = copy(bundle, tmp_path / "evil")
    torch.save(Attack(), evil / "model.pth")
    listed = manifest.Manifest.read((evil / "manifest.json").read_text())
    content = (evil / "model.pth").read_bytes()
    entry = manifest.Entry(
        len(content), manifest.file_sha256(evil / "model.pth"), listed.files["model.pth"].tensors
    )
    manifest.write(evil, manifest.Manifest({**listed.files, "model.pth": entry}))
    with pytest.raises(RecordError, match=r"posix\.system"):
        import_(evil, experiment="evil", tracking_uri=uri)
    assert client.get_experiment_by_name("evil") is None
    assert not (tmp_path / "attacked").exists()


def test_a_folder_that_is_there_is_not_written_into(trained: Trained, uri: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="is there already"):
        export(trained.run_id, tmp_path / "full", tracking_uri=uri)
    (tmp_path / "empty").mkdir()
    assert export(trained.run_id, tmp_path / "empty", tracking_uri=uri) == tmp_path / "empty"
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be made"):
        export(trained.run_id, tmp_path / "file" / "sub", tracking_uri=uri)


def test_what_is_no_bundle_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(InvalidInput, match="is not a folder"):
        import_(tmp_path / "nowhere", tracking_uri=uri)
    with pytest.raises(RecordError, match=r"a folder without manifest\.json"):
        import_(tmp_path, tracking_uri=uri)


def test_the_description_names_the_run_that_it_stands_in(
    bundle: Path, uri: str, client: MlflowClient
) -> None:
    run_id = import_(bundle, experiment="described", tracking_uri=uri)
    text = client.get_run(run_id).data.tags["mlflow.note.content"]
    assert set(re.findall(r"[0-9a-f]{32}(?![0-9a-f])(?<![0-9a-f]{33})", text)) == {run_id}


def test_a_run_that_is_there_is_not_made_twice(
    bundle: Path, uri: str, client: MlflowClient, cli: Cli
) -> None:
    first = import_(bundle, experiment="once", tracking_uri=uri)
    said: list[str] = []
    assert import_(bundle, experiment="once", tracking_uri=uri, say=said.append) == first
    assert said == [f"{bundle} is there already, as the run {first}. --again makes another one."]
    done = cli("import", str(bundle), "--experiment", "once")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"run {first}")
    assert done.stderr == said[0] + "\n"
    experiment = client.get_experiment_by_name("once")
    assert len(client.search_runs([experiment.experiment_id])) == 1
    done = cli("import", str(bundle), "--experiment", "once", "--again", "--json")
    again = json.loads(done.stdout)["run_id"]
    assert {run.info.run_id for run in client.search_runs([experiment.experiment_id])} == {first, again}
    assert import_(bundle, experiment="elsewhere", tracking_uri=uri) not in (first, again)


def test_a_run_s_own_bundle_is_the_run(
    trained: Trained, bundle: Path, uri: str, client: MlflowClient
) -> None:
    assert import_(bundle, tracking_uri=uri) == trained.run_id
    assert "reproven.imported.from" not in client.get_run(trained.run_id).data.tags


@pytest.mark.parametrize(
    ("function", "moment"),
    [
        ("store.store.Store.create", "ends"),
        ("store.open_run.Run.log_rows", "begins"),
        ("store.open_run.Run.upload", "ends"),
        ("store.open_run.Run.new_model", "ends"),
        ("store.open_run.Run.fill_model", "ends"),
        ("store.open_run.Run.end", "begins"),
        ("store.open_run.Run.end", "ends"),
    ],
)
def test_an_import_that_was_killed_is_completed(
    function: str, moment: str, bundle: Path, uri: str, client: MlflowClient
) -> None:
    name = f"import killed when {function} {moment}"
    killed = ROOT / "tests" / "killed.py"
    done = programs.run(killed, function, "1", moment, "import", str(bundle), "--experiment", name, uri=uri)
    assert done.returncode == -signal.SIGKILL, done.stderr
    experiment = client.get_experiment_by_name(name).experiment_id
    (cut_off,) = client.search_runs([experiment])
    if function.endswith("upload"):  # as `reproven doctor` leaves it
        client.set_terminated(cut_off.info.run_id, "KILLED")
    assert import_(bundle, experiment=name, tracking_uri=uri) == cut_off.info.run_id
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    assert audit(run.info.run_id, tracking_uri=uri).findings == ()
    (model,) = client.search_logged_models([experiment])
    assert model.status == "READY"
    assert [made.model_id for made in client.get_run(run.info.run_id).outputs.model_outputs] == [
        model.model_id
    ]
