"""What a sweep costs, as ratios measured side by side in one run: `make bench-sweeps`.

First, one default run in a warm process: the seconds of one core that it takes, and whether a run among a
thousand takes more than one among the first. Then runs per minute, whole processes with their start and end,
against the docs' script in a loop, and in the loops of others. Nothing here is a test: no time is asserted
anywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import reproven

reproven.enter("portable")  # the default of a run, and before torch is there

from mlflow import MlflowClient

from reproven import Study
from reproven.arithmetic import profiles
from reproven.store.store import Store
from reproven.sweeps.jobs import Job, Tracking
from reproven.sweeps.worker import work
from reproven.training.completed import completed

ROOT = Path(__file__).parent.parent
TABLE = str(ROOT / "src" / "reproven" / "datasets" / "boston.csv")


@contextlib.contextmanager
def new_store() -> Iterator[str]:
    """A store in a folder of its own, made already: that takes a second, for everybody alike."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        uri = f"sqlite:///{folder}/mlflow.db"  # MLflow remembers a store by its address
        os.environ["REPROVEN_STATE"], os.environ["MLFLOW_TRACKING_URI"] = folder, uri
        MlflowClient(tracking_uri=uri).search_experiments()
        yield uri


def core_seconds() -> float:
    """What this process and those that it waited for have used of a core."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def spread(values: Sequence[float], digits: int = 3) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f}   ({low:.{digits}f} to {high:.{digits}f})"


def job(study: Study, parent: str, uri: str, seed: int) -> Job:
    """A job as a sweep hands it out."""
    found = completed(study.recipe({}, seed))
    return Job(
        recipe=found.handed_out,
        sha256=found.recipe.sha256,
        name=f"seed={seed}",
        point={},
        study=study,
        tracking=Tracking(tracking_uri=uri, experiment="growth", parent=parent),
    )


def growth(count: int) -> None:
    """One default run after the other in one warm process, on one store."""
    with new_store() as uri:
        store = Store(uri)
        parent = store.create("growth", "sweep", {}, None).id
        study, taken = Study(base={}, seeds=tuple(range(count))), []
        for seed in range(count):
            before = core_seconds()
            assert work(job(study, parent, store.uri, seed)).state == "FINISHED"
            taken.append(core_seconds() - before)
        window = 10
        first, last = taken[window : 2 * window], taken[-window:]
        ratio = statistics.median(last) / statistics.median(first)
        print(f"a default run in a sweep, seconds of one core    {spread(taken[window:])}")
        print(f"  runs 11 to 20                                  {spread(first)}")
        which = f"runs {count - window + 1} to {count}"
        print(f"  {which:<46} {spread(last)}")
        print(f"  the last ones / the first ones                 {ratio:.2f} ×")


def call(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        env={**profiles.users_environment(), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, err = process.communicate()
        if process.returncode:
            raise SystemExit(err[-3000:])


def ours(count: int) -> None:
    ended(call(sys.executable, str(ROOT / "src"), "sweep", "--seeds", f"0..{count - 1}", "--jobs", "2"))


def loop(count: int) -> None:
    for _ in range(count):
        ended(call(sys.executable, str(ROOT / "benchmarks" / "docs_way.py"), TABLE))


def two_loops(count: int) -> None:
    for _ in range(count // 2):
        pair = [call(sys.executable, str(ROOT / "benchmarks" / "docs_way.py"), TABLE) for _ in range(2)]
        ended(*pair)


def in_one(kind: str, python: str = sys.executable) -> Callable[[int], None]:
    return lambda count: ended(call(python, str(ROOT / "benchmarks" / "others.py"), kind, TABLE, str(count)))


def rate(work: Callable[[int], None], count: int) -> float:
    """Runs per minute."""
    with new_store():
        start = time.perf_counter()
        work(count)
        return 60 * count / (time.perf_counter() - start)


def against(name: str, other: Callable[[int], None], count: int, runs: int, pairs: int) -> None:
    """Ours and another in turn; prints both rates and the ratio of each pair."""
    found = [(rate(ours, runs), rate(other, count)) for _ in range(pairs)]
    a, b = ([pair[side] for pair in found] for side in (0, 1))
    ratios = [x / y for x, y in found]
    print(
        f"{name:<46} {statistics.median(ratios):6.1f} ×   ({_range(ratios)}"
        f"{statistics.median(a):.0f} and {statistics.median(b):.1f} runs a minute, of {runs} and {count})",
        flush=True,
    )


def _range(ratios: Sequence[float]) -> str:
    return f"{min(ratios):.1f} to {max(ratios):.1f}; " if len(ratios) > 1 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2, help="pairs of measurements (default 2)")
    parser.add_argument("--runs", type=int, default=100, help="runs of each of our sweeps (default 100)")
    parser.add_argument("--growth", type=int, default=1000, help="runs on one store (default 1000)")
    parser.add_argument("--ray-python", help="an interpreter that has ray[tune] and the docs' packages")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, {asked.pairs} pairs, sweeps of {asked.runs} runs in 2 processes\n")
    growth(asked.growth)
    print()
    pairs, runs = asked.pairs, asked.runs
    against("sweep / the docs' script in a shell loop", loop, 4, runs, pairs)
    against("sweep / the docs' script, two at a time", two_loops, 4, runs, pairs)
    against("sweep / Optuna around the docs' function", in_one("optuna"), 8, runs, pairs)
    against("sweep / joblib around it, 2 processes", in_one("joblib"), 10, runs, pairs)
    if asked.ray_python is None:
        print(
            "sweep / Ray Tune with its MLflow callback      not measured: --ray-python names no interpreter"
        )
    else:
        against("sweep / Ray Tune with its MLflow callback", in_one("ray", asked.ray_python), 10, runs, pairs)


if __name__ == "__main__":
    main()
