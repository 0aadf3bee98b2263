"""Numbers that are drawn."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from reproven.arithmetic import sampling
from reproven.operations.tensors import Operations, put

TABLE = Operations()


@TABLE.named("uniform_")
def _uniform(x: Tensor, low: float = 0, high: float = 1, *, generator: Any = None) -> Tensor:
    return put(x, sampling.uniform(tuple(x.shape), low, high, generator))


@TABLE.named("normal_")
def _normal(x: Tensor, mean: float = 0, std: float = 1, *, generator: Any = None) -> Tensor:
    return put(x, sampling.normal(tuple(x.shape), mean, std, generator))


@TABLE.named("bernoulli_.float")
def _bernoulli(x: Tensor, p: float = 0.5, *, generator: Any = None) -> Tensor:
    return put(x, sampling.is_below(tuple(x.shape), p, generator))


def truncate(x: Tensor, mean: float, std: float, a: float, b: float, generator: Any = None) -> Tensor:
    """What torch.nn.init.trunc_normal_ does, which torch's versions do in several ways."""
    return put(x, sampling.truncated(tuple(x.shape), mean, std, a, b, generator))
