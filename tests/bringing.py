"""What a user brings, as files in the test's own folder: networks, losses, metrics, data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reproven.own import stale, trust

#: Written when it is imported: a test that looks for it knows whether a line of the module has run.
RAN = "ran"
NETS = f'''
from pathlib import Path

import torch
from blocks import Residual
from torch import nn

Path("{RAN}").touch()


class Net(nn.Module):
    """A residual MLP with dropout and batch norm."""

    def __init__(self, inputs, width=8, p=0.2, outputs=1):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.norm = nn.BatchNorm1d(width)
        self.body = Residual(width, p)
        self.last = nn.Linear(width, outputs)

    def forward(self, x):
        return self.last(self.body(torch.relu(self.norm(self.first(x)))))


class Plain(nn.Module):
    """The notebook's MLP as a class of one's own: the same layers, and so the same bits."""

    def __init__(self):
        super().__init__()
        self.hidden1 = nn.Linear(13, 10)
        self.hidden2 = nn.Linear(10, 10)
        self.regression = nn.Linear(10, 1)

    def forward(self, x):
        return self.regression(torch.relu(self.hidden2(torch.relu(self.hidden1(x))))).squeeze(1)


def made(width=4):
    return nn.Sequential(nn.Linear(13, width), nn.Tanh(), nn.Linear(width, 1))


class Conv(nn.Module):
    """For images of one channel, 8 × 8."""

    def __init__(self, channels=4, outputs=3):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Dropout(0.1), nn.Linear(channels * 16, outputs)),
        )

    def forward(self, x):
        return self.layers(x)


class Words(nn.Module):
    """For sequences of whole numbers."""

    def __init__(self, outputs=2):
        super().__init__()
        self.embedding = nn.Embedding(20, 4)
        self.last = nn.Linear(4, outputs)

    def forward(self, x):
        return self.last(self.embedding(x).mean(dim=1))


class Tied(nn.Module):
    """Two layers that share their weights."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(13, 13)
        self.second = nn.Linear(13, 13)
        self.second.weight = self.first.weight
        self.last = nn.Linear(13, 1)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("scratch", torch.zeros(3), persistent=False)

    def forward(self, x):
        return self.last(torch.relu(self.second(torch.relu(self.first(x)))))


class Unproved(nn.Module):
    """It uses an activation that portable arithmetic does not have."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(13, 8), nn.Hardswish(), nn.Linear(8, 1))

    def forward(self, x):
        return self.body(x)


class Putting(nn.Module):
    """It uses an operation that has no deterministic form."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(13, 1)

    def forward(self, x):
        places = torch.arange(x.numel()) % x.numel()
        return self.last(torch.zeros_like(x).put_(places, x.flatten()))


class Rolling(nn.Module):
    """It draws from NumPy's generator and from Python's."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(13, 1)

    def forward(self, x):
        import random

        import numpy as np

        return self.last(x * (random.random() + float(np.random.rand()))) if self.training else self.last(x)


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(13, 5)

    def forward(self, x):
        return self.last(x)


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(12, 1)

    def forward(self, x):
        return self.last(x)


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(13, 1).double()

    def forward(self, x):
        return self.last(x.double()).float()


not_a_network = 3


class NotANetwork:
    pass
'''
BLOCKS = """
import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, width, p):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.drop = nn.Dropout(p)

    def forward(self, x):
        return x + self.drop(torch.relu(self.linear(x)))
"""
MEASURES = """
def within(observed, predicted):
    return float(abs(observed - predicted).mean())


def half_score(observed, predicted):
    return 0.5


def broken(observed, predicted):
    raise ValueError("no such thing")


def capped(outputs, y, limit=1.0):
    return (outputs - y).abs().clamp(max=limit).mean()
"""
IMAGES = """
import numpy as np


def load():
    draws = np.random.RandomState(3)
    y = draws.randint(0, 3, 120)
    X = draws.rand(120, 1, 8, 8).astype(np.float32)
    X[np.arange(120), 0, y] += 1
    return X, y


def words():
    draws = np.random.RandomState(4)
    X = draws.randint(0, 20, (90, 6))
    return X, np.where(X.sum(axis=1) > 57, "long", "short")


def table():
    draws = np.random.RandomState(5)
    X = draws.rand(60, 2)
    return X, X @ np.array([2.0, -1.0]), ["a", "b"]


def wrong():
    return 3
"""
FILES = {"nets.py": NETS, "blocks.py": BLOCKS, "measures.py": MEASURES, "images.py": IMAGES}
MODULES = tuple(name.removesuffix(".py") for name in FILES)


def bring(folder: Path) -> None:
    """Writes all that into a folder."""
    for name, text in FILES.items():
        (folder / name).write_text(text)


@contextmanager
def forgotten() -> Iterator[None]:
    """As in a process of its own: nothing of it is imported, nothing is trusted, before and after."""
    path = [*sys.path]
    _forget()
    try:
        yield
    finally:
        _forget()
        sys.path[:] = path


def _forget() -> None:
    trust._trusted.clear()
    for name in MODULES:
        sys.modules.pop(name, None)
        stale._seen.pop(name, None)
