"""Sampling: uniform and normal numbers from whole numbers that a torch generator draws.

The whole numbers are those of the Mersenne Twister, on every machine; what is made of them here is rounded
once.

Source: Matsumoto & Nishimura (1998), "Mersenne Twister", ACM Transactions on Modeling and Computer
    Simulation 8(1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reproven.arithmetic import functions

if TYPE_CHECKING:
    from torch import Generator


def uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator | None) -> np.ndarray:
    """Numbers in [low, high), float32: k 2⁻²⁴ (high − low) + low, k drawn, each operation rounded.

    They are those of torch's own uniform_, but for the last bit where a processor fuses the two operations.
    """
    drawn = _whole(shape, 1 << 24, generator).astype(np.float32) * np.float32(2.0**-24)
    return drawn * (np.float32(high) - np.float32(low)) + np.float32(low)


def normal(shape: tuple[int, ...], mean: float, std: float, generator: Generator | None) -> np.ndarray:
    """Numbers of the normal distribution, float32: std Φ⁻¹((k + ½) 2⁻⁵²) + mean, k drawn."""
    return functions.quantile(_between(shape, generator)) * np.float32(std) + np.float32(mean)


def truncated(
    shape: tuple[int, ...], mean: float, std: float, a: float, b: float, generator: Generator | None
) -> np.ndarray:
    """Numbers of the normal distribution between a and b, float32.

    std Φ⁻¹(Φ(α) + (k + ½) 2⁻⁵² (Φ(β) − Φ(α))) + mean, k drawn, α = (a − mean) / std and β likewise.
    """
    bounds = np.array([(a - mean) / std, (b - mean) / std], np.float32)
    low, high = functions.ndtr(bounds).astype(np.float64)
    drawn = low + _between(shape, generator) * (high - low)
    found = functions.quantile(drawn) * np.float32(std) + np.float32(mean)
    return np.clip(found, np.float32(a), np.float32(b))


def is_below(shape: tuple[int, ...], p: float, generator: Generator | None) -> np.ndarray:
    """True with probability p, as k 2⁻⁵³ < p, k drawn."""
    drawn: np.ndarray = _whole(shape, 1 << 53, generator).astype(np.float64) * 2.0**-53 < p
    return drawn


def _between(shape: tuple[int, ...], generator: Generator | None) -> np.ndarray:
    """Numbers between 0 and 1, neither of them: (k + ½) 2⁻⁵², float64, k drawn."""
    found: np.ndarray = (2 * _whole(shape, 1 << 52, generator) + 1).astype(np.float64) * 2.0**-53
    return found


def _whole(shape: tuple[int, ...], below: int, generator: Generator | None) -> np.ndarray:
    import torch

    found: np.ndarray = torch.empty(shape, dtype=torch.int64).random_(0, below, generator=generator).numpy()
    return found
