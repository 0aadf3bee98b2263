"""A record reads back as it was written, and is refused where it contradicts itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from recording import NAMES, digest, record, with_outcome
from reproven import Recipe
from reproven.errors import RecordError
from reproven.values.programs import OwnCode
from reproven.values.record import Inputs, Record
from reproven.values.steps import all_weights_sha256


def texts(found: Record) -> dict[str, str]:
    return {**found.inputs.texts(), **found.outcome.texts()}


def test_a_record_reads_back_as_it_was_written() -> None:
    for found in (record(), pruned(), failed(), patient(), own()):
        again = Record.read(texts(found).__getitem__)
        assert again == replace(found, weights={})
        assert list(again.inputs.initial_weights) == list(again.outcome.final_weights) == list(NAMES)


def test_each_fact_is_written_once() -> None:
    found = texts(with_outcome(pruned(), errors={}))
    assert set(json.loads(found["outcome.json"])) == {
        *("format", "epoch_weights", "final_weights", "predictions", "errors", "failure", "pruned")
    }
    assert set(json.loads(found["inputs.json"])) == {
        *("format", "recipe_sha256", "data_sha256", "split_sha256", "code", "standardisation"),
        "initial_weights",
    }
    assert "pruned" not in json.loads(texts(record())["outcome.json"])  # as before there was pruning


def test_inputs_are_read_alone_in_the_order_that_is_asked_for() -> None:
    told = texts(record())
    for names, order in ((NAMES, list(NAMES)), ((), sorted(NAMES))):
        found = Inputs.read(told.__getitem__, names)
        assert found == record().inputs
        assert list(found.initial_weights) == order
    told["inputs.json"] = told["inputs.json"].replace(record().inputs.recipe.sha256, "0" * 64)
    told["environment.json"] = told["environment.json"].replace("portable", "native")
    with pytest.raises(RecordError) as error:
        Inputs.read(told.__getitem__)
    assert str(error.value) == (
        f"recipe.json has the digest {record().inputs.recipe.sha256}, but inputs.json says {'0' * 64}. "
        "recipe.json says that the profile is portable, but environment.json says native."
    )


def test_a_table_of_another_digest_is_told() -> None:
    found = record(recipe=Recipe(epochs=3, profile="portable", data_sha256="a" * 64))
    told = texts(found)
    told["inputs.json"] = told["inputs.json"].replace("a" * 64, "b" * 64)
    with pytest.raises(RecordError) as error:
        Record.read(told.__getitem__)
    assert str(error.value) == (
        f"recipe.json names a table of digest {'a' * 64}, but inputs.json says {'b' * 64}."
    )


def pruned() -> Record:
    """Two of three epochs."""
    return with_outcome(record(steps=4), pruned="worse")


def failed() -> Record:
    """A step and a half of the second epoch."""
    return with_outcome(record(steps=3), failure="The loss became inf", epoch_weights=(digest(0),))


def own() -> Record:
    """Of a network of the user's own."""
    code = OwnCode(files={"nets.py": digest("nets")}, packages={"einops": "0.8.1"}, commit="b" * 40)
    return record(recipe=Recipe(network="nets:Net", epochs=3, profile="portable"), own=code)


def patient(best: int | None = 2, **changed: Any) -> Record:
    """Of three epochs the second was the best."""
    recipe = Recipe(**{"epochs": 3, "profile": "portable", "validation_size": 0.2, "patience": 1, **changed})
    rows, (first, _, last) = WHOLE.step_weights, WHOLE.epoch_weights
    return with_outcome(
        record(recipe=recipe),
        best_epoch=best,
        step_weights=(*rows[:3], rows[5], *rows[4:5], rows[3]),
        epoch_weights=(first, last, digest(2)),
    )


MEAN = digest("mean")
LACKS = "inputs.json lacks a field or has a wrong one: "
LAST = "The last step in weights.csv is not what outcome.json says of the final weights."
LAST_EPOCH = "The last epoch in outcome.json is not what it says of the final weights."
WHOLE = record().outcome
ROWS = tuple(WHOLE.step_weights)
KEPT = "outcome.json says that weights after"
FINAL = all_weights_sha256(WHOLE.final_weights.values())
CONTRADICTIONS: list[tuple[Record, str]] = [
    (record(steps=4), "recipe.json says 3 epochs, but losses.csv has 2 whole ones."),
    (
        with_outcome(record(), step_weights=(*WHOLE.step_weights[:-1], WHOLE.step_weights[0])),
        LAST,
    ),
    (
        with_outcome(record(), step_weights=(*WHOLE.step_weights, WHOLE.step_weights[-1])),
        "losses.csv has 6 steps, but weights.csv has 7.",
    ),
    (with_outcome(record(), epoch_weights=(FINAL, FINAL, digest(2))), LAST_EPOCH),
    (with_outcome(record(), epoch_weights=()), LAST_EPOCH),
    (with_outcome(pruned(), epoch_weights=(FINAL, digest(2))), LAST_EPOCH),
    (
        with_outcome(failed(), step_weights=failed().outcome.step_weights[:2]),
        f"losses.csv has 3 steps, but weights.csv has 2. {LAST}",
    ),
    (
        with_outcome(failed(), failure=None, pruned="worse"),
        "outcome.json says that the run was pruned, but losses.csv ends within an epoch.",
    ),
    (with_outcome(record(), best_epoch=3), f"{KEPT} 3 epochs were kept, but such a run keeps its last."),
    (
        with_outcome(
            failed(), best_epoch=1, epoch_weights=(FINAL,), step_weights=(ROWS[0], ROWS[5], ROWS[5])
        ),
        f"{KEPT} 1 epochs were kept, but such a run keeps its last.",
    ),
    (
        with_outcome(patient(), step_weights=(*ROWS[:3], ROWS[2], ROWS[4], ROWS[5])),
        "The last step of the best epoch in weights.csv is not what outcome.json says of the final weights.",
    ),
    (
        with_outcome(patient(), epoch_weights=WHOLE.epoch_weights),
        "The best epoch in outcome.json is not what it says of the final weights.",
    ),
    (
        with_outcome(patient(), step_weights=(*patient().outcome.step_weights[:5], ("", ""))),
        "weights.csv, step 5 has not the digests that outcome.json says it has.",
    ),
    (
        with_outcome(patient(4), step_weights=ROWS, epoch_weights=WHOLE.epoch_weights),
        f"{KEPT} 4 epochs were kept, but losses.csv has 3 whole ones.",
    ),
    (
        with_outcome(patient(None), step_weights=ROWS, epoch_weights=WHOLE.epoch_weights),
        f"{KEPT} None epochs were kept, but losses.csv has 3 whole ones.",
    ),
    *(
        (
            patient(epochs=epochs, patience=2),
            f"recipe.json says {epochs} epochs and a patience of 2, but losses.csv has 3 whole ones, and "
            f"{KEPT} 2 epochs were kept.",
        )
        for epochs in (4, 2)
    ),
    (
        with_outcome(
            patient(1), step_weights=(ROWS[0], ROWS[5], *ROWS[2:]), epoch_weights=(FINAL, FINAL, FINAL)
        ),
        "recipe.json says 3 epochs and a patience of 1, but losses.csv has 3 whole ones, and "
        f"{KEPT} 1 epochs were kept.",
    ),
    (
        with_outcome(record(), steps=(), step_weights=(), epoch_weights=(), pruned="worse"),
        "outcome.json says that the run was pruned, but losses.csv ends within an epoch.",
    ),
]


@pytest.mark.parametrize(("found", "words"), CONTRADICTIONS)
def test_an_outcome_that_contradicts_itself_or_its_recipe_is_refused(found: Record, words: str) -> None:
    with pytest.raises(RecordError) as error:
        Record.read(texts(found).__getitem__)
    assert str(error.value) == words


def at_intervals(**changed: Any) -> Record:
    """A tensor of it is digested after every fourth step and after each epoch of two."""
    rows = [row if s % 2 else ("", row[1]) for s, row in enumerate(WHOLE.step_weights)]
    return with_outcome(record(), **{"weights_every": {NAMES[0]: 4}, "step_weights": tuple(rows), **changed})


def test_a_record_of_digests_at_intervals_says_which() -> None:
    found = at_intervals()
    assert json.loads(texts(found)["outcome.json"])["weights_every"] == {NAMES[0]: 4}
    assert Record.read(texts(found).__getitem__) == replace(found, weights={})
    assert "weights_every" not in texts(record())["outcome.json"]


def test_the_last_step_is_digested_whole_wherever_a_run_ended() -> None:
    rows = (("", ROWS[0][1]), *failed().outcome.step_weights[1:])
    found = with_outcome(failed(), weights_every={NAMES[0]: 4}, step_weights=rows)
    assert Record.read(texts(found).__getitem__) == replace(found, weights={})


@pytest.mark.parametrize(
    ("changed", "step"),
    [
        ({"weights_every": {}}, 0),
        ({"weights_every": {NAMES[0]: 4, NAMES[1]: 4}}, 0),
        ({"weights_every": {NAMES[0]: 3}}, 2),
        ({"step_weights": (("", ROWS[0][1]), ROWS[1], ("", ROWS[2][1]), *ROWS[3:])}, 4),
        ({"step_weights": (*[("", row[1]) for row in WHOLE.step_weights[:5]], WHOLE.step_weights[5])}, 1),
    ],
)
def test_a_digest_that_is_missing_or_too_much_is_named(changed: dict[str, Any], step: int) -> None:
    with pytest.raises(
        RecordError, match=f"weights.csv, step {step} has not the digests that outcome.json says"
    ):
        Record.read(texts(at_intervals(**changed)).__getitem__)


def test_the_shortest_interval_is_two_steps() -> None:
    found = at_intervals(weights_every={NAMES[0]: 2})
    assert Record.read(texts(found).__getitem__) == replace(found, weights={})


@pytest.mark.parametrize("every", [{NAMES[0]: 1}, {NAMES[0]: "4"}, {NAMES[0]: True}, {"other": 4}, [4], None])
def test_intervals_that_are_none_are_refused(every: Any) -> None:
    with pytest.raises(RecordError) as error:
        Record.read({**texts(record()), "outcome.json": _with_intervals(every)}.__getitem__)
    wrong = "argument of type 'NoneType'" if every is None else "weights_every is no whole numbers of steps "
    assert str(error.value).startswith(f"outcome.json lacks a field or has a wrong one: {wrong}")


def _with_intervals(every: Any) -> str:
    return json.dumps(json.loads(texts(record())["outcome.json"]) | {"weights_every": every})


def test_a_run_whose_patience_ran_out_has_fewer_epochs_than_its_recipe() -> None:
    until_the_last = with_outcome(patient(3), step_weights=ROWS, epoch_weights=WHOLE.epoch_weights)
    longer = (patient(epochs=9), patient(patience=2), with_outcome(patient(patience=2), pruned="worse"))
    for found in (until_the_last, *longer):
        assert Record.read(texts(found).__getitem__) == replace(found, weights={})
    assert [patient().outcome.epochs_at(place) for place in (0, 3, 4)] == [0, 3, 2]
    assert (patient().outcome.epochs_kept, WHOLE.epochs_kept) == (2, 3)


@pytest.mark.parametrize("best", ["2", 0, -1, True, 1.5])
def test_a_best_epoch_that_is_none_is_refused(best: Any) -> None:
    told = json.loads(texts(patient())["outcome.json"]) | {"best_epoch": best}
    with pytest.raises(RecordError, match=r"one: best_epoch is no number of epochs\.$"):
        Record.read({**texts(patient()), "outcome.json": json.dumps(told)}.__getitem__)


def test_a_run_that_failed_in_its_first_step_is_a_record() -> None:
    found = with_outcome(failed(), steps=(), step_weights=(), epoch_weights=())
    assert Record.read(texts(found).__getitem__) == replace(found, weights={})


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("losses.csv", "\n3,1,1,", "\n3,2,1,", "losses.csv has step 3, epoch 2, batch 1 after step 2."),
        ("losses.csv", "\n3,1,1,", "\n4,1,1,", "losses.csv has step 4, epoch 1, batch 1 after step 2."),
        ("losses.csv", "\n0,0,0,", "\n0,0,1,", "losses.csv has step 0, epoch 0, batch 1 after step -1."),
        ("losses.csv", "2.5,40200000", "2.5,40200001", "losses.csv, step 3 says 2.5, but its bits 402000"),
        ("losses.csv", "2.5,40200000", "2.5,4020", "losses.csv, step 3 cannot be read: "),
        ("losses.csv", "2.5,40200000", "nan,40200000", "losses.csv, step 3 says nan, but its bits"),
        ("losses.csv", "2.5,40200000", "2.5,7fc00000", "losses.csv, step 3 says 2.5, but its bits"),
        ("weights.csv", "\n3,", "\n2,", "weights.csv has step 2 where step 3 must be."),
        ("outcome.json", '"format": 1', '"format": 2', "outcome.json is not of format 1, which this version"),
        ("outcome.json", '"failure": null,', "", "outcome.json lacks a field or has a wrong one: 'failure'."),
        ("inputs.json", '"format": 1', '"format": 2', "inputs.json is not of format 1, which this version"),
        ("inputs.json", '"branch"', '"bench"', LACKS),
        ("inputs.json", f'"mean": "{MEAN}"', '"mean": 1', f"{LACKS}mean is no text."),
        ("environment.json", '{\n "cpu"', '[\n "cpu"', "environment.json cannot be read as JSON: "),
        ("outcome.json", '{\n "epoch', '[\n "epoch', "outcome.json cannot be read as JSON: "),
        ("losses.csv", "step,epoch", "step,age", "losses.csv does not start with the columns step, epoch, "),
        ("weights.csv", "step,", "stop,", "weights.csv does not start with the columns step."),
        ("recipe.json", '"epochs":3', '"epochs":0', "recipe.json: epochs is 0, but must be"),
        ("environment.json", '"portable"', '"native"', "recipe.json says that the profile is portable, but"),
    ],
)  # fmt: skip
def test_a_text_that_was_edited_is_refused(name: str, old: str, new: str, words: str) -> None:
    edited: Mapping[str, Any] = texts(record())
    assert edited[name].count(old) == 1
    edited = {**edited, name: edited[name].replace(old, new)}
    with pytest.raises(RecordError) as error:
        Record.read(edited.__getitem__)
    assert str(error.value).startswith(words)


def test_a_loss_that_is_no_number_reads_back() -> None:
    steps = (*WHOLE.steps[:-1], replace(WHOLE.steps[-1], loss=float("nan")))
    found = Record.read(texts(with_outcome(record(), steps=steps)).__getitem__)
    assert repr(found.outcome.steps[-1].loss) == "nan"
