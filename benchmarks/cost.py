"""What tracking costs, as ratios measured side by side in one run: `make bench`.

Training: a tracked run of 10,000 steps against the bare stock loop of the same steps, both warm; and with
a checkpoint after each epoch of 4 steps against none.
Process: `python src train` against bare imports, and against the same work written as the MLflow
documentation shows. Each pair takes turns (A B A B …); the median of the pairs' ratios is printed with the
smallest and the largest. Nothing here is a test: no time is asserted anywhere.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import reproven

reproven.enter("portable")  # the default of a run, for both sides, and before torch is there

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from reproven import Recipe, train
from reproven.arithmetic import profiles
from reproven.networks import MLPModule
from reproven.training.prepared import prepare

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "src" / "reproven" / "datasets" / "boston.csv"
STEPS = 10_000


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(name: str, ours: Callable[[], object], other: Callable[[], object], pairs: int) -> None:
    """Runs both once to warm up, then in turn, and prints the ratio of each pair."""
    ours()
    other()
    times = [(seconds(ours), seconds(other)) for _ in range(pairs)]
    ratios = sorted(a / b for a, b in times)
    a, b = (statistics.median(side) for side in zip(*times, strict=True))
    print(
        f"{name:<52} {statistics.median(ratios):5.2f} ×   "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}; medians {a:.2f} s and {b:.2f} s)",
        flush=True,
    )


def stock_loop(recipe: Recipe) -> None:
    """The notebook's loop over a DataLoader, without anything tracked or evaluated."""
    X, y = prepare(recipe).parts["train"]
    network = MLPModule(13, (10, 10))
    generator = torch.Generator().manual_seed(12)
    loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True, generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001)
    loss_func, losses = nn.MSELoss(), []
    for _ in range(recipe.epochs):
        for batch_X, batch_y in loader:
            loss = loss_func(network(batch_X).flatten(), batch_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())


def process(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        env=profiles.users_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs (default 5)")
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["REPROVEN_STATE"] = folder
        print(f"{os.cpu_count()} cores, torch {torch.__version__}, {pairs} pairs each\n")
        long = Recipe(epochs=STEPS // 4)
        compare(
            "tracked run of 10,000 steps / bare stock loop",
            lambda: train(long),
            lambda: stock_loop(long),
            pairs,
        )
        often, never = (
            lambda every=every: train(long, checkpoint_every=every) for every in ("1epoch", "9999epochs")
        )
        compare("the same with 2,500 checkpoints / with none", often, never, pairs)
        ours = lambda: process(str(ROOT / "src"), "train")  # noqa: E731
        imports = lambda: process("-c", "import torch, mlflow")  # noqa: E731
        docs = lambda: process(str(ROOT / "benchmarks" / "docs_way.py"), str(TABLE))  # noqa: E731
        compare("python src train / python -c 'import torch, mlflow'", ours, imports, pairs)
        compare("the MLflow documentation's way / python src train", docs, ours, pairs)
        portable = lambda: process(str(ROOT / "src"), "train", "--epochs", "2500")  # noqa: E731
        native = lambda: process(str(ROOT / "src"), "train", "--epochs", "2500", "--profile", "native")  # noqa: E731
        compare("10,000 steps in portable / in native arithmetic", portable, native, pairs)
        shown = lambda: process(str(ROOT / "src"), "--help")  # noqa: E731
        compare("python src --help / python -c pass", shown, lambda: process("-c", "pass"), pairs)


if __name__ == "__main__":
    main()
