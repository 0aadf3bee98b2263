"""difference and verdict: causes first, then the first result that differs, at its place, in ulp."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recording import CODE, ENVIRONMENT, NAMES, digest, record, with_outcome
from reproven import Recipe
from reproven.proof import difference, verdict
from reproven.proof.difference import Count, Divergence, ulps
from reproven.values import changes
from reproven.values.changes import Change
from reproven.values.record import Record


def with_environment(**changed: Any) -> Record:
    return record(environment={**ENVIRONMENT, **changed})


def test_equal_records_are_identical() -> None:
    apart = difference.between(record(), record())
    assert apart.first is None
    assert verdict.judge(apart, "portable") == ("IDENTICAL", ())
    assert verdict.words(apart) == (
        "Equal to the bit: losses (6), weights after steps (6), weights after epochs (3), final tensors (2), "
        "predictions by part (1), errors (1).",
    )


def test_the_first_loss_that_differs_is_named_with_its_bits() -> None:
    old = record()
    steps = list(old.outcome.steps)
    steps[3] = replace(steps[3], loss=float(np.nextafter(np.float32(2.5), np.float32(9))))
    steps[5] = replace(steps[5], loss=7.0)
    apart = difference.between(old, with_outcome(old, steps=tuple(steps)))
    first = apart.first
    assert first is not None
    assert (first.what, first.step, first.epoch, first.batch, first.ulp) == ("loss", 3, 1, 1, 1)
    assert apart.loss == first
    text = "\n".join(verdict.words(apart))
    assert (
        "step 3 (epoch 1, batch 1), its loss: recorded 2.5 (0x40200000), now 2.50000024 (0x40200001), "
        "1 ulp apart" in text
    )
    assert "losses (2 of 6)" in text
    assert "The weights before that step agree: its batch or the network's forward pass differs." in text
    assert text.endswith("Cause: unexplained. Every recorded input is the same.")


def test_weights_after_a_step_come_before_the_next_loss() -> None:
    old = record()
    steps, weights = list(old.outcome.steps), list(old.outcome.step_weights)
    steps[4] = replace(steps[4], loss=0.25)
    weights[2] = (weights[2][0], "0" * 16)
    found = with_outcome(old, steps=tuple(steps), step_weights=tuple(weights))
    apart = difference.between(old, found)
    assert apart.first is not None
    assert (apart.first.what, apart.first.step, apart.first.tensor) == ("weights", 2, "hidden.bias")
    assert apart.first.others == 0
    assert apart.loss is not None
    assert apart.loss.step == 4
    assert "the update of this tensor alone differs" in "\n".join(verdict.words(apart))


def test_a_tensor_digested_at_intervals_came_apart_since_it_last_agreed() -> None:
    """WEIGHT is digested after the steps 1, 3 and 5, BIAS after every one."""
    rows = [row if s % 2 else ("", row[1]) for s, row in enumerate(ROWS)]
    old = with_outcome(record(), weights_every={WEIGHT: 2}, step_weights=tuple(rows))
    apart = difference.between(
        old, with_outcome(old, step_weights=(*rows[:3], (ZEROS, rows[3][1]), *rows[4:]))
    )
    assert apart.first is not None
    assert (apart.first.what, apart.first.step, apart.first.tensor, apart.first.since) == (
        "weights",
        3,
        WEIGHT,
        1,
    )
    text = "\n".join(verdict.words(apart))
    assert "All tensors are known to agree after step 1; wide ones are digested at intervals" in text
    assert "replay with --every-step where the run is IDENTICAL" in text
    loss = with_outcome(old, steps=(replace(STEPS[0], loss=7.0), *STEPS[1:]))
    assert "Before any update" in "\n".join(verdict.words(difference.between(old, loss)))
    loss = with_outcome(old, steps=(*STEPS[:3], replace(STEPS[3], loss=7.0), *STEPS[4:]))
    assert "known to agree after step 1" in "\n".join(verdict.words(difference.between(old, loss)))
    loss = with_outcome(old, steps=(*STEPS[:2], replace(STEPS[2], loss=7.0), *STEPS[3:]))
    assert "The weights before that step agree" in "\n".join(verdict.words(difference.between(old, loss)))
    counts = {count.what: (count.differ, count.compared) for count in apart.counts}
    assert counts["weights after steps"] == (1, 6)
    finer = difference.between(old, record())  # of the same run
    assert finer.first is None
    assert not any(count.differ for count in finer.counts)


def test_a_tensor_is_known_to_agree_where_both_records_digested_it() -> None:
    """WEIGHT is digested after the steps 1, 3 and 5 in one of them, after every step in the other."""
    rows = tuple(row if s % 2 else ("", row[1]) for s, row in enumerate(ROWS))
    coarse = with_outcome(record(), weights_every={WEIGHT: 2}, step_weights=rows)
    for step, since in ((0, None), (1, -1), (2, None), (3, 1)):
        steps = (*STEPS[:step], replace(STEPS[step], loss=7.0), *STEPS[step + 1 :])
        fine = with_outcome(record(), steps=steps)
        for apart in (difference.between(coarse, fine), difference.between(fine, coarse)):
            assert apart.first is not None
            assert (apart.first.what, apart.first.step, apart.first.since) == ("loss", step, since)


def test_final_weights_are_compared_element_by_element() -> None:
    old = record()
    new = with_outcome(
        record(weights=float(np.nextafter(np.float32(0.5), np.float32(0)))),
        final_weights={**old.outcome.final_weights, "hidden.weight": digest("another")},
    )
    apart = difference.between(old, new)
    assert apart.first is not None
    assert (apart.first.what, apart.first.tensor, apart.first.index) == (
        "final weights",
        "hidden.weight",
        (0, 0),
    )
    assert apart.first.ulp == 1
    assert "the final weights, hidden.weight[0, 0]: recorded 0.5 (0x3f000000), now 0.49999997" in "\n".join(
        verdict.words(apart)
    )


OTHER_TORCH: dict[str, Any] = {**ENVIRONMENT["torch"], "matmul_precision": "high"}
CHANGED: list[tuple[str, dict[str, Any]]] = [
    ("recipe.lr", {"recipe": Recipe(epochs=3, profile="portable", lr=0.002)}),
    ("recipe.optimizer", {"recipe": Recipe(epochs=3, profile="portable", optimizer="rmsprop", momentum=0)}),
    ("recipe.data_sha256", {"recipe": Recipe(epochs=3, profile="portable", data_sha256="0" * 64)}),
    ("split", {"split_sha256": "0" * 64}),
    ("code.commit", {"code": replace(CODE, commit="b" * 40, source_sha256="f" * 64)}),
    ("code.patch_sha256", {"code": replace(CODE, patch_sha256="c" * 64, source_sha256="f" * 64)}),
    ("environment.packages.numpy", {"environment": {**ENVIRONMENT, "packages": {"numpy": "1.26.4"}}}),
    ("environment.torch.matmul_precision", {"environment": {**ENVIRONMENT, "torch": OTHER_TORCH}}),
    ("environment.python", {"environment": {**ENVIRONMENT, "python": "3.11.1"}}),
    ("standardisation's scale", {"standardisation": {"mean": digest("mean"), "scale": digest("other")}}),
    ("initial weights of hidden.bias", {"initial_weights": {"hidden.weight": digest(NAMES[0], "initial")}}),
]


@pytest.mark.parametrize(("name", "inputs"), CHANGED)
def test_an_input_that_differs_is_named(name: str, inputs: dict[str, Any]) -> None:
    changes = difference.between(record(), record(**inputs)).changes
    assert name in [change.name for change in changes]
    old, new = record(), record(**inputs)
    steps = (replace(new.outcome.steps[0], loss=99.0), *new.outcome.steps[1:])
    apart = difference.between(old, with_outcome(new, steps=steps))
    assert verdict.judge(apart, "portable")[0] == "DIVERGED"
    assert f"Possible causes, the first one first: {changes[0].name} is " in "\n".join(verdict.words(apart))


def test_causes_stand_in_one_order() -> None:
    every = dict(inputs for _, one in CHANGED for inputs in one.items())
    names = [change.name for change in changes.changes(record().inputs, record(**every).inputs)]
    kinds = [name.split(".")[0].split(" ")[0] for name in names]
    assert list(dict.fromkeys(kinds)) == [
        *("recipe", "split", "code", "environment", "standardisation's", "initial")
    ]


def test_another_commit_with_the_same_source_is_no_cause() -> None:
    other = record(code=replace(CODE, commit="b" * 40, patch_sha256="c" * 64))
    assert difference.between(record(), other).changes == ()


def test_what_changes_no_bit_is_no_cause() -> None:
    other = with_environment(cpu="another", system="Linux 7", installed={}, variables={"OMP_DYNAMIC": "1"})
    assert difference.between(record(), other).changes == ()
    native = {**ENVIRONMENT, "profile": "native"}
    recipe = Recipe(epochs=3, profile="native")
    old = record(recipe=recipe, environment=native)
    new = record(recipe=recipe, environment={**native, "cpu": "another"})
    assert changes.changes(old.inputs, new.inputs) == (
        Change(name="environment.cpu", recorded="one", found="another"),
    )


@pytest.mark.parametrize(
    ("changed", "profile", "verdict_expected"),
    [
        ({"torch": {**ENVIRONMENT["torch"], "version": "2.14.0"}}, "portable", "INCONCLUSIVE"),
        ({"machine": "aarch64"}, "portable", "DIVERGED"),
        ({"machine": "aarch64"}, "native", "INCONCLUSIVE"),
        ({"profile": "native"}, "portable", "INCONCLUSIVE"),
        ({"cpu": "another"}, "portable", "DIVERGED"),
        ({"cpu": "another", "profile": "native"}, "native", "INCONCLUSIVE"),
        ({"torch": {**ENVIRONMENT["torch"], "threads": 2}}, "native", "DIVERGED"),
    ],
)
def test_it_cannot_be_asked_fairly_of_another_torch_or_machine(
    changed: dict[str, Any], profile: str, verdict_expected: str
) -> None:
    old = record(recipe=Recipe(epochs=3, profile=profile), environment={**ENVIRONMENT, "profile": profile})
    new = record(
        recipe=Recipe(epochs=3, profile=profile), environment={**ENVIRONMENT, "profile": profile, **changed}
    )
    assert verdict.judge(difference.between(old, new), profile)[0] == "IDENTICAL"  # equal on any machine
    steps = (replace(new.outcome.steps[0], loss=99.0), *new.outcome.steps[1:])
    apart = difference.between(old, with_outcome(new, steps=steps))
    found, reasons = verdict.judge(apart, profile)
    assert found == verdict_expected
    assert bool(reasons) == (found == "INCONCLUSIVE")


@pytest.mark.parametrize(
    ("a", "b", "double", "expected"),
    [
        (1.0, 1.0, False, 0),
        (0.0, -0.0, False, 0),
        (1.0, float(np.nextafter(np.float32(1), np.float32(2))), False, 1),
        (1.4e-45, -1.4e-45, False, 2),
        (1.0, math.nextafter(1.0, 2.0), True, 1),
        (3.4028234663852886e38, math.inf, False, 1),
        (1.0, math.nan, False, None),
        (math.nan, 1.0, True, None),
        (-1.0, 1.0, False, 2 * 0x3F800000),
        (-1.0, 1.0, True, 2 * 0x3FF0000000000000),
        (-1.0, -1.5, False, 0x3FC00000 - 0x3F800000),
        (-1.0, math.nextafter(-1.0, -2.0), True, 1),
        (0.0, -0.0, True, 0),
        (5e-324, -5e-324, True, 2),
    ],
)
def test_ulps_count_the_numbers_between(a: float, b: float, double: bool, expected: int | None) -> None:
    assert ulps(a, b, double=double) == expected


def test_a_zero_of_another_sign_is_a_difference() -> None:
    old = record()
    steps = (replace(old.outcome.steps[0], loss=0.0), *old.outcome.steps[1:])
    negative = (replace(old.outcome.steps[0], loss=-0.0), *old.outcome.steps[1:])
    apart = difference.between(with_outcome(old, steps=steps), with_outcome(old, steps=negative))
    assert apart.first is not None
    assert apart.first.ulp == 0


def test_two_losses_that_are_no_numbers_are_no_difference() -> None:
    old = record()
    first, *rest = old.outcome.steps
    one, other = (with_outcome(old, steps=(replace(first, loss=nan), *rest)) for nan in (math.nan, -math.nan))
    apart = difference.between(one, other)
    assert (apart.first, apart.loss) == (None, None)
    assert {count.differ for count in apart.counts} == {0}
    apart = difference.between(one, old)
    assert apart.first is not None
    assert (apart.first.what, apart.first.step, apart.first.ulp) == ("loss", 0, None)


def test_a_shorter_record_is_a_difference() -> None:
    old = record()
    new = with_outcome(old, steps=old.outcome.steps[:4], step_weights=old.outcome.step_weights[:4])
    apart = difference.between(old, new)
    assert apart.first is not None
    assert (apart.first.what, apart.first.recorded, apart.first.found) == ("steps", 6.0, 4.0)
    assert "the number of steps: recorded 6, now 4" in "\n".join(verdict.words(apart))


WHOLE = record().outcome
STEPS, ROWS, EPOCHS, FINAL = WHOLE.steps, WHOLE.step_weights, WHOLE.epoch_weights, WHOLE.final_weights
ZEROS, WEIGHT, BIAS = "0" * 16, *NAMES
EXACT: list[tuple[dict[str, Any], Divergence]] = [
    (
        {"steps": (*STEPS[:3], replace(STEPS[3], loss=2.75), *STEPS[4:])},
        Divergence(what="loss", recorded=2.5, found=2.75, step=3, epoch=1, batch=1, ulp=1 << 20),
    ),
    (
        {"step_weights": (*ROWS[:2], (ZEROS, ZEROS), *ROWS[3:])},
        Divergence(
            what="weights",
            recorded=ROWS[2][0],
            found=ZEROS,
            step=2,
            epoch=1,
            batch=0,
            tensor=WEIGHT,
            others=1,
        ),
    ),
    (
        {"step_weights": (*ROWS[:5], ROWS[5][:1])},
        Divergence(
            what="weights", recorded=ROWS[5][1], found="missing", step=5, epoch=2, batch=1, tensor=BIAS
        ),
    ),
    (
        {"steps": STEPS[:5], "step_weights": ROWS[:5]},
        Divergence(what="steps", recorded=6.0, found=5.0),
    ),
    (
        {"epoch_weights": (EPOCHS[0], ZEROS, EPOCHS[2])},
        Divergence(what="epoch", recorded=EPOCHS[1], found=ZEROS, epoch=1),
    ),
    (
        {"epoch_weights": EPOCHS[:2]},
        Divergence(what="epoch", recorded=EPOCHS[2], found="missing", epoch=2),
    ),
    (
        {"final_weights": {**FINAL, BIAS: ZEROS}},
        Divergence(what="final weights", recorded=FINAL[BIAS], found=ZEROS, tensor=BIAS),
    ),
    (
        {"predictions": {"train": ZEROS}},
        Divergence(what="predictions", recorded=digest("predictions"), found=ZEROS, tensor="train"),
    ),
    (
        {"errors": {"train_rmse": math.nextafter(3.5, 0)}},
        Divergence(what="train_rmse", recorded=3.5, found=math.nextafter(3.5, 0), ulp=1),
    ),
    ({"errors": {}}, Divergence(what="train_rmse", recorded=3.5, found="missing")),
    (
        {"errors": {"train_rmse": 3.5, "test_rmse": 1.0}},
        Divergence(what="test_rmse", recorded="missing", found=1.0),
    ),
    ({"best_epoch": 2}, Divergence(what="best epoch", recorded="None", found="2")),
    ({"failure": "It broke."}, Divergence(what="failure", recorded="None", found="It broke.")),
    ({"pruned": "Worse."}, Divergence(what="pruned", recorded="None", found="Worse.")),
]


def test_what_the_recipe_determines_before_the_first_step_is_a_result_too() -> None:
    other = record(standardisation={"mean": digest("mean"), "scale": ZEROS})
    assert difference.between(record(), other).first == Divergence(
        what="start", tensor="standardisation's scale", recorded=digest("scale"), found=ZEROS
    )
    assert difference.between(record(), record(environment={**ENVIRONMENT, "python": "3.11.1"})).first is None


@pytest.mark.parametrize("name", ["failure", "pruned"])
def test_another_reason_for_the_same_end_is_a_difference(name: str) -> None:
    one, other = (with_outcome(record(), **{name: why}) for why in ("It broke.", "It broke again."))
    expected = Divergence(what=name, recorded="It broke.", found="It broke again.")
    assert difference.between(one, other).first == expected


def test_another_best_epoch_is_told_with_both() -> None:
    one, other = (with_outcome(record(), best_epoch=epoch) for epoch in (1, 2))
    expected = Divergence(what="best epoch", recorded="1", found="2")
    assert difference.between(one, other).first == expected


@pytest.mark.parametrize(("changed", "expected"), EXACT)
def test_a_difference_is_told_with_its_place_and_both_values(
    changed: dict[str, Any], expected: Divergence
) -> None:
    apart = difference.between(record(), with_outcome(record(), **changed))
    assert apart.first == expected
    assert apart.loss == (expected if expected.what == "loss" else None)
    assert (apart.weight, apart.changes) == (None, ())
    assert apart.counts[0].what == "losses"


def test_of_files_that_differ_the_first_is_named_and_all_are_counted() -> None:
    same = difference.between(record(), record())
    apart = difference.with_files(same, [("MLmodel", "a", "b"), ("run.png", "c", "d")], compared=5, skipped=2)
    first = Divergence(what="file", tensor="MLmodel", recorded="a", found="b")
    counts = (*same.counts, Count(what="files", differ=2, compared=5))
    assert apart == replace(same, first=first, counts=counts, skipped=2)
    counts = (*same.counts, Count(what="files", differ=0, compared=5))
    assert difference.with_files(same, [], compared=5, skipped=0) == replace(same, counts=counts)
    pruned = difference.between(record(), with_outcome(record(), pruned="Worse."))
    assert difference.with_files(pruned, [], compared=5, skipped=0).first == pruned.first is not None


@pytest.mark.parametrize(
    ("changed", "is_alike"),
    [
        ({}, True),
        ({"code": replace(CODE, commit="b" * 40, branch="other")}, True),
        ({"code": replace(CODE, source_sha256="f" * 64)}, False),
        ({"environment": {**ENVIRONMENT, "cpu": "another"}}, True),
        ({"environment": {**ENVIRONMENT, "python": "3.11.1"}}, False),
        ({"environment": {**ENVIRONMENT, "packages": {"numpy": "1.26.4"}}}, False),
        ({"environment": {**ENVIRONMENT, "machine": "aarch64"}}, False),
        ({"environment": {**ENVIRONMENT, "installed": {"pillow": "12.0.0"}}}, False),
        ({"environment": {name: of for name, of in ENVIRONMENT.items() if name != "installed"}}, True),
    ],
)
def test_figures_come_out_alike_from_the_same_code_packages_and_machine(
    changed: dict[str, Any], is_alike: bool
) -> None:
    one, other = record().inputs, record(**changed).inputs
    assert difference.draw_alike(one, other) is difference.draw_alike(other, one) is is_alike
    assert difference.draw_alike(other, other)


def test_of_the_values_of_final_weights_those_that_both_have_are_compared() -> None:
    old = record()
    ours = np.array([[0.0, 1.0], [2.0, np.nan]], dtype=np.float32)
    theirs = np.asfortranarray(np.array([[-0.0, 1.0], [2.5, np.nan]]))
    for a, b, index, ulp in (
        (ours, theirs, (0, 0), 0),
        (ours[1:], theirs[1:], (0, 0), 1 << 21),
        (ours[:, ::-1], theirs[:, ::-1], (0, 1), 0),
    ):
        apart = difference.between(replace(old, weights={BIAS: a}), replace(old, weights={BIAS: b}))
        x, y = float(a[index]), float(b[index])
        expected = Divergence(what="final weights", recorded=x, found=y, tensor=BIAS, index=index, ulp=ulp)
        assert (apart.first, apart.weight) == (expected, expected)
    for other in ({WEIGHT: ours}, {BIAS: ours.ravel()}, {}):
        assert (
            difference.between(replace(old, weights={BIAS: theirs}), replace(old, weights=other)).weight
            is None
        )


def test_of_several_verdicts_the_worst_decides() -> None:
    def of(name: str) -> verdict.Verdict:
        return verdict.Verdict(verdict=name, run="", source="", name="")

    assert verdict.worst([]) == 0
    assert verdict.worst([of("IDENTICAL"), of("INCONCLUSIVE")]) == 3
    assert verdict.worst([of("DIVERGED"), of("INCONCLUSIVE")]) == 1
    assert verdict.worst([of("DIVERGED"), of("TAMPERED"), of("IDENTICAL")]) == 4


ANYTHING: list[dict[str, Any]] = [
    {"steps": record().outcome.steps[:5]},
    {"steps": tuple(replace(step, loss=math.nan) for step in record().outcome.steps)},
    {"step_weights": tuple(("0" * 16, "0" * 16) for _ in range(6))},
    {"step_weights": tuple(row[:1] for row in record().outcome.step_weights)},
    {"epoch_weights": record().outcome.epoch_weights[:2]},
    {"epoch_weights": ("0" * 64, *record().outcome.epoch_weights[1:])},
    {"final_weights": {"hidden.weight": digest("hidden.weight", "final")}},
    {"final_weights": {**record().outcome.final_weights, "more": "0" * 64}},
    {"predictions": {}},
    {"predictions": {**record().outcome.predictions, "test": "0" * 64}},
    {"errors": {}},
    {"errors": {"train_rmse": 3.5, "test_rmse": 1.0}},
    {"errors": {"train_rmse": math.nextafter(3.5, 4.0)}},
    {"failure": "The loss became inf"},
    {"pruned": "After epoch 1 it was worse"},
    {"best_epoch": 2},
]


@pytest.mark.parametrize("changed", ANYTHING)
@pytest.mark.parametrize("is_recorded", [True, False])
def test_nothing_of_an_outcome_is_overlooked(changed: dict[str, Any], is_recorded: bool) -> None:
    same, other = record(), with_outcome(record(), **changed)
    apart = difference.between(other, same) if is_recorded else difference.between(same, other)
    assert verdict.judge(apart, "portable")[0] == "DIVERGED"
    assert "First difference: " in verdict.words(apart)[0]
