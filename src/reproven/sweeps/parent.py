"""Parent: the run that all runs of a sweep are below; its own page in a store says what they come to."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reproven.comparisons.compare import Compared, compare_below
from reproven.errors import InvalidInput, StoreError
from reproven.files import disk, names
from reproven.machine.environment import package_version
from reproven.store import children
from reproven.store.address import run_of_mlflow
from reproven.store.children import SWEEP
from reproven.store.open_run import Run
from reproven.store.store import Store
from reproven.store.summary import Summary
from reproven.store.tags import DESCRIPTION, HEARTBEAT, PARENT, PREFIX
from reproven.sweeps import results
from reproven.sweeps.jobs import Job
from reproven.sweeps.proposals import Score
from reproven.sweeps.results import FAILED, FINISHED, PRUNED, Child, Swept
from reproven.sweeps.study import GRID, NO_PRUNING, Study
from reproven.values.metrics import Row, more_is_better

STUDY, RUNS, SEARCH = "study.json", "runs.csv", f"{names.FIGURES}/search.png"
_SECONDS_BETWEEN_BEATS = 30.0
_STATES = {"FINISHED": FINISHED, "FAILED": FAILED, "KILLED": PRUNED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent:
    """A sweep's run in its store.

    Attributes:
        study: What is swept.
        sha256: Digest of the study and of the user's own code.
        store: Where.
        experiment: The experiment's name.
        run: The run itself.
        earlier: The runs of the same sweep before, the newest first; this one may be among them.
    """

    study: Study
    sha256: str
    store: Store
    experiment: str
    run: Run
    earlier: Sequence[Summary]

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Ends the run with the block, however that ends."""
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(StoreError):  # the first trouble is the one to tell
                self.run.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        self.run.end("FINISHED")

    def introduce(self, code_tags: Mapping[str, str]) -> None:
        """Says what is swept, and with which code."""
        versions = {f"{PREFIX}version": package_version("reproven")}
        if self.study.in_rounds:
            versions[f"{PREFIX}optuna.version"] = package_version("optuna")
        own = {SWEEP: self.sha256, **code_tags, **versions}
        self.run.describe(params=results.params(self.study), tags=own)
        self._upload({STUDY: f"{self.study.to_json()}\n".encode()})

    def take_over(self) -> None:
        """Shows the runs below earlier ones below this one."""
        children.take_over(self.store, self.run.id, list(self.earlier))

    def child_of(self, job: Job, found: Summary) -> Child:
        """What became of a job whose run was there."""
        curve: tuple[float, ...] = ()
        if self.study.pruner != NO_PRUNING and found.status != "FAILED":
            curve = children.curve(self.store, found.run_id, self.study.metric)
        if job.recipe.patience is not None:
            curve = curve[:-1]  # what comes after the last epoch is of the best one once more
        return job.child(
            _STATES[found.status],
            run_id=found.run_id,
            metrics=found.metrics,
            why=found.failure or found.pruned or "",
            was_there=True,
            curve=curve,
        )

    def heart(self) -> Callable[[], None]:
        """A function that says every now and then that the sweep lives, so that `doctor` leaves it alone."""
        beaten = 0.0

        def beat() -> None:
            nonlocal beaten
            if time.monotonic() - beaten > _SECONDS_BETWEEN_BEATS:
                beaten = time.monotonic()
                with contextlib.suppress(StoreError):  # a store that is away is not the end of a sweep
                    self.run.describe(params={}, tags={HEARTBEAT: f"{time.time():.0f}"})

        return beat

    def conclude(self, swept: Swept, scores: Sequence[Score]) -> Compared | None:
        """Puts the table of all runs, and what it comes to, into the run; returns their comparison.

        Args:
            swept: What became of the sweep.
            scores: What came of each point.
        """
        self._upload({RUNS: results.table_text(self.study, swept.runs).encode()})
        now = int(time.time() * 1000)
        values = results.metrics(swept)
        self.run.log_rows([Row(name, 0, now, float(value)) for name, value in values.items()])
        self.run.describe(params={}, tags={DESCRIPTION: results.description(self.study, swept)})
        if self.study.search != GRID:
            self._upload({SEARCH: _search_picture(scores, self.study.metric)})
        with contextlib.suppress(InvalidInput):  # no run finished, so there is nothing to compare
            return compare_below(self.store, self.run.id, metric=swept.metric)
        return None

    def _upload(self, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory(prefix="reproven-") as folder:
            for name, content in files.items():
                disk.write_bytes(Path(folder) / name, content)
            self.run.upload(Path(folder))


def parent_of(
    study: Study, store: Store, *, code: Mapping[str, str], experiment: str | None, run_name: str | None
) -> Parent:
    """The sweep's run: the one that `mlflow run` made, or of the same sweep before, or a new one.

    Args:
        study: What is swept.
        store: Where.
        code: The sha256 of each of the user's own sources, by its path.
        experiment: The experiment's name; None takes that of the run around it, else Default. A run that
            `mlflow run` made stays in its own.
        run_name: None names the sweep by its axes.

    Raises:
        StoreError: The store refuses.
    """
    adopted = run_of_mlflow()
    above, around = children.enclosing(store)
    experiment = store.snapshot(adopted).experiment if adopted else experiment or around
    sha256 = study.sha256_with(code)
    earlier = children.sweeps(store, experiment, sha256)
    if adopted is not None:
        run = store.adopt(adopted)
    elif earlier:
        run = store.open(earlier[0].run_id)
        run.go_on()
    else:
        name = run_name or "sweep of " + (" × ".join(axis.name for axis in study.axes) or "seeds")
        tags = {SWEEP: sha256, **({PARENT: above} if above else {})}
        run = store.create(experiment, name, tags, None)
    return Parent(study=study, sha256=sha256, store=store, experiment=experiment, run=run, earlier=earlier)


def _search_picture(scores: Sequence[Score], metric: str) -> bytes:
    from reproven.training import figures

    values = [score.value for score in scores]
    return figures.png(figures.search(values, metric, more_is_better=more_is_better(metric)))
