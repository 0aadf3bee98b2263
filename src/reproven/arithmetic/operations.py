"""Operations whose bits are ours: where torch's own are not equal on every CPU, and what stands for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
from reproven.arithmetic.profiles import NATIVE


def sqrt(profile: str) -> Callable[[Tensor], Tensor]:
    """The square root of a profile, elementwise, for float32.

    torch's own goes through MKL's vector library, which starts from the CPU's approximate reciprocal and
    is wrong in the last bit for about 20 % of inputs, on each CPU model in other places. That of float64,
    rounded to float32, is the correctly rounded root: 53 bits are more than 2 × 24 + 2.

    Source: Figueroa (1995), "When is double rounding innocuous?", SIGNUM Newsletter 30(3).
    """
    import torch

    return torch.sqrt if profile == NATIVE else _correctly_rounded_sqrt


def _correctly_rounded_sqrt(x: Tensor) -> Tensor:
    return x.double().sqrt().float()
