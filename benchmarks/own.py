"""What tracking costs a network of one's own, as ratios measured side by side in one run: `make bench-own`.

A tracked run against a stock loop with torch.optim of the same steps that looks at both parts after every
epoch as the run does, and against the bare loop: (a) the notebook's MLP as a class of one's own, (b) a
convolutional network on scikit-learn's digits, (c) a perceptron of some 9 million weights, for 25 steps
and for 250. And what memory 1,000,000 rows of 20 columns take, against the arrays themselves. Nothing here
is a test: no time is asserted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import reproven

reproven.enter("native")  # for both sides: what tracking costs, not what portable arithmetic does

import torch
from cost import compare
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from reproven import Recipe, train, trust
from reproven.training.prepared import prepare

MODULE = """
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn


class Notebooks(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden1 = nn.Linear(13, 10)
        self.active1 = nn.ReLU()
        self.hidden2 = nn.Linear(10, 10)
        self.active2 = nn.ReLU()
        self.regression = nn.Linear(10, 1)

    def forward(self, x):
        x = self.active2(self.hidden2(self.active1(self.hidden1(x))))
        return self.regression(x)


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.25), nn.Linear(1024, 80), nn.ReLU(), nn.Linear(80, 10),
        )

    def forward(self, x):
        return self.layers(x)


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(20, 3000), nn.ReLU(), nn.Linear(3000, 3000), nn.ReLU(), nn.Linear(3000, 1)
        )

    def forward(self, x):
        return self.layers(x)


def digits():
    found = load_digits()
    return (found.images / 16).astype(np.float32)[:, None], found.target


def rows(count):
    draws = np.random.default_rng(1)
    X = draws.normal(size=(count, 20))
    return X, X @ draws.normal(size=20)


def some():
    return rows(4_000)


def more():
    return rows(20_000)


def million():
    return rows(1_000_000)
"""
WIDE = Recipe(network="brought:Wide", data="brought:some", lr=1e-4, epochs=1, batch_size=128, optimizer="sgd")
SIZES: dict[str, tuple[Recipe, type[torch.optim.Optimizer]]] = {
    "(a) the notebook's MLP": (
        Recipe(network="brought:Notebooks", epochs=1500, lr=0.001),
        torch.optim.SGD,
    ),
    "(b) convolutions on digits": (
        Recipe(
            network="brought:Conv",
            data="brought:digits",
            loss="cross_entropy",
            optimizer="adam",
            lr=1e-3,
            epochs=20,
        ),
        torch.optim.Adam,
    ),
    "(c) 9 million weights, 25 steps": (WIDE, torch.optim.SGD),
    "(c) the same, 250 steps": (replace(WIDE, data="brought:more", epochs=2), torch.optim.SGD),
}


def stock(recipe: Recipe, kind: type[torch.optim.Optimizer], *, evaluates: bool) -> None:
    """torch's own loop over a DataLoader, without anything tracked."""
    made = prepare(recipe)
    network, recipe = made.state.network, made.recipe
    X, y = made.parts["train"]
    loader = DataLoader(TensorDataset(X, y), batch_size=recipe.batch_size, shuffle=True)
    optimizer = kind(network.parameters(), lr=recipe.lr)  # type: ignore[call-arg]
    loss_func: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy
    if y.dtype != torch.int64:
        loss_func = lambda outputs, y: nn.functional.mse_loss(outputs.flatten(), y)  # noqa: E731
    losses = []
    for _ in range(recipe.epochs):
        network.train()
        for batch_X, batch_y in loader:
            loss = loss_func(network(batch_X), batch_y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        if evaluates:
            network.eval()
            with torch.inference_mode():
                for part_X, part_y in made.parts.values():
                    blocks = zip(torch.split(part_X, 256), torch.split(part_y, 256), strict=True)
                    for some, wanted in blocks:
                        loss_func(network(some), wanted).item()


def memory(arrays: float) -> None:
    """Prints what a run on a million rows takes, against the arrays as the user's function makes them."""
    code = (
        "from reproven import Recipe, train\n"
        "train(Recipe(data='brought:{}', epochs=2, batch_size=4096, lr=1e-4), figures=False)\n"
    )
    peaks = [_peak(code.format(data)) for data in ("million", "some")]
    print(
        f"memory of 1,000,000 rows × 20 / the arrays  {(peaks[0] - peaks[1]) / arrays:14.2f} ×   "
        f"(peak {peaks[0] >> 20} MiB, with 4,000 rows {peaks[1] >> 20} MiB)"
    )


def _peak(code: str) -> int:
    """The most memory of a process that runs some code, bytes."""
    code += "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs (default 5)")
    parser.add_argument("--only", metavar="LETTER", help="one of the networks alone, or m for the memory")
    asked = parser.parse_args()
    pairs = asked.pairs
    torch.set_num_threads(1)
    print(f"{pairs} pairs each, {os.cpu_count()} cores, torch {torch.__version__}, one thread, native")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["REPROVEN_STATE"] = str(Path(folder, "state"))
        Path("brought.py").write_text(MODULE)
        trust("brought")
        for name, (recipe, kind) in SIZES.items():
            if asked.only not in (None, name[1]):
                continue
            compare(
                [f"{name}: tracked run / stock loop, evaluating", "  the same / bare stock loop"],
                partial(train, recipe, figures=False),
                partial(stock, recipe, kind, evaluates=True),
                partial(stock, recipe, kind, evaluates=False),
                pairs=pairs,
            )
        if asked.only in (None, "m"):
            memory(1_000_000 * 21 * 8)


if __name__ == "__main__":
    main()
