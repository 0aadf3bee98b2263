"""What portable products of matrices cost, as ratios measured side by side in one run: `make bench-products`.

Each is compared with MKL's branch that is the same on every CPU (MKL_CBWR=COMPATIBLE, which is fixed when
a process begins, so that a process of its own computes it), with a plain loop in C that adds in one order,
and with torch's native product; one thread everywhere, and then two against one. The rounds take turns
(A B C …); the median of the rounds' ratios is printed with the smallest and the largest. A convolutional
network of the examples is trained for some steps in both profiles as well. No time is asserted anywhere.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from reproven import Recipe
from reproven.arithmetic.profiles import PROFILES
from reproven.arithmetic.sums import product
from reproven.training.prepared import prepare

SHAPES = (128, 784, 256), (512, 512, 512), (128, 13, 10)
DIGITS = Path(__file__).parent.parent / "examples" / "digits"
IN_ORDER = """
void product(const float *a, const float *b, float *c, int m, int k, int n) {
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      float found = 0;
      for (int l = 0; l < k; l++) found += a[i * k + l] * b[l * n + j];
      c[i * n + j] = found;
    }
}
"""
#: Another process, which is told the shape and how often, and tells the seconds of each product.
OF_TORCH = """
import sys, time, torch
torch.set_num_threads(1)
for line in sys.stdin:
    m, k, n, times = map(int, line.split())
    a, b = torch.randn(m, k), torch.randn(k, n)
    torch.mm(a, b)
    start = time.perf_counter()
    for _ in range(times):
        torch.mm(a, b)
    print((time.perf_counter() - start) / times, flush=True)
"""


def seconds(work: Callable[[], object], times: int) -> float:
    work()
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def in_order(folder: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The plain loop, compiled; the order of additions stays as written."""
    source, library = Path(folder, "product.c"), Path(folder, "product.so")
    source.write_text(IN_ORDER, encoding="utf-8")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    compiled = ctypes.CDLL(str(library)).product
    pointer = np.ctypeslib.ndpointer(np.float32, flags="C")
    compiled.argtypes = [pointer] * 3 + [ctypes.c_int] * 3

    def found(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        c = np.empty((a.shape[0], b.shape[1]), np.float32)
        compiled(a, b, c, *a.shape, b.shape[1])
        return c

    return found


def elsewhere(**variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", OF_TORCH]
    return subprocess.Popen(
        command, env=os.environ | variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def asked(process: subprocess.Popen[str], shape: tuple[int, int, int], times: int) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    print(*shape, times, file=process.stdin, flush=True)
    return float(process.stdout.readline())


def say(name: str, ours: list[float], others: list[float]) -> None:
    ratios = sorted(other / own for own, other in zip(ours, others, strict=True))
    print(
        f"{name:<62} {statistics.median(ratios):7.2f} ×   ({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True
    )


def products(rounds: int, folder: str) -> None:
    loop = in_order(folder)
    compatible, native = elsewhere(MKL_CBWR="COMPATIBLE"), elsewhere()
    for m, k, n in SHAPES:
        draw = np.random.default_rng(1)
        a, b = (draw.normal(size=shape).astype(np.float32) for shape in ((m, k), (k, n)))
        times = max(2, 40_000_000 // (m * k * n))
        found: dict[str, list[float]] = {name: [] for name in ("own", "COMPATIBLE", "loop", "native", "two")}
        for _ in range(rounds):
            with threadpool_limits(1):
                found["own"].append(seconds(partial(product, a, b), times))
            found["COMPATIBLE"].append(asked(compatible, (m, k, n), times))
            found["loop"].append(seconds(partial(loop, a, b), 1))
            found["native"].append(asked(native, (m, k, n), times))
            with threadpool_limits(2):
                found["two"].append(seconds(partial(product, a, b), times))
        shown = f"{m} × {k} by {k} × {n}"
        gflops = 2e-9 * m * k * n / statistics.median(found["own"])
        print(f"\n{shown}: {gflops:.1f} GFLOP/s on one thread")
        say(
            "  MKL's COMPATIBLE branch takes, of the portable product's time",
            found["own"],
            found["COMPATIBLE"],
        )
        say("  a plain loop in C, in one order", found["own"], found["loop"])
        say("  torch's native product", found["own"], found["native"])
        say("  the portable product on one thread, against two", found["two"], found["own"])
    for process in (compatible, native):
        process.kill()


def convolutions(rounds: int) -> None:
    """Steps of the example that reads digits, in portable arithmetic against native, one thread."""
    os.chdir(DIGITS)
    sys.path.insert(0, "")
    os.environ["REPROVEN_TRUST"] = "digits"
    torch.set_num_threads(1)
    taken: dict[str, list[float]] = {profile: [] for profile in PROFILES}
    with threadpool_limits(1):
        for _ in range(rounds):
            for profile in PROFILES:
                steps = prepare(recipe(profile)).steps()
                next(steps)
                start = time.perf_counter()
                for _step in islice(steps, 20):
                    pass
                taken[profile].append(time.perf_counter() - start)
    print()
    say("steps of a convolutional network on digits, portable / native", taken["native"], taken["portable"])


def recipe(profile: str) -> Recipe:
    return Recipe(
        data="digits:load",
        network="digits:ConvNet",
        network_args={"channels": 32},
        loss="cross_entropy",
        optimizer="adam",
        lr=0.001,
        batch_size=64,
        profile=profile,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each (default 7)")
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, numpy {np.__version__}, {rounds} rounds each")
    with tempfile.TemporaryDirectory() as folder:
        products(rounds, folder)
    convolutions(rounds)


if __name__ == "__main__":
    main()
