"""The oracle: a stock loop of torch's own parts ends in the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from reproven import networks
from reproven.arithmetic.profiles import PROFILES
from reproven.operations.takeover import computing
from reproven.recipes.recipe import Recipe
from reproven.tables import data
from reproven.training.loop import unstable
from reproven.training.prepared import Prepared, prepare

CLASSES = {"module": networks.MLPModule, "sequential": networks.MLPSequential}
TORCH = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9, "weight_decay": 0.1}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("sgd", {"momentum": 0.5, "dampening": 0.3}),
    ("adam", {}),
    ("adam", {"weight_decay": 0.1, "amsgrad": True}),
    ("adamw", {}),
    ("adamw", {"weight_decay": 0.0, "betas": (0.8, 0.9), "eps": 1e-5, "amsgrad": True}),
    ("rmsprop", {}),
    ("rmsprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.01, "alpha": 0.9}),
]


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Iterator[str]:
    """Either arithmetic, in which the stock loop computes too."""
    with computing(request.param):
        yield request.param


def stock_network(variant: str, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CLASSES[variant](13, (10, 10))


def stock_losses(
    network: nn.Module, optimizer: torch.optim.Optimizer, X: torch.Tensor, y: torch.Tensor, epochs: int
) -> list[float]:
    """The notebook's loop, with a seeded generator in its DataLoader."""
    generator = torch.Generator().manual_seed(12)
    loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True, generator=generator)
    loss_func = nn.MSELoss()
    losses = []
    for _ in range(epochs):
        for batch_X, batch_y in loader:
            loss = loss_func(network(batch_X).flatten(), batch_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def losses_of(prepared: Prepared) -> list[float]:
    return [step.loss for step in prepared.steps()]


def equal_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("variant", CLASSES)
@pytest.mark.parametrize(("optimizer", "options"), OPTIONS)
def test_losses_and_weights_are_those_of_a_stock_loop(
    variant: str, optimizer: str, options: dict[str, Any], profile: str
) -> None:
    asked = Recipe(variant=variant, optimizer=optimizer, lr=0.002, epochs=4, profile=profile, **options)
    prepared = prepare(asked)
    network = stock_network(variant, 12)
    stock = TORCH[optimizer](network.parameters(), lr=0.002, **options)
    assert losses_of(prepared) == stock_losses(network, stock, *prepared.parts["train"], epochs=4)
    assert equal_weights(prepared.state.network, network)


def test_layers_have_their_own_learning_rates(profile: str) -> None:
    rates = (("hidden", 0.0001), ("regression", 0.01))
    prepared = prepare(
        Recipe(variant="sequential", optimizer="adam", layer_lr=rates, epochs=4, profile=profile)
    )
    network: Any = stock_network("sequential", 12)
    groups = [
        {"params": network.hidden.parameters(), "lr": 0.0001},
        {"params": network.regression.parameters(), "lr": 0.01},
    ]
    stock = torch.optim.Adam(groups, lr=0.001)
    assert losses_of(prepared) == stock_losses(network, stock, *prepared.parts["train"], epochs=4)


def test_layers_without_a_rate_take_lr(profile: str) -> None:
    prepared = prepare(Recipe(layer_lr=(("hidden1", 0.01),), lr=0.0005, epochs=4, profile=profile))
    network: Any = stock_network("module", 12)
    others = [p for name, p in network.named_parameters() if not name.startswith("hidden1.")]
    groups = [{"params": network.hidden1.parameters(), "lr": 0.01}, {"params": others}]
    stock = torch.optim.SGD(groups, lr=0.0005)
    assert losses_of(prepared) == stock_losses(network, stock, *prepared.parts["train"], epochs=4)


def test_the_notebook_s_experiment_has_the_notebook_s_bits(profile: str) -> None:
    table = data.load("boston")
    X = torch.from_numpy(StandardScaler().fit_transform(table.X).astype(np.float32))
    y = torch.from_numpy(table.y.astype(np.float32))
    prepared = prepare(Recipe(test_size=0, profile=profile))
    network = stock_network("module", 12)
    stock = torch.optim.SGD(network.parameters(), lr=0.001)
    assert losses_of(prepared) == stock_losses(network, stock, X, y, epochs=30)


def test_both_variants_start_and_end_with_equal_bits() -> None:
    ends = []
    for variant in CLASSES:
        prepared = prepare(Recipe(variant=variant, optimizer="adam", epochs=3))
        ends.append((losses_of(prepared), prepared.state.network.state_dict()))
    assert ends[0][0] == ends[1][0]
    renamed = dict(zip(ends[1][1], ends[0][1].values(), strict=True))
    assert list(renamed) == list(ends[1][1])
    assert all(torch.equal(renamed[name], ends[1][1][name]) for name in renamed)


def test_steps_go_on_from_wherever_the_state_stands() -> None:
    whole = prepare(Recipe(optimizer="adam", epochs=3))
    parted = prepare(Recipe(optimizer="adam", epochs=3))
    first = list(islice(parted.steps(), 6))  # stops in the middle of the second epoch
    assert [*first, *parted.steps()] == list(whole.steps())
    assert equal_weights(parted.state.network, whole.state.network)


def test_steps_know_their_place() -> None:
    steps = list(prepare(Recipe(epochs=2)).steps())
    assert [(s.step, s.epoch, s.batch, s.ends_epoch) for s in steps] == [
        (0, 0, 0, False),
        (1, 0, 1, False),
        (2, 0, 2, False),
        (3, 0, 3, True),
        (4, 1, 0, False),
        (5, 1, 1, False),
        (6, 1, 2, False),
        (7, 1, 3, True),
    ]


def test_what_draws_from_the_global_generators_changes_nothing() -> None:
    expected = losses_of(prepare(Recipe(epochs=3)))
    prepared = prepare(Recipe(epochs=3))
    found = []
    with torch.random.fork_rng():
        for step in prepared.steps():
            torch.rand(7)
            np.random.rand(3)
            found.append(step.loss)
    assert found == expected


def test_the_seed_decides() -> None:
    assert losses_of(prepare(Recipe(epochs=1))) == losses_of(prepare(Recipe(epochs=1)))
    assert losses_of(prepare(Recipe(epochs=1))) != losses_of(prepare(Recipe(epochs=1, seed=13)))


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([], "the initial weights or the table's values are too large"),
        ([1.0, 5.0], "had grown from 1 to 5 in 2 steps: the learning rate is too large"),
        ([5.0, 1.0], "one update overshot"),
    ],
)
def test_the_likely_cause_of_an_infinite_loss_is_named(losses: list[float], words: str) -> None:
    assert words in unstable([*losses, float("inf")])
