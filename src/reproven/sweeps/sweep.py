"""sweep: many recipes become runs below one run, each as `train` makes it; what is there is not made again.

It plans, hands out jobs and collects what became of them. Neither torch nor matplotlib is needed for that:
`worker` trains, in other processes.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from reproven.arithmetic import profiles
from reproven.comparisons.compare import compare_below
from reproven.errors import InvalidInput, StoreError
from reproven.files import disk, names
from reproven.machine import code, environment
from reproven.store import children
from reproven.store.address import without_credentials
from reproven.store.children import SWEEP
from reproven.store.open_run import Run
from reproven.store.store import Store
from reproven.store.summary import Summary
from reproven.store.tags import DESCRIPTION, HEARTBEAT, PREFIX, code_tags
from reproven.sweeps import results
from reproven.sweeps.executors import Workers, workers
from reproven.sweeps.places import PROCESSES, executor_problems
from reproven.sweeps.proposals import Curve, Score, rounds
from reproven.sweeps.results import FAILED, FINISHED, PRUNED, REFUSED, STOPPED, Child, Progress, Swept
from reproven.sweeps.study import GRID, NO_PRUNING, Point, Study
from reproven.sweeps.worker import Job
from reproven.training import data
from reproven.training.completed import Completed, completed
from reproven.values.metrics import Row, more_is_better
from reproven.values.recipe import Recipe

STUDY, RUNS, SEARCH = "study.json", "runs.csv", f"{names.FIGURES}/search.png"
_SECONDS_BETWEEN_BEATS = 30.0
_STATES = {"FINISHED": FINISHED, "FAILED": FAILED, "KILLED": PRUNED}


def sweep(
    study: Study,
    *,
    tracking_uri: str | None = None,
    experiment: str = "Default",
    run_name: str | None = None,
    jobs: int | None = None,
    executor: str = PROCESSES,
    figures: bool = False,
    require_clean: bool = False,
    histogram_every: int | None = None,
    checkpoint_every: str | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Swept:
    """Trains every run of a study that is not there yet, below one run that holds their table.

    Args:
        study: What to train.
        tracking_uri: Where to track; None takes MLflow's own choice.
        experiment: The experiment's name; under `mlflow run` that of the run which MLflow made.
        run_name: None names the sweep by its axes.
        jobs: Processes of this machine; None takes one for each core.
        executor: `processes`, or `dask://HOST:PORT` for a Dask cluster.
        figures: Whether to draw the figures of each run at once; `draw` does it any time later.
        require_clean: Refuses to run code that differs from its commit.
        histogram_every: As for `train`; likewise `checkpoint_every`.
        tell: Told how far it is whenever that changes.

    Returns:
        The sweep, with runs that failed or could not be trained among its runs.

    Raises:
        InvalidInput: The executor or a profile cannot be used, or a point cannot be trained here.
        DataError: A table cannot be trained on. Like the above, before a run is created.
        StoreError: The store refuses.
        KeyboardInterrupt: The process was told to stop; the same sweep once more goes on.
    """
    if problems := executor_problems(executor, tracking_uri):
        raise InvalidInput(problems)
    state = code.code_state()
    if require_clean:
        code.require_clean(state)
    complete = partial(completed, taken_up=profiles.taken_up(), load=cache(data.load))
    for point in study.corners():
        complete(study.recipe(point, study.seeds[0]))  # before a run is made
    store = Store(tracking_uri)
    about: Any = {
        "tracking_uri": store.uri,
        "figures": figures,
        "require_clean": require_clean,
        "histogram_every": histogram_every,
        "checkpoint_every": checkpoint_every,
    }
    count = min(jobs or len(os.sched_getaffinity(0)), study.total)
    with workers(executor, count) as found:
        under_way = _Sweep(study, store, complete, experiment=experiment, run_name=run_name, about=about)
        return under_way.carry_through(found, code_tags(state), tell)


class _Sweep:
    """One sweep under way."""

    def __init__(
        self,
        study: Study,
        store: Store,
        complete: Callable[[Recipe], Completed],
        *,
        experiment: str,
        run_name: str | None,
        about: Mapping[str, Any],
    ) -> None:
        self._study, self._store, self._complete, self._about = study, store, complete, about
        adopted = os.environ.get("MLFLOW_RUN_ID")
        self._experiment = store.snapshot(adopted).experiment if adopted else experiment
        self._earlier = children.sweeps(store, self._experiment, study.sha256)
        self._run = self._open(adopted, run_name)
        self._beaten = 0.0
        self._ended: dict[str, Child] = {}  # by the recipe's digest, which a search may propose twice
        self._order: dict[str, int] = {}  # in which recipes came up
        self._scores: list[Score] = []  # of each point

    def _open(self, adopted: str | None, run_name: str | None) -> Run:
        """The sweep's own run: the one that `mlflow run` made, or of the same sweep before, or a new one."""
        if adopted is not None:
            return self._store.adopt(adopted)
        if self._earlier:
            run = self._store.open(self._earlier[0].run_id)
            run.go_on()
            return run
        name = run_name or "sweep of " + (" × ".join(axis.name for axis in self._study.axes) or "seeds")
        return self._store.create(self._experiment, name, {SWEEP: self._study.sha256}, None)

    def carry_through(
        self, found: Workers, tags: Mapping[str, str], tell: Callable[[Progress], None]
    ) -> Swept:
        """Trains what is missing, and ends the sweep's run however that ends."""
        study, run = self._study, self._run
        progress = Progress(total=study.total, metric=study.metric)
        try:
            run.describe(params=results.params(study), tags={SWEEP: study.sha256, **tags, **_versions(study)})
            self._upload({STUDY: f"{study.to_json()}\n".encode()})
            children.take_over(self._store, run.id, self._earlier)
            self._train(found, progress, tell)
            children.take_over(self._store, run.id, self._earlier)
            children.discard_doubles(self._store, run.id)
            found_out = self._swept(progress)
            self._conclude(found_out)
        except BaseException as error:
            with contextlib.suppress(StoreError):  # the first trouble is the one to tell
                run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        run.end("FINISHED")
        return found_out

    def _train(self, found: Workers, progress: Progress, tell: Callable[[Progress], None]) -> None:
        there = children.settled(self._store, self._run.id)
        curves: dict[int, list[Curve]] = {seed: [] for seed in self._study.seeds}
        for points, told in rounds(self._study):
            earlier = {seed: tuple(some) for seed, some in curves.items()}
            jobs = [self._job(point, seed, earlier[seed]) for point in points for seed in self._study.seeds]
            for child in self._round(found, jobs, there, progress):
                self._ended[child.recipe_sha256] = child
                progress.runs.append(child)
                tell(progress)
            for job in jobs:
                if (curve := _curve(self._ended[job.sha256])) is not None:
                    curves[job.recipe.seed].append(curve)
            scores = _scores(self._study, [self._ended[job.sha256] for job in jobs])
            self._scores += scores
            told(scores)

    def _job(self, point: Point, seed: int, earlier: tuple[Curve, ...]) -> Job:
        found = self._complete(self._study.recipe(point, seed))
        sha256 = found.recipe.sha256
        self._order.setdefault(sha256, len(self._order))
        return Job(
            recipe=found.handed_out,
            sha256=sha256,
            name=self._study.name(point, seed),
            point=point,
            study=self._study,
            parent=self._run.id,
            experiment=self._experiment,
            earlier=earlier if self._study.pruner != NO_PRUNING else (),
            **self._about,
        )

    def _round(
        self,
        found: Workers,
        jobs: Sequence[Job],
        there: Mapping[str, Summary],
        progress: Progress,
    ) -> Iterator[Child]:
        """What became of the runs of a round.

        Those that were there come first, then the others as they end; a recipe that came up before does not.
        """
        new = {job.sha256: job for job in jobs if job.sha256 not in self._ended}
        progress.total -= len(jobs) - len(new)
        missing = [job for sha256, job in new.items() if sha256 not in there]
        for sha256, job in new.items():
            if sha256 in there:
                yield self._found(job, there[sha256])
        for child in found.results(missing, self._beat):
            if child.state == STOPPED:
                raise KeyboardInterrupt
            yield child

    def _found(self, job: Job, run: Summary) -> Child:
        """What became of a run that was there."""
        study = self._study
        has_curve = study.pruner != NO_PRUNING and run.status != "FAILED"
        return job.child(
            _STATES[run.status],
            run_id=run.run_id,
            metrics=run.metrics,
            curve=children.curve(self._store, run.run_id, study.metric) if has_curve else (),
            why=run.failure or run.pruned or "",
            was_there=True,
        )

    def _beat(self) -> None:
        """Says every now and then that the sweep lives, so that `doctor` leaves it alone."""
        if time.monotonic() - self._beaten > _SECONDS_BETWEEN_BEATS:
            self._beaten = time.monotonic()
            with contextlib.suppress(StoreError):  # a store that is away is not the end of a sweep
                self._run.describe(params={}, tags={HEARTBEAT: f"{time.time():.0f}"})

    def _swept(self, progress: Progress) -> Swept:
        info = self._run.info
        runs = sorted(progress.runs, key=lambda run: self._order[run.recipe_sha256])
        best = results.best_of(runs, self._study.metric)
        return Swept(
            run_id=self._run.id,
            experiment_id=info.experiment_id,
            tracking_uri=without_credentials(self._store.uri),
            artifact_uri=info.artifact_uri,
            study_sha256=self._study.sha256,
            metric=self._study.metric,
            best=best.name if best else None,
            seconds=time.monotonic() - progress.started,
            runs=tuple(runs),
        )

    def _conclude(self, what: Swept) -> None:
        """Puts the table of all runs, and what it comes to, into the sweep's run."""
        self._upload({RUNS: results.table_text(self._study, what.runs).encode()})
        now = int(time.time() * 1000)
        counts = {
            "runs_finished": what.count(FINISHED),
            "runs_failed": what.count(FAILED, REFUSED),
            "runs_pruned": what.count(PRUNED),
        }
        best = what.best_run
        values = counts | ({f"best_{what.metric}": best.metrics[what.metric]} if best else {})
        self._run.log_rows([Row(name, 0, now, float(value)) for name, value in values.items()])
        self._run.describe(params={}, tags={DESCRIPTION: results.description(self._study, what)})
        if self._study.search != GRID:
            self._upload({SEARCH: self._search_picture()})
        with contextlib.suppress(InvalidInput):  # no run finished, so there is nothing to compare
            compare_below(self._store, self._run.id, metric=what.metric)

    def _search_picture(self) -> bytes:
        from reproven.training import figures

        metric = self._study.metric
        values = [score.value for score in self._scores]
        figure = figures.search(values, metric, more_is_better=more_is_better(metric))
        return figures.png(figure)

    def _upload(self, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory(prefix="reproven-") as folder:
            for name, content in files.items():
                disk.write_bytes(Path(folder) / name, content)
            self._run.upload(Path(folder))


def _curve(child: Child) -> Curve | None:
    """How a run went, for the pruning of later ones; None where it failed."""
    if child.state not in (FINISHED, PRUNED) or not child.curve:
        return None
    return Curve(child.curve, child.state == PRUNED)


def _scores(study: Study, ended: Sequence[Child]) -> list[Score]:
    """What came of each point, from what became of its runs, seeds fastest."""
    found = []
    count = len(study.seeds)
    for first in range(0, len(ended), count):
        some = ended[first : first + count]
        values = [run.metrics[study.metric] for run in some if study.metric in run.metrics]
        mean = statistics.fmean(values) if values else None
        is_whole = all(run.state == FINISHED for run in some) and len(values) == count
        pruned = any(run.state == PRUNED for run in some)
        found.append(Score(value=mean if is_whole else None, pruned=pruned, last=mean))
    return found


def _versions(study: Study) -> dict[str, str]:
    names = ["reproven", "optuna"] if study.in_rounds else ["reproven"]
    own = {"reproven": f"{PREFIX}version", "optuna": f"{PREFIX}optuna.version"}
    return {own[name]: environment.package_version(name) for name in names}
