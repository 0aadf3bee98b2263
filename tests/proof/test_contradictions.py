"""What contradicts itself in a record is told in a sentence each, though a manifest was made to fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT
from forging import copy, edit, flip, forge_recipe, reseal
from reproven import Recipe
from reproven.files import manifest
from reproven.files.models import read_torch, write_torch
from reproven.proof.contradictions import contradictions, model_tensors, other_params
from reproven.proof.evidence import Evidence
from reproven.recipes.options import spell

SHIPPED = ROOT / "src" / "reproven" / "reference" / "adam-layer-rates"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A shipped record, to be damaged."""
    return copy(SHIPPED, tmp_path / "own")


def told(folder: Path, tags: dict[str, str] | None = None) -> list[str]:
    return contradictions(Evidence(str(folder), folder, tags))


def test_a_sound_record_contradicts_nothing() -> None:
    seal = manifest.file_sha256(SHIPPED / "manifest.json")
    assert told(SHIPPED) == told(SHIPPED, {"reproven.seal": seal}) == []
    assert told(SHIPPED, {"reproven.seal": "0" * 64}) == [
        f"manifest.json has the digest {seal}, but the tag reproven.seal says {'0' * 64}."
    ]


def test_the_files_of_the_manifest_are_passed_through_what_watches_them() -> None:
    seen: list[tuple[str, manifest.Entry]] = []

    def watch(files: Iterable[tuple[str, manifest.Entry]], total: int) -> list[tuple[str, manifest.Entry]]:
        seen.extend(files)
        assert total == len(seen)
        return seen

    assert contradictions(Evidence("", SHIPPED, None), watch) == []
    assert dict(seen) == manifest.take(SHIPPED).files


def test_a_record_without_a_manifest_is_not_looked_at(own: Path) -> None:
    (own / "manifest.json").unlink()
    assert told(own) == ["manifest.json is not there."]


def test_each_file_that_cannot_be_read_is_told_once_and_the_rest_is_looked_at(own: Path) -> None:
    (own / "losses.csv").unlink()
    (own / "standardisation.json").unlink()
    reseal(own)
    assert told(own) == ["losses.csv is not there."]
    (own / "losses.csv").write_bytes((SHIPPED / "losses.csv").read_bytes())
    (own / "run.json").unlink()
    flip(own / "histograms.json", 800)
    reseal(own)
    assert told(own) == ["run.json is not there.", "standardisation.json is not there."]
    flip(own / "histograms.json", 800)
    assert len(told(own)) == 3
    assert told(own)[0].startswith("histograms.json has changed: ")


def test_a_manifest_that_was_made_without_a_file_of_every_record_is_told(own: Path) -> None:
    (own / "histograms.json").unlink()
    reseal(own)
    assert told(own) == ["manifest.json does not list histograms.json, which such a record has."]


SNAPSHOT, ELSEWHERE = "run.json says", "but a run that travels names no place of a machine."
SHOWN = Evidence("", SHIPPED, None).snapshot
RECIPE_SHA256, TABLE_SHA256, SPLIT_SHA256 = (
    SHOWN.tags[f"reproven.{name}.sha256"] for name in ("recipe", "data", "split")
)
COMMITTED = SHOWN.tags["mlflow.source.git.commit"]
IN_JSON: list[tuple[str, Callable[[Any], Any], str]] = [
    (
        "run.json",
        lambda v: v["tags"].update({"reproven.recipe.sha256": "0" * 64}),
        f"The record has the digest {RECIPE_SHA256}, but {SNAPSHOT} reproven.recipe.sha256 {'0' * 64}.",
    ),
    (
        "run.json",
        lambda v: v["tags"].pop("reproven.data.sha256"),
        f"The record has the digest {TABLE_SHA256}, but {SNAPSHOT} reproven.data.sha256 None.",
    ),
    (
        "inputs.json",
        lambda v: v.update(split_sha256="0" * 64),
        f"The record has the digest {'0' * 64}, but {SNAPSHOT} reproven.split.sha256 {SPLIT_SHA256}.",
    ),
    (
        "run.json",
        lambda v: v["tags"].update({"reproven.data.origin": "file:///boston.csv"}),
        f"{SNAPSHOT} reproven.data.origin 'file:///boston.csv', {ELSEWHERE}",
    ),
    (
        "run.json",
        lambda v: v["tags"].update({"mlflow.source.git.commit": "b" * 40}),
        f"The record says {COMMITTED}, but {SNAPSHOT} mlflow.source.git.commit {'b' * 40}.",
    ),
    (
        "run.json",
        lambda v: v["tags"].update({"reproven.failure": "It broke"}),
        f"The record says None, but {SNAPSHOT} reproven.failure It broke.",
    ),
    (
        "run.json",
        lambda v: v["params"].update(seed="13"),
        "run.json: The param seed is 13, but the recipe says 12.",
    ),
    (
        "run.json",
        lambda v: v["params"].pop("lr"),
        "run.json: The param lr is missing; the recipe says 0.01.",
    ),
    (
        "run.json",
        lambda v: v.update(status="FAILED"),
        f"{SNAPSHOT} FAILED, but by its outcome it is FINISHED.",
    ),
    (
        "outcome.json",
        lambda v: v["errors"].update(train_mae=18.5),
        "The outcome's train_mae is 18.5, but metrics.csv says 18.479163122742545.",
    ),
    (
        "outcome.json",
        lambda v: v["errors"].update(test_mae=1.0),
        "The outcome's test_mae is 1.0, but metrics.csv says None.",
    ),
    (
        "inputs.json",
        lambda v: v["code"].update(patch_sha256="0" * 64),
        f"code.patch has the digest None, but the record's code says {'0' * 64}.",
    ),
    (
        "standardisation.json",
        lambda v: v["scale"].__setitem__(0, 0.5),
        "standardisation.json holds another scale than the record.",
    ),
    (
        "standardisation.json",
        lambda v: v.pop("mean"),
        "standardisation.json cannot be read: KeyError('mean').",
    ),
]


@pytest.mark.parametrize(("name", "change", "words"), IN_JSON)
def test_a_value_that_another_file_contradicts_is_told(
    name: str, change: Callable[[Any], Any], words: str, own: Path
) -> None:
    edit(own / name, change)
    reseal(own)
    assert told(own) == [words]


def test_a_commit_is_shown_by_who_publishes_one_though_the_record_has_none(own: Path) -> None:
    edit(own / "inputs.json", lambda value: value["code"].update(commit=None))
    reseal(own)
    assert told(own) == []


def test_what_a_replay_tells_of_its_end_is_not_held_against_its_record(own: Path) -> None:
    tags = {"reproven.failure": "It broke.", "reproven.best_epoch": "3", "reproven.replay.of": "0" * 32}
    edit(own / "run.json", lambda value: value["tags"].update(tags))
    reseal(own)
    assert told(own) == []


@pytest.fixture
def named(own: Path) -> Path:
    """A record whose recipe names a function of the user's own, in a file that lies beside it."""
    (own / "own").mkdir()
    (own / "own" / "measures.py").write_text("score = 1")
    files = {"measures.py": manifest.file_sha256(own / "own" / "measures.py")}
    edit(own / "inputs.json", lambda value: value.update(own={"files": files}))
    forge_recipe(own, metrics=("measures:score",))
    edit(own / "run.json", lambda value: value["params"].update(metrics="measures:score"))
    reseal(own)
    return own


def test_sources_of_one_s_own_are_held_against_the_record(named: Path) -> None:
    path = named / "own" / "measures.py"
    was = manifest.file_sha256(path)
    assert told(named) == []
    path.write_text("score = 2")
    (named / "own" / "more.py").write_text("")
    reseal(named)
    now, more = manifest.file_sha256(path), manifest.file_sha256(named / "own" / "more.py")
    assert told(named) == [
        f"own/measures.py has the digest {now}, but the record's own code says {was}.",
        f"own/more.py has the digest {more}, but the record's own code says None.",
    ]
    path.unlink()
    (named / "own" / "more.py").unlink()
    reseal(named)
    assert told(named) == [f"own/measures.py has the digest None, but the record's own code says {was}."]


def test_the_tag_of_one_s_own_sources_is_held_against_the_record_where_there_is_one(named: Path) -> None:
    digest = Evidence("", named, None).record.inputs.own
    assert digest is not None
    edit(named / "run.json", lambda value: value["tags"].update({"reproven.own.sha256": digest.sha256}))
    reseal(named)
    assert told(named) == []
    edit(named / "run.json", lambda value: value["tags"].update({"reproven.own.sha256": "0" * 64}))
    reseal(named)
    assert told(named) == [
        f"The record has the digest {digest.sha256}, but {SNAPSHOT} reproven.own.sha256 {'0' * 64}."
    ]


def test_a_standardisation_that_is_no_json_is_told(own: Path) -> None:
    (own / "standardisation.json").write_text("{")
    reseal(own)
    (words,) = told(own)
    assert words.startswith("standardisation.json cannot be read as JSON: ")


@pytest.mark.parametrize("origin", ["http://localhost/boston.csv", "https://localhost/boston.csv", None])
def test_a_table_comes_from_the_web_or_from_nowhere(origin: str | None, own: Path) -> None:
    edit(own / "run.json", lambda value: value["tags"].pop("reproven.data.origin"))
    if origin is not None:
        edit(own / "run.json", lambda value: value["tags"].update({"reproven.data.origin": origin}))
    reseal(own)
    assert told(own) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "\ntrain_loss,1,1795765941262,528.88037109375",
            "",
            "Step 1 has the loss 528.88037109375, but metrics.csv says None.",
        ),
        ("528.88037109375", "528.0", "Step 1 has the loss 528.88037109375, but metrics.csv says 528.0."),
        ("train_loss,119,", "train_loss,120,", "Step 119 has the loss 424.86688232421875, but metrics"),
        ("train_mae,30,", "train_mae,0,", "The outcome's train_mae is 18.479163122742545, but metrics"),
    ],
)  # fmt: skip
def test_a_metric_that_the_losses_or_the_errors_contradict_is_told(
    old: str, new: str, words: str, own: Path
) -> None:
    text = (own / "metrics.csv").read_text()
    assert text.count(old) == 1
    (own / "metrics.csv").write_text(text.replace(old, new))
    reseal(own)
    assert told(own)[0].startswith(words)


def test_rows_of_metrics_in_another_order_say_the_same(own: Path) -> None:
    header, *rows = (own / "metrics.csv").read_text().splitlines(keepends=True)
    (own / "metrics.csv").write_text("".join([header, *reversed(rows)]))
    reseal(own)
    assert told(own) == []


def test_a_loss_that_is_not_finite_is_in_no_metric(own: Path) -> None:
    for name, loss in (("losses.csv", "inf,7f800000"), ("metrics.csv", "")):
        lines = (own / name).read_text().splitlines(keepends=True)
        place = next(i for i, line in enumerate(lines) if "424.86688232421875" in line)
        kept = lines[place].partition("424.86688232421875")[0]
        lines[place : place + 1] = [f"{kept}{loss}\n"] if loss else []
        (own / name).write_text("".join(lines))
    reseal(own)
    assert told(own) == []


def test_a_patch_is_held_against_the_record_and_a_link_is_none(own: Path) -> None:
    patch = own / "code.patch"
    patch.write_text("diff")
    reseal(own)
    digest = manifest.file_sha256(patch)
    assert told(own) == [f"code.patch has the digest {digest}, but the record's code says None."]
    edit(own / "inputs.json", lambda value: value["code"].update(patch_sha256=digest))
    reseal(own)
    assert told(own) == []
    patch.rename(own / "elsewhere")
    patch.symlink_to("elsewhere")
    assert f"code.patch has the digest None, but the record's code says {digest}." in told(own)


def test_tensors_of_both_forms_are_held_against_the_record(own: Path) -> None:
    weights = read_torch(own / "state_dict.pth")
    assert isinstance(weights, dict)
    weights["regression.bias"] += 1
    write_torch(own / "state_dict.pth", weights)
    regressor = read_torch(own / "model.pth")
    assert not isinstance(regressor, dict)
    regressor.mean[0] += 1
    write_torch(own / "model.pth", regressor)
    reseal(own)
    assert told(own) == [
        "model.pth holds another tensor mean than the record.",
        "state_dict.pth holds another tensor regression.bias than the record.",
    ]
    for name in ("model.pth", "state_dict.pth"):
        (own / name).unlink()
    reseal(own)
    assert told(own) == [
        "manifest.json does not list model.pth, which such a record has.",
        "manifest.json does not list state_dict.pth, which such a record has.",
    ]


def test_a_model_holds_the_final_weights_and_the_standardisation() -> None:
    record = Evidence("", SHIPPED, None).record
    held = manifest.take(SHIPPED).files
    assert model_tensors(record) == dict(held["model.pth"].tensors)
    assert dict(record.outcome.final_weights) == dict(held["state_dict.pth"].tensors)


RECIPE = Recipe(
    drop=("B", "CHAS"),
    layer_lr=(("hidden1", 0.01), ("hidden2", 0.1)),
    betas=(0.9, 0.99),
    optimizer="adam",
)


@pytest.mark.parametrize(
    ("name", "text", "is_said"),
    [
        ("drop", "CHAS,B", True),
        ("drop", "B", False),
        ("drop", "B,CHAS,ZN", False),
        ("drop", "", False),
        ("layer_lr", "hidden2=1e-1,hidden1=.01", True),
        ("layer_lr", "hidden1=0.01", False),
        ("layer_lr", "hidden1=0.1,hidden2=0.01", False),
        ("layer_lr", "hidden1", False),
        ("betas", "0.99,0.9", False),
        ("betas", "9e-1,0.990", True),
        ("hidden", "10,10", True),
        ("hidden", "10", False),
        ("lr", "1e-3", True),
        ("lr", "0", False),
        ("lr", "x", False),
        ("epochs", "30", True),
        ("epochs", "31", False),
        ("epochs", "3… (whole in recipe.json)", True),
        ("device", "auto", True),
        ("device", "cuda", False),
        ("data", "elsewhere.csv", True),
        ("optimizer", "auto", False),
    ],
)
def test_a_param_may_be_spelled_otherwise_and_says_the_same(name: str, text: str, is_said: bool) -> None:
    sound = {key: spell(value) for key, value in RECIPE.to_dict().items()}
    assert list(other_params(sound, RECIPE)) == []
    found = list(other_params({**sound, name: text}, RECIPE))
    said = f"The param {name} is {text}, but the recipe says {getattr(RECIPE, name)}."
    assert found == ([] if is_said else [said])


def test_a_param_that_cannot_be_compared_hides_none_that_can() -> None:
    sound = {key: spell(value) for key, value in RECIPE.to_dict().items()}
    told = list(
        other_params({**sound, "hidden": "1… (whole in recipe.json)", "lr": "2", "seed": "3"}, RECIPE)
    )
    assert [words.split()[2] for words in told] == ["lr", "seed"]
