"""A network of the user's own: trained, recorded, replayed, audited, resumed and revived as any other."""

from __future__ import annotations

import json
import py_compile
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

import bringing
from conftest import ROOT, Cli
from forging import edit, nudged, reseal
from reproven import (
    Recipe,
    Study,
    audit,
    export,
    import_,
    predict,
    replay,
    resume,
    revive,
    sweep,
    tensors,
    train,
    trust,
)
from reproven.errors import InvalidInput, OwnCodeError, RecordError, RevivalError, Untrusted
from reproven.machine import code
from reproven.own.sources import sources_of
from reproven.proof.explanation import explain
from reproven.proof.verdict import explanation_words
from reproven.store.tags import OWN_TAG
from reproven.sweeps.axes import read_axes
from reproven.sweeps.jobs import Tracking, jobs_of
from reproven.sweeps.worker import work
from reproven.training.completed import completed
from reproven.training.prepared import Prepared, prepare
from reproven.values.record import Record
from stopping import outcome, stopped

QUICK = Recipe(network="nets:Net", network_args={"width": 6}, epochs=3, lr=0.01, optimizer="adam")
BOSTON = ROOT / "src" / "reproven" / "datasets" / "boston.csv"


def losses(recipe: Recipe) -> list[float]:
    trust("nets", "measures", "images")
    return [step.loss for step in prepare(recipe).steps()]


def _position() -> Any:
    state: Any = np.random.get_state()
    return state[2]


def test_the_notebooks_network_as_ones_own_has_the_same_bits(brought: Path) -> None:
    for settings in ({}, {"optimizer": "adam"}, {"init": "xavier_uniform", "init_bias": 0.5}):
        assert losses(Recipe(network="nets:Plain", epochs=2, **settings)) == losses(
            Recipe(epochs=2, **settings)
        )


def test_a_function_may_make_the_network(brought: Path) -> None:
    assert len(losses(Recipe(network="nets:made", network_args={"width": 3}, epochs=1))) == 4


def test_a_class_names_itself(brought: Path) -> None:
    sys.path.insert(0, str(brought))
    from nets import Net  # type: ignore[import-not-found]

    assert Recipe(network=Net).network == "nets:Net"


def test_dropout_draws_from_the_seed_alone(brought: Path) -> None:
    first = losses(QUICK)
    before = torch.get_rng_state(), _position(), random.getstate()
    assert losses(QUICK) == first
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (_position(), random.getstate()) == before[1:]
    assert losses(Recipe(**{**QUICK.to_dict(), "seed": 13, "split_seed": 12})) != first


def test_numpys_and_pythons_draws_are_the_seeds_too(brought: Path) -> None:
    recipe = Recipe(network="nets:Rolling", epochs=2)
    first = losses(recipe)
    random.seed(99)
    np.random.seed(99)
    before = _position(), random.getstate()
    assert losses(recipe) == first
    assert (_position(), random.getstate()) == before


def test_a_run_is_recorded_with_its_code_and_replayed(brought: Path, own: str) -> None:
    made = train(QUICK, tracking_uri=own)
    folder = Path(made.artifact_uri)
    record = Record.read(lambda name: (folder / name).read_text())
    assert record.inputs.own is not None
    assert record.inputs.own.files == sources_of(["nets"]).digests
    assert set(record.inputs.own.files) == {"nets.py", "blocks.py"}
    assert (folder / "own" / "blocks.py").read_text() == bringing.BLOCKS
    assert {"norm.running_mean", "norm.num_batches_tracked"} <= set(record.outcome.final_weights)
    found = audit(made.run_id, tracking_uri=own)
    assert found.findings == ()
    told = replay(made.run_id, tracking_uri=own)
    assert told.verdict == "IDENTICAL", told.report
    bundle = export(made.run_id, brought / "bundle", tracking_uri=own)
    digest = record.inputs.own.sha256
    edit(bundle / "run.json", lambda value: value["tags"].update({OWN_TAG: "0" * 64}))
    reseal(bundle)
    (finding,) = audit(str(bundle)).findings
    assert finding == f"The record has the digest {digest}, but run.json says {OWN_TAG} {'0' * 64}."


def test_all_forms_come_back_and_predict_the_same(brought: Path, own: str) -> None:
    made = train(QUICK, tracking_uri=own)
    _, wanted = predict(made.run_id, BOSTON, tracking_uri=own)
    for form in ("state_dict", "registered"):
        assert np.array_equal(predict(made.run_id, BOSTON, form, tracking_uri=own)[1], wanted)
    model = revive(Path(made.artifact_uri) / "model.pth")
    assert not model.training
    assert type(model.network).__name__ == "Net"


@pytest.mark.slow
def test_a_saved_model_with_a_flipped_bit_or_cut_off_is_refused_and_imports_nothing(
    brought: Path, own: str
) -> None:
    made = train(replace(QUICK, network_args={"width": 1}, epochs=1), tracking_uri=own)
    content, path = bytearray((Path(made.artifact_uri) / "model.pth").read_bytes()), brought / "model.pth"
    with bringing.forgotten():
        for place in range(len(content)):
            path.write_bytes(content[:place])
            with pytest.raises(RevivalError):
                tensors(path)
            content[place] ^= 1 << place % 8
            path.write_bytes(content)
            with pytest.raises(RevivalError):
                revive(path)
            content[place] ^= 1 << place % 8
        assert "nets" not in sys.modules


def test_what_is_not_trusted_is_not_imported(brought: Path, own: str) -> None:
    made = train(QUICK, tracking_uri=own)
    with bringing.forgotten():
        (brought / bringing.RAN).unlink()
        for ask in (
            lambda: replay(made.run_id, tracking_uri=own),
            lambda: revive(made.run_id, tracking_uri=own),
            lambda: predict(made.run_id, BOSTON, tracking_uri=own),
            lambda: revive(made.run_id, "state_dict", tracking_uri=own),
        ):
            with pytest.raises(Untrusted, match=r"nets:Net is named by the record.*--trust nets"):
                ask()
        found = tensors(made.run_id, tracking_uri=own)
        whole = tensors(Path(made.artifact_uri) / "model.pth")
        assert audit(made.run_id, tracking_uri=own).findings == ()
        assert "nets" not in sys.modules
        assert not (brought / bringing.RAN).exists()
    assert found["first.weight"].shape == (6, 13)
    assert torch.equal(whole["network.first.weight"], found["first.weight"])


def test_a_changed_source_is_told_before_it_runs(brought: Path, own: str) -> None:
    made = train(QUICK, tracking_uri=own)
    with bringing.forgotten():
        (brought / bringing.RAN).unlink()
        text = bringing.BLOCKS.replace("torch.relu", "torch.tanh")
        (brought / "blocks.py").write_text(text)
        trust("nets")
        told = replay(made.run_id, tracking_uri=own)
        assert told.verdict == "INCONCLUSIVE"
        (reason,) = told.reasons
        assert "blocks.py is not what the run was trained with" in reason
        assert "-        return x + self.drop(torch.relu(self.linear(x)))" in reason
        assert "+        return x + self.drop(torch.tanh(self.linear(x)))" in reason
        (brought / "blocks.py").unlink()
        told = replay(made.run_id, tracking_uri=own)
        assert "blocks.py is not here, but the run was trained with it." in told.reasons[0]
        assert not (brought / bringing.RAN).exists()


def test_a_module_that_changed_after_its_import_is_refused(brought: Path, own: str) -> None:
    train(QUICK, tracking_uri=own)
    (brought / "blocks.py").write_text(bringing.BLOCKS.replace("torch.relu", "torch.tanh"))
    with pytest.raises(OwnCodeError, match=r"blocks.py changed after the import of blocks"):
        train(QUICK, tracking_uri=own)


def test_bytecode_of_other_code_than_a_module_s_source_is_refused(brought: Path, own: str) -> None:
    """Which Python takes unseen, as its first word says."""
    text = (brought / "blocks.py").read_text()
    (brought / "blocks.py").write_text(f"{text}\nother = True\n")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(brought / "blocks.py"), doraise=True, invalidation_mode=mode)
    (brought / "blocks.py").write_text(text)
    with pytest.raises(OwnCodeError, match=r"blocks.py changed after the import of blocks.*__pycache__"):
        train(QUICK, tracking_uri=own)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nets:Missing", r"nets:Missing is not there: nets has Net, Plain, made, Conv"),
        ("nets:not_a_network", "nets:not_a_network is no class and no function of nets"),
        ("nets:NotANetwork", "nets:NotANetwork is a class, but must be a subclass of torch.nn.Module"),
        ("nets:Residual", "nets:Residual is blocks:Residual, which nets only hands on. Name that."),
        ("os:system", "os:system is no class and no function of os"),
        ("nowhere:Net", "nowhere cannot be imported: ModuleNotFoundError: No module named 'nowhere'."),
        (
            "nets:Wide",
            r"nets:Wide, given a batch of shape \(128, 13\), puts out \(128, 5\), but must",
        ),
        (
            "nets:Failing",
            r"nets:Failing, given a batch of shape \(128, 13\), failed in nets.py, line \d+: R",
        ),
        ("nets:Doubled", "nets:Doubled has the parameter last.weight of torch.float64, but must have"),
        ("nets:Putting", "nets:Putting uses put_, of which there is no deterministic form"),
        (
            "nets:Unproved",
            r"nets:Unproved, given .* asks in nets.py, line \d+ for hardswish \(in its Hardswish\)\. It has",
        ),
    ],
)
def test_what_cannot_be_trained_is_told_before_a_run_is_made(
    name: str, words: str, brought: Path, uri: str
) -> None:
    profile = "native" if "deterministic" in words else None
    with pytest.raises(OwnCodeError, match=words):
        train(Recipe(network=name, epochs=1, profile=profile), tracking_uri=uri, experiment="refused")
    assert not list((brought / "state").rglob("run.json"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"network_args": {"depth": 3}},
            r"nets:Net cannot be made of depth=3, inputs=13, outputs=1: got an",
        ),
        (
            {"layer_lr": {"body.lin": 0.1}},
            "layer_lr names 'body.lin', but no layer of nets:Net is called so.",
        ),
        ({"init": "dirac"}, "init is dirac:groups=1, which does not fit nets:Net"),
        ({"optimizer": "nadam", "optimizer_args": {"foo": 1}}, "unexpected keyword argument 'foo'"),
        ({"schedule": "StepLR"}, "missing 1 required positional argument: 'step_size'"),
    ],
)
def test_arguments_that_are_not_taken_are_named(
    settings: dict[str, Any], words: str, brought: Path, uri: str
) -> None:
    with pytest.raises((InvalidInput, OwnCodeError), match=words):
        train(Recipe(network="nets:Net", epochs=1, **settings), tracking_uri=uri)


def test_an_operation_that_is_not_deterministic_is_allowed_and_recorded(
    brought: Path, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(network="nets:Putting", epochs=1, allow_nondeterministic=True, profile="native")
    made = train(recipe, tracking_uri=own)
    environment = json.loads((Path(made.artifact_uri) / "environment.json").read_text())
    assert environment["nondeterministic"] == ["put_"]
    assert replay(made.run_id, tracking_uri=own).verdict == "IDENTICAL"  # as equal bits are anywhere
    monkeypatch.setattr(Prepared, "steps", nudged(1, "last.weight", (0, 0)))
    told = replay(made.run_id, tracking_uri=own)
    assert told.verdict == "INCONCLUSIVE"
    assert told.reasons == (
        "put_, which was allowed, has no deterministic form: results may differ by chance.",
    )


def test_shared_weights_unused_layers_and_passing_buffers_are_kept(brought: Path, own: str) -> None:
    made = train(Recipe(network="nets:Tied", epochs=2), tracking_uri=own)
    assert audit(made.run_id, tracking_uri=own).findings == ()
    assert replay(made.run_id, tracking_uri=own).verdict == "IDENTICAL"
    model = revive(made.run_id, tracking_uri=own)
    network: Any = model.network
    assert network.first.weight is network.second.weight
    assert "network.scratch" not in model.state_dict()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param(
            {"optimizer": "nadam", "schedule": "CosineAnnealingLR", "clip_norm": 1.0}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"optimizer": "adagrad", "schedule": "ReduceLROnPlateau", "validation_size": 0.2},
            marks=pytest.mark.slow,
        ),
        {
            "network": "nets:Rolling",
            "network_args": (),
            "schedule": "OneCycleLR",
            "patience": 9,
            "validation_size": 0.2,
        },
    ],
)
def test_a_stopped_run_goes_on_to_the_same_bits(settings: dict[str, Any], brought: Path, uri: str) -> None:
    asked: dict[str, Any] = {"optimizer": "adam", **settings}
    asked = {"network": "nets:Net", "epochs": 3, "lr": 0.01, "batch_size": 64, **asked}
    recipe = Recipe(**asked)
    whole = train(recipe, tracking_uri=uri)
    book = stopped(recipe, 10, uri, checkpoint_every="3steps")
    assert outcome(resume(book.id)) == outcome(whole)


def test_a_run_whose_code_changed_is_not_resumed(brought: Path, uri: str) -> None:
    trust("nets")
    book = stopped(QUICK, 5, uri, checkpoint_every="1step")
    (brought / "nets.py").write_text(bringing.NETS + "\nlater = 1\n")
    with pytest.raises(InvalidInput, match=r"would not stay one run. nets.py is not what the run"):
        resume(book.id)
    with bringing.forgotten(), pytest.raises(Untrusted, match="--trust nets"):
        resume(book.id)


def test_readers_of_the_record_refuse_other_own_code(brought: Path, own: str) -> None:
    made = train(QUICK, tracking_uri=own)
    folder = Path(made.artifact_uri)
    text = (folder / "inputs.json").read_text().replace('"blocks.py": "', '"blocks.py": 3, "x": "')
    files = {name: (folder / name).read_text() for name in ("recipe.json", "environment.json", "losses.csv")}
    files |= {name: (folder / name).read_text() for name in ("weights.csv", "outcome.json")} | {
        "inputs.json": text
    }
    with pytest.raises(RecordError, match="own code is not told by texts"):
        Record.read(files.__getitem__)


@pytest.mark.parametrize(
    ("truth", "lie", "named"),
    [
        pytest.param(
            {"lr": 0.002},
            {"lr": 0.001},
            "recipe.lr 0.002, where the record says 0.001",
            marks=pytest.mark.slow,
        ),
        (
            {"layer_lr": (("body", 0.005),)},
            {"layer_lr": ()},
            "recipe.layer_lr {'body': 0.005}, where the record says {}",
        ),
    ],
)
def test_a_rate_that_a_record_hides_is_found_by_trying(
    truth: dict[str, Any], lie: dict[str, Any], named: str, brought: Path, own: str
) -> None:
    asked: dict[str, Any] = {"network": "nets:Net", "epochs": 2, "lr": 0.001}
    run = train(Recipe(**{**asked, **truth}), tracking_uri=own)
    outcome = Record.read(lambda name: (Path(run.artifact_uri) / name).read_text()).outcome
    found = explain(prepare(Recipe(**{**asked, **lie})), outcome)
    assert found is not None
    assert (found.steps, found.compared) == (8, 8)
    assert named in explanation_words(found.changes, found.steps, found.compared)[0]


def test_a_loss_and_metrics_of_ones_own_are_recorded(brought: Path, own: str) -> None:
    asked: dict[str, Any] = {"loss": "measures:capped", "loss_args": {"limit": 3}, "epochs": 2}
    recipe = Recipe(**asked, metrics=("measures:within", "measures:half_score"))
    made = train(recipe, tracking_uri=own)
    assert made.metrics["test_within"] == pytest.approx(made.metrics["test_mae"])
    assert made.metrics["train_half_score"] == 0.5
    assert made.metrics["train_loss"] <= 3
    assert replay(made.run_id, tracking_uri=own).verdict == "IDENTICAL"
    (model,) = MlflowClient(own).search_logged_models(["0"])
    assert {"test_within", "test_half_score"} <= {metric.key for metric in model.metrics}
    with pytest.raises(OwnCodeError, match=r"The metric broken failed in measures.py, line \d+: ValueE"):
        train(Recipe(metrics=("measures:broken",), epochs=1), tracking_uri=own)


def test_a_network_that_draws_in_evaluation_draws_the_same(brought: Path) -> None:
    (brought / "nets.py").write_text(bringing.NETS.replace("self.drop(", "torch.nn.functional.dropout("))
    (brought / "blocks.py").write_text(bringing.BLOCKS.replace("self.drop(", "torch.nn.functional.dropout("))
    trust("nets")
    made = prepare(QUICK)
    before = torch.get_rng_state()
    first, again = made.predictions(), made.predictions()
    assert all(np.array_equal(first[part][1], again[part][1]) for part in first)
    assert torch.equal(torch.get_rng_state(), before)
    assert made.state.network.training


def test_a_failure_in_the_midst_of_training_is_told_and_the_run_is_there(brought: Path, own: str) -> None:
    text = bringing.NETS.replace(
        "        return self.last(self.body(",
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        if self.calls > 8: raise ValueError('enough')\n"
        "        return self.last(self.body(",
    )
    (brought / "nets.py").write_text(text)
    with pytest.raises(OwnCodeError, match=r"nets:Net failed in nets.py, line \d+: ValueError: enough."):
        train(QUICK, tracking_uri=own)
    (run,) = MlflowClient(own).search_runs(["0"])
    assert run.info.status == "FAILED"


@pytest.mark.slow
def test_a_sweep_of_ones_own_is_trained_in_other_processes(brought: Path, own: str) -> None:
    base = {"network": "nets:Net", "epochs": "1", "metrics": "measures:within"}
    study = Study(
        base=base, axes=read_axes(["network_args=width=3;width=5"])[0], seeds=(0, 1), metric="test_within"
    )
    swept = sweep(study, tracking_uri=own, jobs=2)
    assert [run.state for run in swept.runs] == ["FINISHED"] * 4, [run.why for run in swept.runs]
    assert {run.point["network_args"] for run in swept.runs} == {"width=3", "width=5"}
    assert all(run.was_there for run in sweep(study, tracking_uri=own, jobs=2).runs)
    with (brought / "blocks.py").open("a") as file:
        file.write("# other code\n")
    again = sweep(study, tracking_uri=own, jobs=2)
    assert again.run_id != swept.run_id
    assert [(run.state, run.was_there) for run in again.runs] == [("FINISHED", False)] * 4
    with pytest.raises(InvalidInput, match=r"metric is 'test_withn', which no run has. Did you mean te"):
        Study(base=base, metric="test_withn")


def test_a_worker_trains_no_other_code_than_the_sweep_s(brought: Path, own: str) -> None:
    study = Study(base={"network": "nets:Net", "epochs": "1"})
    tracking = Tracking(tracking_uri=own, experiment="Default", parent="", code={"nets.py": "0" * 64})
    (job,) = jobs_of(study, [{}], complete=completed, tracking=tracking, curves={})
    child = work(job)
    assert (child.state, child.run_id) == ("REFUSED", None)
    assert child.why.startswith("blocks.py, nets.py: not as it was when the sweep began, or another than")
    assert not (brought / bringing.RAN).exists()


def test_a_bundle_of_another_is_imported_only_where_its_code_is_trusted(
    brought: Path, own: str, tmp_path: Path
) -> None:
    made = train(QUICK, tracking_uri=own)
    bundle = export(made.run_id, tmp_path / "bundle", tracking_uri=own)
    with bringing.forgotten():
        with pytest.raises(Untrusted, match="--trust nets"):
            import_(bundle, experiment="imported", tracking_uri=own)
        assert replay_is_untrusted(str(bundle), own)
        trust("nets")
        import_(bundle, experiment="imported", tracking_uri=own)
        assert replay(str(bundle), tracking_uri=own).verdict == "IDENTICAL"


def replay_is_untrusted(bundle: str, own: str) -> bool:
    for env_manager in ("local", "uv"):
        with pytest.raises(Untrusted, match="--trust nets"):
            replay(bundle, env_manager=env_manager, tracking_uri=own)
    return "nets" not in sys.modules


def test_a_source_that_another_was_put_for_is_found(brought: Path, own: str) -> None:
    made = train(QUICK, tracking_uri=own)
    source = Path(made.artifact_uri) / "own" / "nets.py"
    source.write_text(source.read_text() + "\n")
    (finding, *_) = audit(made.run_id, tracking_uri=own).findings
    assert "own/nets.py" in finding


def test_the_command_that_trusts_is_printed(brought: Path, own: str, cli: Cli) -> None:
    done = cli("train", "--network", "nets:Net", "--epochs", "1", "--json", "--tracking-uri", own)
    run_id = json.loads(done.stdout)["run_id"]
    (brought / bringing.RAN).unlink()
    done = cli("replay", run_id, "--tracking-uri", own)
    assert done.returncode == 2
    assert f"If you trust it: reproven replay {run_id} --tracking-uri {own} --trust nets" in done.stderr
    assert not (brought / bringing.RAN).exists()
    assert cli("replay", run_id, "--tracking-uri", own, REPROVEN_TRUST="other, nets").returncode == 0


def test_code_that_no_commit_names_is_refused_where_clean_is_required(brought: Path) -> None:
    trust("nets")
    sources = sources_of(["nets"])
    with pytest.raises(InvalidInput, match=r"require_clean is true, but blocks.py is in no commit"):
        code.require_own_clean(sources)
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    for words in (["init", "-q"], ["add", "nets.py", "blocks.py"], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *words], check=True)
    code.code_state.cache_clear()
    code.require_own_clean(sources)
    assert code.own_code(sources).commit is not None
    (brought / "nets.py").write_text(bringing.NETS + "\n")
    code.code_state.cache_clear()
    with pytest.raises(InvalidInput, match=r"require_clean is true, but nets.py differ from the commit"):
        code.require_own_clean(sources)
    assert code.own_code(sources).patch_sha256 is not None
