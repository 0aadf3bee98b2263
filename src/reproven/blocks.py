"""Blocks: a network is asked for its outputs in blocks of rows of one size, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_JIT: Any = torch.jit  # which has no types
BLOCK = 256  # rows; part of what predictions are, like the weights


def is_followed(X: Tensor) -> bool:
    """Whether torch follows what is computed, to trace or export it."""
    return bool(_JIT.is_tracing()) or isinstance(X.shape[0], torch.SymInt) or torch.compiler.is_exporting()


def in_blocks(network: nn.Module, X: Tensor) -> Tensor:
    """What a network puts out, (rows, outputs), a row's bits not depending on how many rows stand beside it.

    Matrix products take other paths for other numbers of rows, and end in other bits: a row alone would
    differ from the same row in its table. So all go through in blocks of one size, the last one padded.
    (With MKL_CBWR=COMPATIBLE that is all; without it MKL may also round by a row's place in its block.)

    Args:
        network: Takes (rows, features) and returns (rows, outputs).
        X: Features, (rows, features).
    """
    if _JIT.is_tracing():
        if not getattr(
            network, "is_perceptron", False
        ):  # a network of the user's own, of which nothing is known
            traced: Tensor = network(X)
            return traced
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        return _traced(X, [layer.weight for layer in layers], [layer.bias for layer in layers], BLOCK)
    if isinstance(X.shape[0], torch.SymInt):
        return _exported(network, X)
    whole = len(X) - len(X) % BLOCK
    blocks = [*torch.split(X[:whole], BLOCK)] if whole or not len(X) else []
    if whole < len(X):
        rest = X[whole:]
        blocks.append(torch.cat([rest, rest.new_zeros((BLOCK - len(rest), *rest.shape[1:]))]))
    outputs = torch.cat([network(block) for block in blocks])[: len(X)]
    return outputs if outputs.ndim > 1 else outputs.unsqueeze(1)


def _exported(network: nn.Module, X: Tensor) -> Tensor:
    """`in_blocks` for `torch.export`: how many rows and blocks there are stays open; at least one row.

    What is padded here is the last row, up to two blocks more than are full: torch must see from the numbers
    alone that there are several blocks, and that nothing is asked of X that it does not have.
    """
    from torch._higher_order_ops.map import map as each

    rows = X.shape[0]
    starts = BLOCK * torch.arange(rows // BLOCK + 2, device=X.device).unsqueeze(1)
    numbers = starts + torch.arange(BLOCK, device=X.device)  # (blocks, BLOCK)
    found: Tensor = each(network, X[numbers.clamp(max=rows - 1)])  # (blocks, BLOCK, outputs)
    return found.flatten(end_dim=1)[torch.arange(rows, device=X.device)]


def _by_layers(X: Tensor, weights: list[Tensor], biases: list[Tensor], size: int) -> Tensor:
    """`in_blocks` for `torch.jit.trace`, which keeps a loop only where it is compiled: of a perceptron alone.

    Args:
        X: Features, (rows, features).
        weights: Of each layer, (width, inputs).
        biases: Of each layer, (width,).
        size: Rows of a block.
    """
    found = []
    for block in torch.split(functional.pad(X, [0, 0, 0, -X.shape[0] % size]), size):
        x = block
        for number, (weight, bias) in enumerate(zip(weights, biases)):  # noqa: B905 (TorchScript's zip)
            x = functional.linear(torch.relu(x) if number else x, weight, bias)
        found.append(x)
    return torch.cat(found)[: X.shape[0]]


_traced: Callable[[Tensor, list[Tensor], list[Tensor], int], Tensor] = _JIT.script_if_tracing(_by_layers)
