"""Digests of tensors: what says that two networks, or two predictions, are the same to the bit."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def tensor_sha256(tensor: Tensor) -> str:
    """Digest of a tensor's type, shape (as JSON) and little-endian values, row by row.

    Files of equal tensors differ (torch.save writes the file's own name into them); this does not.
    """
    digest = hashlib.sha256(_kind(tensor))
    digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return digest.hexdigest()


def _kind(tensor: Tensor) -> bytes:
    return json.dumps([str(tensor.dtype), list(tensor.shape)]).encode()


def tensor_digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The digest of each tensor, by its name; of `network.state_dict()`, say."""
    return {name: tensor_sha256(tensor) for name, tensor in tensors.items()}


def fitted_digests(fitted: Mapping[str, Sequence[float] | float | str]) -> dict[str, str]:
    """The digests of what was fitted to training rows, by the names that a model has for it.

    Args:
        fitted: Numbers, which are float64, and texts.
    """
    return {
        name: text_sha256(kept)
        if isinstance(kept, str)
        else tensor_sha256(torch.tensor(kept, dtype=torch.float64))
        for name, kept in fitted.items()
    }


def text_sha256(text: str) -> str:
    """Digest of a text, UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def intervals(sizes: Mapping[str, int], *, batch_size: int) -> dict[str, int]:
    """Steps between two digests of a tensor, for those that are not digested after every step.

    Digests of all tensors after every step would be a tenth of the steps of a wide network, and half of
    them where batches are small. So the smallest tensors are digested after every step, as many as cost a
    hundredth of it, and the others once in so many steps that it costs one or two more: what goes wrong in a
    large tensor shows in the loss and in the small ones one step later.

    Args:
        sizes: Elements of each tensor, float32, by its name.
        batch_size: Rows in a batch.
    """
    step = 1e5 + 4e4 * len(sizes) + sum(sizes.values()) * (5 + 0.15 * batch_size)
    costs = {name: 700 + 2.5 * size for name, size in sorted(sizes.items(), key=lambda item: item[1])}
    if sum(costs.values()) <= 0.04 * step:
        return {}
    small = {
        name for name, so_far in zip(costs, accumulate(costs.values()), strict=True) if so_far <= 0.01 * step
    }
    large = {name: cost for name, cost in costs.items() if name not in small}
    every = 2 ** math.ceil(math.log2(max(2, sum(large.values()) / (0.015 * step))))
    return {name: every for name in sizes if name in large}


def digester(network: nn.Module, every: Mapping[str, int] | None = None) -> Callable[[int | None], list[str]]:
    """A function that returns `tensor_sha256` of each tensor of the state_dict, in its order.

    It is given the number of steps completed, and leaves the text of a tensor empty whose turn has not come
    by `every`; given None, it leaves out none.

    It is called after every step, so what does not change between two steps is done once: on the CPU the
    tensors' memory is looked at in place, which training writes in place. One call for the default
    network takes 4 µs, `tensor_digests` 35.

    Args:
        network: Its tensors are looked at in place.
        every: As `intervals` tells it; None digests every tensor every time.
    """
    tensors = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    turns = [(every or {}).get(name, 1) for name in tensors]
    if any(tensor.device.type != "cpu" or not tensor.is_contiguous() for tensor in tensors.values()):
        takes = [partial(tensor_sha256, tensor) for tensor in tensors.values()]
    else:
        takes = [partial(_digest, *_view(tensor)) for tensor in tensors.values()]

    def digests(completed: int | None) -> list[str]:
        return [
            take() if completed is None or completed % turn == 0 else ""
            for take, turn in zip(takes, turns, strict=True)
        ]

    return digests


def _view(tensor: Tensor) -> tuple[hashlib._Hash, memoryview]:
    """The digest of a tensor's kind, to go on from, and its memory."""
    memory: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(_kind(tensor)), memoryview(memory)


def _digest(kind: hashlib._Hash, view: memoryview) -> str:
    digest = kind.copy()
    digest.update(view)
    return digest.hexdigest()
