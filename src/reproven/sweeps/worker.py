"""The worker: trains one run of a sweep, in whatever process it is called.

It takes up the run's arithmetic, goes on where an earlier attempt on this machine stopped, and returns
what became of the run, also where that is trouble: a sweep does not end with one of its runs. It imports
torch and MLflow only when it is called, once in a process.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reproven.errors import Deleted, InvalidInput, RecordError, ReprovenError
from reproven.logbooks import shelf
from reproven.machine import signals
from reproven.machine.imports import importing
from reproven.own import trust
from reproven.own.named import modules_of
from reproven.own.sources import sources_of
from reproven.sweeps.jobs import Job
from reproven.sweeps.proposals import pruning
from reproven.sweeps.results import FAILED, FINISHED, PRUNED, REFUSED, STOPPED, Child
from reproven.sweeps.study import NO_PRUNING

if TYPE_CHECKING:
    from reproven.logbooks.logbook import Logbook
    from reproven.runs.conduct import Prune
    from reproven.runs.train import Trained

_ONE_AT_A_TIME = threading.Lock()  # torch's generator is forked while a network is built
_stopped: set[str] = set()  # the sweeps of which this process trains no more runs
_trained_now: list[str] = []  # the sweep of the run that it trains


def stop(parent: str) -> None:
    """Has this process stop the run of a sweep that it trains, after a checkpoint, and begin none of it.

    Args:
        parent: The sweep's run.
    """
    _stopped.add(parent)
    if parent in _trained_now:
        signals.stop()


def work(job: Job) -> Child:
    """Trains a run, or what is left of it, and returns what became of it."""
    parent = job.tracking.parent
    with _ONE_AT_A_TIME:
        _trained_now[:] = [parent]
        try:
            if parent in _stopped:
                raise KeyboardInterrupt
            return _work(job)
        except KeyboardInterrupt:
            _stopped.add(parent)
            return job.child(STOPPED, why="It was told to stop.")
        except ReprovenError as error:
            return job.child(REFUSED, why=" ".join(str(error).split("\n")))
        except Exception as error:  # the sweep goes on, and says which bug it was
            return job.child(REFUSED, why=f"{type(error).__name__}: {error}. This is a bug of reproven.")
        finally:
            _trained_now.clear()


def _work(job: Job) -> Child:
    modules = modules_of(job.recipe.own.values())
    _refuse_other_code(modules, job.tracking.code)
    trust.trust(*modules)  # which whoever asked for the sweep named
    curve: list[float] = []
    prune = _prune(job, curve) if job.study.pruner != NO_PRUNING else None
    book = shelf.called(job.logbook_id)
    trained = _gone_on(book, job) if book is not None else None
    if trained is None:
        trained = _trained(job, prune)
    return job.child(
        FAILED if trained.failure else PRUNED if trained.pruned else FINISHED,
        run_id=trained.run_id,
        metrics=trained.metrics,
        why=trained.failure or trained.pruned or "",
        curve=tuple(curve),
    )


def _refuse_other_code(modules: Sequence[str], code: Mapping[str, str]) -> None:
    found = sources_of(modules).digests
    if others := ", ".join(path for path, digest in found.items() if code.get(path) != digest):
        raise InvalidInput(
            [
                f"{others}: not as it was when the sweep began, or another than where it was asked for. Have "
                "the same code on every machine, and sweep again."
            ]
        )


def _prune(job: Job, curve: list[float]) -> Prune:
    """What decides after each epoch; it notes the curve too."""
    worth = pruning(job.study, job.earlier)

    def prune(epochs: int, errors: Mapping[str, float]) -> str | None:
        curve.append(errors[job.study.metric])
        return worth(epochs, curve[-1])

    return prune


def _trained(job: Job, prune: Prune | None) -> Trained:
    with importing() if "torch" not in sys.modules else contextlib.nullcontext():  # once in a process
        from reproven.runs import conduct  # noqa: F401 (with torch, which `train` itself imports late)
        from reproven.runs.train import train

    how = job.tracking
    return train(
        job.recipe,
        tracking_uri=how.tracking_uri,
        experiment=how.experiment,
        run_name=job.name,
        histogram_every=how.histogram_every,
        checkpoint_every=how.checkpoint_every,
        require_clean=how.require_clean,
        figures=how.figures,
        parent=how.parent,
        logbook_id=job.logbook_id,
        prune=prune,
    )


def _gone_on(book: Logbook, job: Job) -> Trained | None:
    """What an earlier attempt left, brought to its end; None where that cannot be done, and it is removed."""
    from reproven.runs.resume import resume

    if book.is_held:
        raise InvalidInput([f"The run {job.name} is being trained by another process of this machine."])
    if job.study.pruner == NO_PRUNING:  # a pruner must see every epoch, so its runs begin anew
        with contextlib.suppress(InvalidInput, RecordError, Deleted):
            return resume(book.id, tracking_uri=job.tracking.tracking_uri)
    _forget(book, job)
    return None


def _forget(book: Logbook, job: Job) -> None:
    """Removes what an earlier attempt left, here and in the store."""
    from reproven.store.children import discard
    from reproven.store.store import Store

    store = Store(job.tracking.tracking_uri)
    if run_id := store.made_for(book.id, job.tracking.experiment):
        discard(store, run_id)
    book.remove()
