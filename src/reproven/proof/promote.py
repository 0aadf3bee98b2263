"""promote: an alias of a registered model moves to a run's version, if the run is sound and still true.

roll_back: it moves back to where it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reproven.errors import InvalidInput, StoreError, name_among
from reproven.pages.progress import NOTEBOOK
from reproven.proof.audit import audit
from reproven.proof.replay import replay
from reproven.proof.verdict import IDENTICAL
from reproven.store.registry import Registry
from reproven.store.store import Store
from reproven.store.summary import Summary
from reproven.store.tags import PREFIX, SEAL, VERDICT
from reproven.values.metrics import estimate, last, more_is_better, usual_metric
from reproven.values.model_name import registration_problems
from reproven.values.run_ids import run_and_path
from reproven.values.steps import Watch

_FORCED = f"{PREFIX}forced"  # on a version: what spoke against it
_METRIC = f"{PREFIX}metric."


@dataclass(frozen=True, kw_only=True, slots=True)
class Promoted:
    """What became of an alias.

    Attributes:
        name: The registered model.
        alias: The alias.
        version: The version that it points at now; None where it points at none.
        before: The version that it pointed at before.
        run_id: The run that the version comes from; None where the alias was moved back.
        verdict: The replay's verdict; None where none was asked for.
        objections: What speaks against the run; where it is not forced, the alias was not moved.
        moved: Whether the alias was moved.
        estimate: That the test rows took no part in choosing the run; None where that is not so.
    """

    name: str
    alias: str
    version: str | None
    before: str | None
    run_id: str | None = None
    verdict: str | None = None
    objections: tuple[str, ...] = ()
    moved: bool = True
    estimate: str | None = None


def promote(
    run: str | None = None,
    *,
    name: str,
    alias: str,
    best_of: str | None = None,
    metric: str | None = None,
    force: bool = False,
    tracking_uri: str | None = None,
    watch: Watch = NOTEBOOK.replay,
) -> Promoted:
    """Points an alias at the version of a run, if its audit finds nothing and its replay says IDENTICAL.

    Args:
        run: A run id, or `runs:/…`.
        name: The registered model; the run is registered under it if it was not.
        alias: The alias.
        best_of: In place of a run: the best finished one of this experiment.
        metric: By which it is the best: the least, of r2 and what tells classes the greatest. None takes
            validation_rmse or validation_log_loss where every finished run has it, else that of test rows.
        force: Moves the alias all the same; what speaks against it is noted on the version.
        tracking_uri: The store and its registry; None takes MLflow's own choice.
        watch: Passes the replay's steps through.

    Returns:
        What became of the alias; with `objections` and without `force` it was not moved.

    Raises:
        InvalidInput: Not one of run and best_of is given, or a name cannot be used.
        StoreError: There is no such run, it logged no model, or the store refuses.
        RecordError: The run has no record.
    """
    problems = registration_problems(name, alias, option="name")
    if (run is None) == (best_of is None):
        problems.append("run or best_of must be given, and not both. Give a run id, or --best-of EXPERIMENT.")
    if problems:
        raise InvalidInput(problems)
    store = Store(tracking_uri)
    registry = Registry(store)
    told = None
    if run:
        run_id = run_and_path(run)[0]
    else:
        best, metric = _best(store, str(best_of), metric)
        run_id, told = best.run_id, estimate(metric, best.metrics)
    registry.model_of(run_id)  # there must be one
    audited = audit(run_id, tracking_uri=tracking_uri)
    replayed = replay(run_id, tracking_uri=tracking_uri, watch=watch)
    objections = audited.findings
    if replayed.verdict != IDENTICAL:
        why = " ".join((*replayed.reasons, *replayed.report[:1]))
        objections += (f"Its replay {replayed.replay} says {replayed.verdict}. {why}".strip(),)
    now = registry.version_at(alias, name)
    stays = Promoted(
        name=name,
        alias=alias,
        version=now,
        before=now,
        run_id=run_id,
        verdict=replayed.verdict,
        objections=objections,
        moved=False,
        estimate=told,
    )
    if objections and not force:
        return stays
    version = registry.version_of(run_id, name)
    metrics = last(store.metrics(run_id))
    tags = {
        VERDICT: replayed.verdict,
        SEAL: audited.seal or "none",
        **{f"{_METRIC}{key}": repr(row.value) for key, row in metrics.items()},
        **({_FORCED: " ".join(objections)[:4000]} if objections else {}),
    }
    registry.move(alias, name, version, tags)
    return replace(stays, version=version, moved=True)


def roll_back(*, name: str, alias: str, tracking_uri: str | None = None) -> Promoted:
    """Points an alias back at the version that it pointed at before it was promoted.

    Args:
        name: The registered model.
        alias: The alias.
        tracking_uri: The store and its registry; None takes MLflow's own choice.

    Raises:
        InvalidInput: The alias points at no version, or nothing was before it.
        StoreError: The store refuses.
    """
    if problems := registration_problems(name, alias, option="name"):
        raise InvalidInput(problems)
    now, before = Registry(Store(tracking_uri)).back(alias, name)
    if now is None:
        raise InvalidInput([f"The model {name!r} has no alias {alias!r}, so there is nothing to roll back."])
    if before is None:
        raise InvalidInput(
            [f"{alias!r} of {name!r} points at version {now}, and at none before it. Promote another run."]
        )
    return Promoted(name=name, alias=alias, version=before, before=now)


def _best(store: Store, experiment: str, metric: str | None) -> tuple[Summary, str]:
    """The best finished run of an experiment, and the metric by which it is.

    Raises:
        StoreError: There is none, or none has the metric.
    """
    finished = [run for run in store.training_runs(experiment) if run.status == "FINISHED"]
    if not finished:
        raise StoreError(f"The experiment {experiment!r} holds no finished training run. Train one first.")
    metric = metric or usual_metric([run.metrics for run in finished])
    measured = [run for run in finished if metric in run.metrics]
    if not measured:
        names = sorted({name for run in finished for name in run.metrics})
        raise StoreError(f"No run of {experiment!r} has the metric {metric!r}. {name_among(metric, names)}")
    best = max if more_is_better(metric) else min
    return best(measured, key=lambda run: run.metrics[metric]), metric
