"""Trying: the first update of a user's own network is computed before its run begins, and taken back.

What cannot work (shapes, an operation without a deterministic form, what cannot be saved) is so said before
anything is created.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from reproven.errors import OwnCodeError
from reproven.own.failing import blaming
from reproven.own.generators import NOT_DETERMINISTIC, Draws

Loss = Callable[[Tensor, Tensor], Tensor]


def nondeterministic(
    name: str,
    network: nn.Module,
    draws: Draws,
    X: Tensor,
    y: Tensor,
    *,
    batch_size: int,
    outputs: int,
    loss: Loss,
    is_allowed: bool,
) -> list[str]:
    """The operations of a network and its loss that have no deterministic form, by their names.

    Args:
        name: What errors call the network.
        network: It is left as it is: in training mode, with its buffers.
        draws: What it draws from; told whether it draws from NumPy's and Python's generators too.
        X: Features of the training rows.
        y: Targets as the loss takes them.
        batch_size: Rows in a batch: a whole one is tried, and the last one, which may be smaller.
        outputs: How many numbers the network must put out for a row.
        loss: What is made small.
        is_allowed: Whether operations may have no deterministic form.

    Raises:
        OwnCodeError: It cannot be trained like this; says why.
    """
    buffers = {key: one.clone() for key, one in network.named_buffers()}
    network.train()
    sizes = dict.fromkeys((min(batch_size, len(X)), len(X) % batch_size or batch_size))
    found: list[str] = []
    try:
        for size in sizes:
            with _deterministic(found), draws.noting_others():
                _try(name, network, X[:size], y[:size], outputs=outputs, loss=loss)
    finally:
        with torch.no_grad():
            for key, one in network.named_buffers():
                one.copy_(buffers[key])
    if found and not is_allowed:
        raise OwnCodeError(
            f"{name} uses {', '.join(found)}, of which there is no deterministic form, so no replay could "
            "say whether it is the same. Use something else, or add --allow-nondeterministic."
        )
    _save(name, network)
    return found


def _try(name: str, network: nn.Module, X: Tensor, y: Tensor, *, outputs: int, loss: Loss) -> None:
    given = f"a batch of shape {tuple(X.shape)}"
    with blaming(f"{name}, given {given},"):
        found = network(X)
    shapes = [(len(X), outputs), *([(len(X),)] if outputs == 1 else [])]
    if not isinstance(found, Tensor) or tuple(found.shape) not in shapes:
        what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise OwnCodeError(
            f"{name}, given {given}, puts out {what}, but must put out a tensor of shape {shapes[0]}: "
            f"{outputs} for each row."
        )
    with blaming(f"The loss, given outputs of {name} and targets of shape {tuple(y.shape)},"):
        value = loss(found, y)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        what = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise OwnCodeError(
            f"The loss gives {what}, but must give one number, as a tensor that follows from the outputs."
        )
    with blaming(f"The gradient of {name}"):
        parameters = [one for one in network.parameters() if one.requires_grad]
        torch.autograd.grad(value, parameters, allow_unused=True)
    with blaming(f"{name}, in evaluation,"), torch.inference_mode():
        network.eval()
        network(X)
        network.train()


@contextmanager
def _deterministic(found: list[str]) -> Iterator[None]:
    """Notes the operations that have no deterministic form, which torch warns of where they are allowed."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    for one in told:
        what, is_it, _ = str(one.message).partition(f" {NOT_DETERMINISTIC}")
        if is_it and what not in found:
            found.append(what)


def _save(name: str, network: nn.Module) -> None:
    with blaming(f"Saving {name} whole"):
        torch.save(network, io.BytesIO())
