"""What tracking costs, as ratios measured side by side in one run: `make bench`.

Training: a tracked run of 10,000 steps against the bare stock loop of the same steps, both warm; and with
a checkpoint after each epoch of 4 steps against none. Width: a tracked run on a table of 20,000 rows and 20
features against the stock loop that looks at both parts after every epoch as the run does, and against the
bare one (`--widths` measures this alone); and its own steps with digests and journal against the steps alone
(`--recording`); all of that in torch's own arithmetic on one thread, on both sides; and steps in portable
arithmetic against those (`--arithmetics`).
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
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import reproven

reproven.enter("native")  # for both sides: what tracking costs, not what portable arithmetic does

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from reproven import Recipe, train
from reproven.arithmetic import profiles
from reproven.files.digests import digester
from reproven.logbooks.journal import STEP, Journal, loss_bits
from reproven.networks import MLPModule
from reproven.training.history import History
from reproven.training.prepared import prepare
from reproven.values.steps import short

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "src" / "reproven" / "datasets" / "boston.csv"
LONG = 10_000


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    names: str | list[str], ours: Callable[[], object], *others: Callable[[], object], pairs: int
) -> None:
    """Runs all once to warm up, then in turn, and prints the ratios of ours to each of the others."""
    names = [names] if isinstance(names, str) else names
    for work in (ours, *others):
        work()
    times = [[seconds(work) for work in (ours, *others)] for _ in range(pairs)]
    a, *rest = (statistics.median(side) for side in zip(*times, strict=True))
    for place, (name, b) in enumerate(zip(names, rest, strict=True), start=1):
        ratios = sorted(row[0] / row[place] for row in times)
        print(
            f"{name:<52} {statistics.median(ratios):5.2f} ×   "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}; medians {a:.2f} s and {b:.2f} s)",
            flush=True,
        )


def stock_loop(recipe: Recipe, *, evaluates: bool = False) -> None:
    """The notebook's loop over a DataLoader, without anything tracked.

    Args:
        recipe: Of SGD; likewise what follows.
        evaluates: Whether RMSE, MAE and R² of both parts are computed after every epoch.
    """
    parts = prepare(recipe).parts
    X, y = parts["train"]
    network = MLPModule(X.shape[1], recipe.hidden)
    generator = torch.Generator().manual_seed(12)
    loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True, generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.lr)
    loss_func, losses = nn.MSELoss(), []
    for _ in range(recipe.epochs):
        for batch_X, batch_y in loader:
            loss = loss_func(network(batch_X).flatten(), batch_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if evaluates:
            with torch.inference_mode():
                for part_X, part_y in parts.values():
                    errors(part_y, network(part_X).flatten())


def errors(y: torch.Tensor, predicted: torch.Tensor) -> tuple[float, float, float]:
    """RMSE, MAE and R², as anybody would compute them."""
    residual = y - predicted
    r2 = 1 - residual.square().sum() / (y - y.mean()).square().sum()
    return residual.square().mean().sqrt().item(), residual.abs().mean().item(), r2.item()


#: Hidden layers, and epochs of 125 steps that take some ten seconds and more.
WIDTHS = ((10, 10), 200), ((512, 512), 10), ((2048, 2048), 2)


def wide(hidden: tuple[int, ...], epochs: int) -> Recipe:
    """A recipe on a table of 20,000 rows and 20 features, made where it is not there."""
    if not (path := Path("wide.csv")).exists():
        generator = np.random.default_rng(1)
        X = generator.normal(size=(20_000, 20))
        names = [f"x{number}" for number in range(20)]
        pd.DataFrame(X, columns=names).assign(y=X @ generator.normal(size=20)).to_csv(path, index=False)
    return Recipe(data=str(path), target="y", hidden=hidden, epochs=epochs, lr=1e-5)


def widths(pairs: int) -> None:
    """A tracked run of narrow and of wide networks, each long enough for its end not to matter much."""
    for hidden, epochs in WIDTHS:
        recipe = wide(hidden, epochs)
        shown = ",".join(map(str, hidden))
        compare(
            [f"tracked run, hidden {shown} / stock loop, evaluating", "  the same / bare stock loop"],
            partial(train, recipe),
            partial(stock_loop, recipe, evaluates=True),
            partial(stock_loop, recipe),
            pairs=pairs,
        )


def steps(recipe: Recipe, *, recorded: bool) -> None:
    """A run's own steps, with or without what is recorded of each."""
    made = prepare(recipe)
    digests = digester(made.state.network, History(made).weights_every)
    with tempfile.TemporaryDirectory() as folder, closing(Journal(Path(folder, "journal"))) as kept:
        for step in made.steps():
            if recorded:
                found = short(digests(None if step.ends_epoch else step.step + 1))
                kept.put(STEP, step.step, loss_bits(step.loss), " ".join(found))


def recording(pairs: int) -> None:
    """What digests and journal add to the steps of narrow and of wide networks."""
    for hidden, epochs in WIDTHS:
        recipe = wide(hidden, epochs)
        shown = ",".join(map(str, hidden))
        with_it, without = (partial(steps, recipe, recorded=recorded) for recorded in (True, False))
        compare(f"steps recorded, hidden {shown} / the same steps alone", with_it, without, pairs=pairs)


def arithmetics(pairs: int) -> None:
    """What the steps of narrow and of wide networks take in portable and in native arithmetic."""
    for hidden, epochs in WIDTHS:
        recipe = wide(hidden, epochs)
        shown = ",".join(map(str, hidden))
        portable, native = (
            partial(steps, replace(recipe, profile=profile), recorded=False) for profile in profiles.PROFILES
        )
        compare(f"steps in portable, hidden {shown} / in native arithmetic", portable, native, pairs=pairs)


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
    parser.add_argument("--widths", action="store_true", help="networks of three widths alone")
    parser.add_argument("--recording", action="store_true", help="what recording adds to their steps alone")
    parser.add_argument("--arithmetics", action="store_true", help="portable steps beside native ones")
    asked = parser.parse_args()
    pairs = asked.pairs
    torch.set_num_threads(1)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:  # of NumPy, too
        os.chdir(folder)
        os.environ["REPROVEN_STATE"] = folder
        print(f"{os.cpu_count()} cores, torch {torch.__version__}, {pairs} pairs each\n")
        chosen = [one for one in (widths, recording, arithmetics) if getattr(asked, one.__name__)]
        for one in chosen:
            one(pairs)
        if chosen:
            return
        long = Recipe(epochs=LONG // 4)
        compare(
            "tracked run of 10,000 steps / bare stock loop",
            lambda: train(long),
            lambda: stock_loop(long),
            pairs=pairs,
        )
        often, never = (
            lambda every=every: train(long, checkpoint_every=every) for every in ("1epoch", "9999epochs")
        )
        compare("the same with 2,500 checkpoints / with none", often, never, pairs=pairs)
        ours = lambda: process(str(ROOT / "src"), "train")  # noqa: E731
        imports = lambda: process("-c", "import torch, mlflow")  # noqa: E731
        docs = lambda: process(str(ROOT / "benchmarks" / "docs_way.py"), str(TABLE))  # noqa: E731
        compare("python src train / python -c 'import torch, mlflow'", ours, imports, pairs=pairs)
        compare("the MLflow documentation's way / python src train", docs, ours, pairs=pairs)
        shown = lambda: process(str(ROOT / "src"), "--help")  # noqa: E731
        compare("python src --help / python -c pass", shown, lambda: process("-c", "pass"), pairs=pairs)
        widths(pairs)
        recording(pairs)
        arithmetics(pairs)


if __name__ == "__main__":
    main()
