"""The words of a verdict, each to the letter: what differs, where, by how much, and what to think of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recording import NAMES, digest, record, with_outcome
from reproven.proof import difference, verdict
from reproven.proof.difference import Divergence
from reproven.proof.verdict import Verdict
from reproven.values.changes import Change
from reproven.values.record import Record

WHOLE = record().outcome
NEAR = float(np.nextafter(np.float32(10), np.float32(11)))
EXPLAIN = "Cause: unexplained. Every recorded input is the same."


def with_loss(step: int, loss: float) -> dict[str, Any]:
    steps = list(WHOLE.steps)
    steps[step] = replace(steps[step], loss=loss)
    return {"steps": tuple(steps)}


def with_weights(step: int, *digests: str) -> dict[str, Any]:
    rows = list(WHOLE.step_weights)
    rows[step] = digests
    return {"step_weights": tuple(rows)}


def counts(**differ: int) -> str:
    """The line that counts what differs, of the default record."""
    of = {
        "losses": ("losses", 6),
        "steps": ("weights after steps", 6),
        "epochs": ("weights after epochs", 3),
        "final": ("final tensors", 2),
        "predictions": ("predictions by part", 1),
        "errors": ("errors", 1),
    }
    told = ", ".join(f"{name} ({differ.get(key, 0)} of {n})" for key, (name, n) in of.items())
    return f"With what follows from it, there differ: {told}."


SHORT, LONG = "0" * 16, "0" * 64
FIRST, SECOND = WHOLE.step_weights[2]
FINAL = WHOLE.final_weights
ALONE = (
    "The step's loss and the other tensors agree: the update of this tensor alone differs, by its gradient's "
    "rounding, its layer's learning rate, or a write to it."
)
#: What differs of an outcome, and what is said of it: the first difference, its stage, the rest.
WORDS: list[tuple[dict[str, Any], list[str]]] = [
    (
        with_loss(0, NEAR),
        [
            "First difference: step 0 (epoch 0, batch 0), its loss: recorded 10 (0x41200000), now 10.000001 "
            "(0x41200001), 1 ulp apart.",
            "Before any update: the table, the split, the initial weights, the order of rows or the network.",
            counts(losses=1),
        ],
    ),
    (
        with_loss(3, 2.75),
        [
            "First difference: step 3 (epoch 1, batch 1), its loss: recorded 2.5 (0x40200000), now 2.75 "
            "(0x40300000), 1,048,576 ulp apart.",
            "The weights before that step agree: its batch or the network's forward pass differs.",
            counts(losses=1),
        ],
    ),
    (
        with_loss(5, math.nan),
        [
            "First difference: step 5 (epoch 2, batch 1), its loss: recorded 1.5 (0x3fc00000), now nan "
            "(0x7fc00000), not comparable, one is not a number.",
            "The weights before that step agree: its batch or the network's forward pass differs.",
            counts(losses=1),
        ],
    ),
    (
        with_weights(2, FIRST, SHORT),
        [
            f"First difference: step 2 (epoch 1, batch 0), the tensor hidden.bias after its update: recorded "
            f"{SECOND}, now {SHORT}.",
            ALONE,
            counts(steps=1),
        ],
    ),
    (
        with_weights(2, SHORT, SHORT),
        [
            f"First difference: step 2 (epoch 1, batch 0), the tensor hidden.weight after its update: "
            f"recorded {FIRST}, now {SHORT}.",
            "The step's loss agrees, and 1 more tensor differs: the update differs, by the gradient, the "
            "optimizer, its learning rate or its options.",
            counts(steps=1),
        ],
    ),
    (
        with_weights(2, FIRST, SHORT) | with_loss(4, 1.0),
        [
            f"First difference: step 2 (epoch 1, batch 0), the tensor hidden.bias after its update: recorded "
            f"{SECOND}, now {SHORT}.",
            ALONE,
            "First loss that differs: step 4 (epoch 2, batch 0), its loss: recorded 2 (0x40000000), now 1 "
            "(0x3f800000), 8,388,608 ulp apart.",
            counts(steps=1, losses=1),
        ],
    ),
    (
        {"steps": WHOLE.steps[:5], "step_weights": WHOLE.step_weights[:5]},
        ["First difference: the number of steps: recorded 6, now 5.", counts(losses=1, steps=1)],
    ),
    (
        {"epoch_weights": (WHOLE.epoch_weights[0], LONG, WHOLE.epoch_weights[2])},
        [
            f"First difference: the weights after epoch 1: recorded {digest(1)[:12]}, now {LONG[:12]}.",
            counts(epochs=1),
        ],
    ),
    (
        {"final_weights": {**FINAL, NAMES[1]: LONG}},
        [
            f"First difference: the final weights, hidden.bias: "
            f"recorded {FINAL[NAMES[1]][:12]}, now {LONG[:12]}.",
            counts(final=1),
        ],
    ),
    (
        {"predictions": {}},
        [
            f"First difference: the predictions of the train rows: recorded {digest('predictions')[:12]}, "
            "now missing.",
            counts(predictions=1),
        ],
    ),
    (
        {"errors": {"train_rmse": math.nextafter(3.5, 4)}},
        [
            "First difference: train_rmse: recorded 3.5 (0x400c000000000000), now 3.5000000000000004 "
            "(0x400c000000000001), 1 ulp apart.",
            counts(errors=1),
        ],
    ),
    ({"errors": {}}, ["First difference: train_rmse: recorded 3.5, now missing.", counts(errors=1)]),
    (
        {"failure": "It broke."},
        ["First difference: how training failed: recorded None, now It broke.", counts()],
    ),
    ({"pruned": "Worse."}, ["First difference: why it was pruned: recorded None, now Worse.", counts()]),
]


@pytest.mark.parametrize(("changed", "words"), WORDS)
def test_what_differs_is_told_to_the_letter(changed: dict[str, Any], words: list[str]) -> None:
    apart = difference.between(record(), with_outcome(record(), **changed))
    assert verdict.words(apart) == (*words, EXPLAIN)
    assert verdict.words(apart, ["Tried."]) == (*words, "Tried.")


def test_a_final_weight_that_differs_is_told_with_its_values_once() -> None:
    new = record(weights=0.25)
    told = (
        "the final weights, hidden.weight[0, 0]: recorded 0.5 (0x3f000000), now 0.25 (0x3e800000), "
        "8,388,608 ulp apart."
    )
    assert verdict.words(difference.between(record(), new)) == (
        f"First difference: {told}",
        counts(),
        EXPLAIN,
    )
    apart = difference.between(record(), with_outcome(new, **with_loss(3, 2.75)))
    assert verdict.words(apart)[2:] == (f"First final weight that differs: {told}", counts(losses=1), EXPLAIN)


def with_inputs(count: int) -> Record:
    """A record that was made in another environment, by so many facts."""
    facts = {f"w{number:02}": LONG for number in range(count)}
    return record(environment={**record().inputs.environment, **facts})


def test_inputs_that_differ_are_told_and_so_many_of_them_counted() -> None:
    def named(count: int) -> str:
        new = [f"environment.w{number:02} is {LONG[:12]}, recorded was none" for number in range(count)]
        return "; ".join(new[:8])

    for count, more in ((8, ""), (9, "; and 1 more"), (12, "; and 4 more")):
        same = verdict.words(difference.between(record(), with_inputs(count)))
        assert same == (
            "Equal to the bit: losses (6), weights after steps (6), weights after epochs (3), final tensors "
            "(2), predictions by part (1), errors (1).",
            f"Other inputs, without effect: {named(count)}{more}.",
        )
        apart = difference.between(record(), with_outcome(with_inputs(count), pruned="Worse."))
        assert verdict.words(apart)[-1] == f"Possible causes, the first one first: {named(count)}{more}."
        assert verdict.words(apart, ["Tried."])[-2:] == ("Tried.", f"Other inputs: {named(count)}{more}.")


def test_what_was_not_compared_is_not_counted() -> None:
    old = with_outcome(record(), predictions={}, errors={})
    assert verdict.words(difference.between(old, old)) == (
        "Equal to the bit: losses (6), weights after steps (6), weights after epochs (3), final tensors (2).",
    )
    (_, told, _) = verdict.words(difference.between(old, with_outcome(old, failure="It broke.")))
    assert told == counts().partition(", predictions")[0] + "."


def test_an_unfair_question_says_why() -> None:
    torch = {**record().inputs.environment["torch"], "version": "2.14.0"}
    changed = {"torch": torch, "machine": "arm64", "arithmetic": "another"}
    other = record(environment={**record().inputs.environment, **changed})
    apart = difference.between(record(), with_outcome(other, pruned="Worse."))
    assert verdict.judge(apart, "portable") == (
        "INCONCLUSIVE",
        (
            "environment.arithmetic is another, recorded was none",
            "environment.torch.version is 2.14.0, recorded was 2.13.0+cpu",
        ),
    )


@pytest.mark.parametrize(
    ("fact", "profile", "is_unfair"),
    [
        *((fact, "portable", True) for fact in ("torch.version", "torch.git", "arithmetic", "profile")),
        *((fact, "native", True) for fact in ("cpu", "gpu", "torch.cpu_capability", "machine", "torch.git")),
        *((fact, "portable", False) for fact in ("cpu", "machine", "torch.cpu_capability", "python")),
        ("torch.threads", "native", False),
    ],
)
def test_each_fact_that_makes_a_question_unfair(fact: str, profile: str, is_unfair: bool) -> None:
    apart = difference.between(record(), with_outcome(record(), pruned="Worse."))
    change = Change(name=f"environment.{fact}", recorded="a", found="b")
    found, reasons = verdict.judge(replace(apart, changes=(change,)), profile)
    assert found == ("INCONCLUSIVE" if is_unfair else "DIVERGED")
    assert reasons == ((f"environment.{fact} is b, recorded was a",) if is_unfair else ())
    assert verdict.judge(replace(apart, first=None, changes=(change,)), profile) == ("IDENTICAL", ())


def test_operations_without_a_deterministic_form_are_named_beside_what_else_is_unfair() -> None:
    apart = difference.between(record(), with_outcome(record(), pruned="Worse."))
    one = "scatter, which was allowed, has no deterministic form: results may differ by chance."
    assert verdict.judge(apart, "native", ["scatter"]) == ("INCONCLUSIVE", (one,))
    chance = (
        "index_add, scatter, which were allowed, have no deterministic form: results may differ by chance."
    )
    change = Change(name="environment.machine", recorded="a", found="b")
    assert verdict.judge(replace(apart, changes=(change,)), "native", ["index_add", "scatter"]) == (
        "INCONCLUSIVE",
        ("environment.machine is b, recorded was a", chance),
    )
    assert verdict.judge(replace(apart, first=None), "native", ["scatter"]) == ("IDENTICAL", ())


def test_files_that_were_not_compared_are_told_beside_those_that_were() -> None:
    same = difference.between(record(), record())
    assert verdict.words(difference.with_files(same, [], compared=5, skipped=2)) == (
        "Equal to the bit: losses (6), weights after steps (6), weights after epochs (3), final tensors (2), "
        "predictions by part (1), errors (1), files (5).",
        "Not compared, since other code or packages drew them: 2 figures and images.",
    )


PLACES: list[tuple[Divergence, str]] = [
    (Divergence(what="file", tensor="run.png", recorded="a", found="b"), "the file run.png"),
    (
        Divergence(what="start", tensor="initial weights", recorded="a", found="b"),
        "before the first step, initial weights",
    ),
    (
        Divergence(what="best epoch", recorded="a", found="b"),
        "after how many epochs the weights stood that were kept",
    ),
]


@pytest.mark.parametrize(("first", "words"), PLACES)
def test_where_the_first_difference_is_when_it_is_at_no_step(first: Divergence, words: str) -> None:
    apart = replace(difference.between(record(), record()), first=first)
    assert verdict.words(apart)[:2] == (
        f"First difference: {words}: recorded a, now b.",
        "With what follows from it, there differ: losses (0 of 6), weights after steps (0 of 6), weights "
        "after epochs (0 of 3), final tensors (0 of 2), predictions by part (0 of 1), errors (0 of 1).",
    )


def test_a_sentence_that_differs_ends_once_and_keeps_its_letters() -> None:
    first = Divergence(what="failure", recorded="It is no X.", found="AXX")
    told = verdict.words(replace(difference.between(record(), record()), first=first))[0]
    assert told == "First difference: how training failed: recorded It is no X, now AXX."


@pytest.mark.parametrize(
    ("others", "words"), [(1, "and 1 more tensor differs"), (2, "and 2 more tensors differ")]
)
def test_more_tensors_that_differ_after_the_same_step_are_counted(others: int, words: str) -> None:
    first = Divergence(
        what="weights", tensor="a", recorded="a", found="b", step=1, epoch=0, batch=1, others=others
    )
    told = verdict.words(replace(difference.between(record(), record()), first=first))[1]
    assert told == (
        f"The step's loss agrees, {words}: the update differs, by the gradient, the optimizer, its learning "
        "rate or its options."
    )


@pytest.mark.parametrize(
    ("since", "when"), [(1, "after step 1"), (0, "after step 0"), (-1, "before the first step")]
)
@pytest.mark.parametrize("what", ["weights", "loss"])
def test_where_tensors_were_digested_at_intervals_the_last_agreement_is_told(
    what: str, since: int, when: str
) -> None:
    first = Divergence(what=what, tensor="a", recorded=1.0, found=2.0, step=3, epoch=1, batch=1, since=since)
    told = verdict.words(replace(difference.between(record(), record()), first=first))[1]
    assert told == (
        f"All tensors are known to agree {when}; wide ones are digested at intervals, and may have come "
        "apart since. To name the step, replay with --every-step where the run is IDENTICAL, and then that "
        "replay here."
    )


def test_a_recipe_that_makes_the_recorded_bits_is_told() -> None:
    found = [
        Change(name="recipe.lr", recorded=0.001, found=0.002),
        Change(name="recipe.momentum", recorded=None, found=0.9),
    ]
    assert verdict.explanation_words(found, 11, 12) == (
        "Cause, found by trying: trained with recipe.lr 0.002, where the record says 0.001; recipe.momentum "
        "0.9, where the record says none.",
        "That makes the recorded weights after 11 of the 12 steps tried, from the first.",
    )


def test_a_verdict_is_json_whatever_numbers_it_has() -> None:
    apart = difference.between(record(), with_outcome(record(), **with_loss(0, math.inf)))
    told = Verdict(
        verdict="DIVERGED",
        run="r",
        source="s",
        name="n",
        reasons=("a",),
        difference=verdict.json_values(apart),
    ).to_dict()
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again == told
    assert list(told) == ["verdict", "run", "source", "name", "replay", "reasons", "report", "difference"]
    assert (told["verdict"], told["replay"], told["reasons"], told["report"]) == ("DIVERGED", None, ["a"], [])
    first = told["difference"]["first"]
    assert (first["recorded"], first["found"], first["step"], first["others"]) == (10.0, "inf", 0, 0)
    assert [count["differ"] for count in told["difference"]["counts"]] == [1, 0, 0, 0, 0, 0]


def test_exit_codes() -> None:
    codes = {"IDENTICAL": 0, "DIVERGED": 1, "INCONCLUSIVE": 3, "TAMPERED": 4}
    for name, code in codes.items():
        assert Verdict(verdict=name, run="", source="", name="").exit_code == code
