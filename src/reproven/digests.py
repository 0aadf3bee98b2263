"""Digests of weights: what says that two networks are the same to the bit."""

from __future__ import annotations

import hashlib
import json

from torch import Tensor, nn


def tensor_sha256(tensor: Tensor) -> str:
    """Digest of a tensor's type, shape (as JSON) and little-endian values, row by row.

    Files of equal tensors differ (torch.save writes the file's own name into them); this does not.
    """
    kind = json.dumps([str(tensor.dtype), list(tensor.shape)])
    return hashlib.sha256(kind.encode() + tensor.detach().cpu().numpy().tobytes()).hexdigest()


def weight_digests(network: nn.Module) -> dict[str, str]:
    """The digest of each tensor of a network's state_dict, by its name."""
    return {name: tensor_sha256(tensor) for name, tensor in network.state_dict().items()}


def weights_sha256(network: nn.Module) -> str:
    """One digest of all weights, in the order of the state_dict and without their names.

    So both variants, which name the same weights otherwise, have the same digest when they are equal.
    """
    joined = "".join(weight_digests(network).values())
    return hashlib.sha256(joined.encode()).hexdigest()
