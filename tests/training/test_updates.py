"""The other optimizers, schedules and clipped gradients: the bits of a stock loop with torch's own parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

from reproven import networks
from reproven.arithmetic.profiles import PROFILES
from reproven.errors import InvalidInput
from reproven.operations.takeover import computing
from reproven.recipes.choices import OTHER_OPTIMIZERS
from reproven.recipes.recipe import Recipe
from reproven.training.prepared import prepare

EPOCHS, STEPS = 3, 12
Schedule = Callable[[torch.optim.Optimizer], Any]


def stock(
    kind: str,
    X: torch.Tensor,
    y: torch.Tensor,
    *,
    schedule: Schedule | None = None,
    per: str = "epoch",
    clip: float | None = None,
    **options: Any,
) -> tuple[list[float], list[torch.Tensor]]:
    """A loop as torch's documentation has it; its losses and weights."""
    with torch.random.fork_rng():
        torch.manual_seed(12)
        network = networks.MLPModule(13, (10, 10))
    optimizer = getattr(torch.optim, kind)(network.parameters(), **options)
    scheduler = schedule(optimizer) if schedule else None
    generator = torch.Generator().manual_seed(12)
    loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True, generator=generator)
    losses = []
    for _ in range(EPOCHS):
        for batch_X, batch_y in loader:
            loss = nn.functional.mse_loss(network(batch_X).flatten(), batch_y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())
            if scheduler is not None and per == "step":
                scheduler.step()
        if scheduler is not None and per == "epoch":
            scheduler.step()
    return losses, list(network.parameters())


Same = Callable[..., None]


@pytest.fixture(params=PROFILES)
def same(request: pytest.FixtureRequest) -> Same:
    """Compares a recipe with a stock loop, in either arithmetic."""

    def compare(recipe: Recipe, kind: str, **how: Any) -> None:
        made = prepare(replace(recipe, profile=request.param))
        losses = [step.loss for step in made.steps()]
        with computing(request.param):
            expected, weights = stock(kind, *made.parts["train"], **how)
        assert losses == expected
        assert all(torch.equal(a, b) for a, b in zip(made.state.network.parameters(), weights, strict=True))

    return compare


KINDS = {name.lower(): name for name in dir(torch.optim)}


@pytest.mark.parametrize("name", [name for name in OTHER_OPTIMIZERS if name != "muon"])
def test_an_optimizer_of_torch_is_its_own(name: str, same: Same) -> None:
    same(Recipe(optimizer=name, lr=0.01, epochs=EPOCHS), KINDS[name], lr=0.01)


def test_its_arguments_are_handed_on(same: Same) -> None:
    arguments = {"momentum_decay": 0.1, "betas": [0.8, 0.9], "weight_decay": 0.01}
    recipe = Recipe(optimizer="nadam", optimizer_args=arguments, lr=0.01, epochs=EPOCHS)
    same(recipe, "NAdam", lr=0.01, momentum_decay=0.1, betas=(0.8, 0.9), weight_decay=0.01)


def test_muon_takes_matrices_alone_and_says_so() -> None:
    with pytest.raises(InvalidInput, match="optimizer muon or its schedule does not take what it is given"):
        prepare(Recipe(optimizer="muon", epochs=1))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nadam"])
@pytest.mark.parametrize(
    ("name", "arguments", "per", "schedule"),
    [
        ("CosineAnnealingLR", {}, "epoch", lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS)),
        ("CosineAnnealingLR", {}, "step", lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
        ("StepLR", {"step_size": 2, "gamma": 0.5}, "epoch", lambda o: lr_scheduler.StepLR(o, 2, 0.5)),
        ("MultiStepLR", {"milestones": [1, 2]}, "epoch", lambda o: lr_scheduler.MultiStepLR(o, [1, 2])),
        ("LinearLR", {"total_iters": 8}, "step", lambda o: lr_scheduler.LinearLR(o, total_iters=8)),
        ("ExponentialLR", {"gamma": 0.9}, "step", lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    ],
)
def test_a_schedule_is_torchs(
    optimizer: str, name: str, arguments: dict[str, Any], per: str, schedule: Schedule, same: Same
) -> None:
    recipe = Recipe(
        optimizer=optimizer,
        lr=0.01,
        epochs=EPOCHS,
        schedule=name,
        schedule_args=arguments,
        schedule_per=per,
    )
    same(recipe, KINDS[optimizer], schedule=schedule, per=per, lr=0.01)


def test_one_cycle_moves_the_momentum_too(same: Same) -> None:
    recipe = Recipe(optimizer="sgd", momentum=0.9, lr=0.01, epochs=EPOCHS, schedule="OneCycleLR")
    assert recipe.schedule_per == "step"

    def cycle(optimizer: torch.optim.Optimizer) -> Any:
        return lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=STEPS)

    same(recipe, "SGD", schedule=cycle, per="step", lr=0.01, momentum=0.9)


def test_a_plateau_is_seen_by_the_validation_error() -> None:
    recipe = Recipe(
        lr=0.01,
        epochs=4,
        validation_size=0.2,
        schedule="ReduceLROnPlateau",
        schedule_args={"patience": 0, "factor": 0.1},
    )
    made = prepare(recipe)
    judged: list[float] = []
    rates = []
    updates = made.updates()
    for epoch, error in enumerate([3.0, 2.0, 2.5, 2.4], start=1):
        judged.append(error)
        updates.reach(steps=0, epochs=epoch, judged=judged)
        rates.append(updates._groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.0001])


@pytest.mark.parametrize("norm", [0.5, 1e9])
def test_gradients_are_clipped_as_torch_does(norm: float, same: Same) -> None:
    same(Recipe(lr=0.01, epochs=EPOCHS, clip_norm=norm), "SGD", lr=0.01, clip=norm)


def test_layers_keep_their_own_rates_under_a_schedule() -> None:
    made = prepare(
        Recipe(
            lr=0.01, layer_lr=(("regression", 0.1),), schedule="ExponentialLR", schedule_args={"gamma": 0.5}
        )
    )
    updates = made.updates()
    updates.reach(steps=8, epochs=2, judged=())
    assert [group["lr"] for group in updates._groups] == [0.0025] * 4 + [0.025] * 2
