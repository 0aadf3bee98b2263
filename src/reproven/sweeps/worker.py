"""The worker: trains one run of a sweep, in whatever process it is called.

It takes up the run's arithmetic, goes on where an earlier attempt on this machine stopped, and returns
what became of the run, also where that is trouble: a sweep does not end with one of its runs. It imports
torch and MLflow only when it is called, once in a process.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from reproven.arithmetic import profiles
from reproven.errors import InvalidInput, RecordError, ReprovenError
from reproven.logbooks import shelf
from reproven.store.address import without_credentials
from reproven.sweeps.proposals import Curve, pruning
from reproven.sweeps.results import FAILED, FINISHED, PRUNED, REFUSED, STOPPED, Child
from reproven.sweeps.study import NO_PRUNING, Point, Study
from reproven.values.recipe import Recipe

if TYPE_CHECKING:
    from reproven.logbooks.logbook import Logbook
    from reproven.runs.conduct import Prune
    from reproven.runs.train import Trained

_ONE_AT_A_TIME = threading.Lock()  # torch's generator is forked while a network is built


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run that is to be trained.

    Attributes:
        recipe: With the digest of its table; its `data` is a bundled table's name, or a path.
        sha256: Digest of the recipe as the run will hold it.
        name: The run's name.
        point: What it is on the axes.
        study: What it belongs to.
        parent: The sweep's run.
        tracking_uri: The store.
        experiment: The experiment's name.
        figures: Whether to draw its figures.
        require_clean: Whether to refuse code that differs from its commit.
        checkpoint_every: As for `train`; likewise `histogram_every`.
        earlier: What pruning compares it with.
    """

    recipe: Recipe
    sha256: str
    name: str
    point: Point
    study: Study
    parent: str
    tracking_uri: str
    experiment: str
    figures: bool = False
    require_clean: bool = False
    checkpoint_every: str | None = None
    histogram_every: int | None = None
    earlier: tuple[Curve, ...] = ()

    @property
    def profile(self) -> str:
        """The arithmetic that its process must have taken up."""
        return profiles.NATIVE if self.recipe.device == "cuda" else str(self.recipe.profile)

    @property
    def logbook_id(self) -> str:
        """The same for every attempt at the run, so that a later one finds what an earlier one left."""
        where = without_credentials(self.tracking_uri)
        return shelf.id_for(where, self.experiment, self.study.sha256, self.sha256)

    def child(
        self,
        state: str,
        *,
        run_id: str | None = None,
        metrics: Mapping[str, float] = MappingProxyType({}),
        why: str = "",
        was_there: bool = False,
        curve: tuple[float, ...] = (),
    ) -> Child:
        """The run and what came of it; the arguments are `Child`'s."""
        return Child(
            name=self.name,
            point=self.point,
            seed=self.recipe.seed,
            recipe_sha256=self.sha256,
            state=state,
            run_id=run_id,
            metrics=dict(metrics),
            why=why,
            was_there=was_there,
            curve=curve,
        )


def work(job: Job) -> Child:
    """Trains a run, or what is left of it, and returns what became of it."""
    with _ONE_AT_A_TIME:
        try:
            return _work(job)
        except KeyboardInterrupt:
            return job.child(STOPPED, why="It was told to stop.")
        except ReprovenError as error:
            return job.child(REFUSED, why=" ".join(str(error).split("\n")))
        except Exception as error:  # the sweep goes on, and says which bug it was
            return job.child(REFUSED, why=f"{type(error).__name__}: {error}. This is a bug of reproven.")


def _work(job: Job) -> Child:
    profiles.enter(job.profile)  # before Optuna, whose libraries look at the variables too
    curve: list[float] = []
    prune = _prune(job, curve) if job.study.pruner != NO_PRUNING else None
    book = shelf.called(job.logbook_id)
    trained = _gone_on(book, job, prune) if book is not None else None
    if trained is None:
        trained = _trained(job, prune)
    return job.child(
        FAILED if trained.failure else PRUNED if trained.pruned else FINISHED,
        run_id=trained.run_id,
        metrics=trained.metrics,
        why=trained.failure or trained.pruned or "",
        curve=tuple(curve),
    )


def _prune(job: Job, curve: list[float]) -> Prune:
    """What decides after each epoch; it notes the curve too."""
    worth = pruning(job.study, job.earlier)

    def prune(epochs: int, errors: Mapping[str, float]) -> str | None:
        curve.append(errors[job.study.metric])
        return worth(epochs, curve[-1])

    return prune


def _trained(job: Job, prune: Prune | None) -> Trained:
    from reproven.runs.train import train

    return train(
        job.recipe,
        tracking_uri=job.tracking_uri,
        experiment=job.experiment,
        run_name=job.name,
        histogram_every=job.histogram_every,
        checkpoint_every=job.checkpoint_every,
        require_clean=job.require_clean,
        figures=job.figures,
        parent=job.parent,
        logbook_id=job.logbook_id,
        prune=prune,
    )


def _gone_on(book: Logbook, job: Job, prune: Prune | None) -> Trained | None:
    """What an earlier attempt left, brought to its end; None where that cannot be done, and it is removed."""
    from reproven.runs.resume import resume

    if book.is_held:
        raise InvalidInput([f"The run {job.name} is being trained by another process of this machine."])
    try:
        if prune is not None:  # which must see every epoch
            raise RecordError("A run that may be pruned begins anew.")
        return resume(book.id, tracking_uri=job.tracking_uri)
    except (InvalidInput, RecordError):
        _forget(book, job)
        return None


def _forget(book: Logbook, job: Job) -> None:
    from reproven.store.children import discard
    from reproven.store.store import Store

    store = Store(job.tracking_uri)
    if run_id := store.made_for(book.id, job.experiment):
        discard(store, run_id)
    book.remove()
