"""The training loop: a generator that yields a `Step` after each update, and the state that it moves.

Whoever pulls it (train, later replay and resume, or a test that stops after three steps) decides what to
do with a step; the loop does not know. The state is the one mutable thing, and `steps` alone writes it.
The batches are those of torch's DataLoader with `shuffle=True` and a seeded generator, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from reproven.operations.takeover import at_hand, computing
from reproven.own.generators import Draws
from reproven.training.losses import Slopes
from reproven.training.optimizers import Slots
from reproven.training.updates import Updates
from reproven.values.steps import Step


@dataclass(slots=True)
class State:
    """Where training stands: all that the next step depends on, beside the recipe and the data.

    Attributes:
        network: Its parameters are updated in place.
        generator: Draws the order of the rows, an epoch at a time.
        slots: What the optimizer keeps, a dict for each parameter that is trained, in their order.
        epoch: Epochs completed.
        batch: Batches of the current epoch completed.
        order: The current epoch's rows in the order drawn, (rows,) int64; None before it is drawn.
        draws: Where the generators stand that a network of the user's own draws from; None for others.
    """

    network: nn.Module
    generator: torch.Generator
    slots: list[Slots]
    epoch: int = 0
    batch: int = 0
    order: Tensor | None = field(default=None, repr=False)
    draws: Draws | None = None

    @classmethod
    def fresh(cls, network: nn.Module, *, seed: int, draws: Draws | None = None) -> State:
        """The state before the first step."""
        slots: list[Slots] = [{} for _ in trained(network)]
        return cls(network, torch.Generator().manual_seed(seed), slots, draws=draws)

    def own_code(self) -> AbstractContextManager[None]:
        """Stands around what the network computes in training."""
        return nullcontext() if self.draws is None else self.draws.lent()


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: one for name, one in network.named_parameters() if one.requires_grad}


def steps(
    state: State,
    X: Tensor,
    y: Tensor,
    *,
    epochs: int,
    batch_size: int,
    updates: Updates,
    slopes: Slopes,
    judged: Sequence[float] = (),
    profile: str | None = None,
) -> Iterator[Step]:
    """Trains from wherever the state stands, and yields after each update.

    Args:
        state: Written in place; at each yield it is what the next step starts from.
        X: Standardised features, (rows, features) float32, on the network's device.
        y: Targets as the loss takes them, on the same device.
        epochs: Epochs in all, those before the state's included.
        batch_size: Rows in a batch; the last batch of an epoch may be smaller.
        updates: The optimizer, of the network's parameters and the state's slots.
        slopes: Of the network's parameters.
        judged: What was measured after each epoch, by whoever pulls the steps; it grows meanwhile.
        profile: Of the arithmetic; None for torch's own.

    Yields:
        Each update as a `Step`. A loss that is not finite is yielded like any other.

    Source: the order of draws is that of torch.utils.data.DataLoader and RandomSampler in torch 2.13.
    """
    per_epoch = -(-len(X) // batch_size)
    state.network.train()
    with at_hand(profile):
        while state.epoch < epochs:
            if state.order is None:
                state.order = _draw_order(state.generator, len(X))
            rows = state.order[state.batch * batch_size : (state.batch + 1) * batch_size].to(X.device)
            with computing(profile):
                with state.own_code():
                    value, gradients = slopes(X[rows], y[rows])
                updates.reach(steps=state.epoch * per_epoch + state.batch, epochs=state.epoch, judged=judged)
                updates(gradients)
            del gradients  # as large as the network, and the next ones are made beside them otherwise
            epoch, batch = state.epoch, state.batch
            ends_epoch = batch + 1 == per_epoch
            if ends_epoch:
                state.epoch, state.batch, state.order = epoch + 1, 0, None
            else:
                state.batch += 1
            yield Step(epoch * per_epoch + batch, epoch, batch, value, ends_epoch)


def _draw_order(generator: torch.Generator, rows: int) -> Tensor:
    """The order of one epoch's rows, (rows,) int64, drawn as the DataLoader draws it."""
    torch.empty((), dtype=torch.int64).random_(generator=generator)  # the workers' base seed
    order = torch.randperm(rows, generator=generator)
    torch.randperm(rows, generator=generator)  # RandomSampler draws one more, and takes none of it
    return order


def unstable(losses: list[float]) -> str:
    """The likely cause of values that are not finite, in a sentence, from the losses up to them."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        return "It is the first step, so the initial weights or the table's values are too large for float32."
    if finite[-1] > finite[0]:
        return (
            f"The loss had grown from {finite[0]:.4g} to {finite[-1]:.4g} in {len(finite)} steps: "
            "the learning rate is too large for this network and optimizer."
        )
    return (
        f"The loss was {finite[-1]:.4g} the step before: one update overshot; the learning rate is too "
        "large, or the optimizer divides by almost nothing (eps)."
    )
