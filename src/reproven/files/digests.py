"""Digests of tensors: what says that two networks, or two predictions, are the same to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn


def tensor_sha256(tensor: Tensor) -> str:
    """Digest of a tensor's type, shape (as JSON) and little-endian values, row by row.

    Files of equal tensors differ (torch.save writes the file's own name into them); this does not.
    """
    return hashlib.sha256(_kind(tensor) + tensor.detach().cpu().numpy().tobytes()).hexdigest()


def _kind(tensor: Tensor) -> bytes:
    return json.dumps([str(tensor.dtype), list(tensor.shape)]).encode()


def tensor_digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The digest of each tensor, by its name; of `network.state_dict()`, say."""
    return {name: tensor_sha256(tensor) for name, tensor in tensors.items()}


def standardisation_digests(mean: Sequence[float], scale: Sequence[float]) -> dict[str, str]:
    """The digests of means and standard deviations, (features,) float64 each, as a regressor holds them."""
    both = {"mean": mean, "scale": scale}
    return tensor_digests({name: torch.tensor(values, dtype=torch.float64) for name, values in both.items()})


def digester(network: nn.Module) -> Callable[[], list[str]]:
    """A function that returns `tensor_sha256` of each tensor of the state_dict, in its order.

    It is called after every step, so what does not change between two steps is done once: on the CPU the
    tensors' memory is looked at in place, which training writes in place. One call for the default
    network takes 4 µs, `tensor_digests` 35.
    """
    tensors = [tensor.detach() for tensor in network.state_dict().values()]
    kinds = [hashlib.sha256(_kind(tensor)) for tensor in tensors]
    if any(tensor.device.type != "cpu" or not tensor.is_contiguous() for tensor in tensors):
        return lambda: [tensor_sha256(tensor) for tensor in tensors]
    views = [memoryview(tensor.reshape(-1).view(torch.uint8).numpy()) for tensor in tensors]

    def digests() -> list[str]:
        found = []
        for kind, view in zip(kinds, views, strict=True):
            digest = kind.copy()
            digest.update(view)
            found.append(digest.hexdigest())
        return found

    return digests
