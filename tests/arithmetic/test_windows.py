"""Windows: none is longer than is said of it, or a sum that is open would pass as settled."""

from __future__ import annotations

from itertools import product as every

import numpy as np
import pytest

from reproven.arithmetic import sums, windows


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("sizes", [(9,), (8, 7)])
def test_no_window_is_longer_than_it_is_said_to_be(
    sizes: tuple[int, ...], groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def product(a: np.ndarray, b: np.ndarray, *, lengths: np.ndarray) -> np.ndarray:
        own = np.sqrt(np.square(b).sum(axis=1))
        assert lengths.shape == own.shape
        assert (lengths * (1 + 1e-12) >= own).all()
        seen.append(lengths / np.maximum(own, 1e-30))
        return sums.product(a, b, lengths=lengths)

    monkeypatch.setattr(windows, "product", product)
    draw, axes = np.random.default_rng(1), len(sizes)
    x = draw.normal(size=(3, 4, *sizes)).astype(np.float32)
    weight = draw.normal(size=(6, 4 // groups, *[3, 2][:axes])).astype(np.float32)
    for stride, padding, dilation in every((1, 2), (0, 1), (1, 2)):
        how = [stride] * axes, [padding] * axes, [dilation] * axes, groups
        found = windows.convolved(x, weight, None, *how)
        windows.convolved_slope(np.ones_like(found), x, weight, *how, [True] * 3)
    assert len(seen) == 24
    assert min(map(np.min, seen)) < 1 + 1e-9  # nor said to be much longer
