"""sweep: many recipes become runs below one run, each as `train` makes it; what is there is not made again.

It hands out jobs round by round, and collects what became of them. Neither torch nor matplotlib is needed for
that: `worker` trains, in other processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

from reproven.errors import InvalidInput
from reproven.logbooks.interval import OFTEN
from reproven.machine import code, environment
from reproven.own import trust
from reproven.own.named import modules_of
from reproven.own.sources import sources_of
from reproven.pages.progress import NOTEBOOK
from reproven.recipes.options import problems_in_python
from reproven.store import children
from reproven.store.address import without_credentials
from reproven.store.store import Store
from reproven.store.summary import Summary
from reproven.store.tags import code_tags
from reproven.sweeps import results
from reproven.sweeps.executors import Tick, Workers, workers
from reproven.sweeps.jobs import Complete, Job, Tracking, jobs_of
from reproven.sweeps.parent import Parent, parent_of
from reproven.sweeps.places import JOBS, PROCESSES, executor_problems
from reproven.sweeps.proposals import optuna_problems, rounds
from reproven.sweeps.results import STOPPED, Child, Progress, Swept
from reproven.sweeps.study import Study
from reproven.sweeps.tally import Tally
from reproven.tables import data
from reproven.training.completed import completed


def sweep(
    study: Study,
    *,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    run_name: str | None = None,
    jobs: int | None = None,
    executor: str = PROCESSES,
    figures: bool = False,
    require_clean: bool = False,
    histogram_every: int | None = None,
    checkpoint_every: str | None = None,
    tell: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Swept:
    """Trains every run of a study that is not there yet, below one run that holds their table.

    Args:
        study: What to train.
        tracking_uri: Where to track; None takes MLflow's own choice.
        experiment: The experiment's name; None takes that of the run that is active, under which a new sweep
            is shown, else Default. Under `mlflow run` it is that of the run which MLflow made.
        run_name: None names the sweep by its axes.
        jobs: Processes of this machine; None takes one for each core.
        executor: `processes`, or `dask://HOST:PORT` for a Dask cluster.
        figures: Whether to draw the figures of each run at once; `draw` does it any time later.
        require_clean: Refuses to run code that differs from its commit.
        histogram_every: As for `train`; likewise `checkpoint_every`.
        tell: Told how far it is whenever that changes; None shows a line in a notebook.
        say: Told the remarks on the tables, before anything is trained.

    Returns:
        The sweep, with runs that failed or could not be trained among its runs.

    Raises:
        InvalidInput: The executor or a profile cannot be used, or a point cannot be trained here.
        DataError: A table cannot be trained on. Like the above, before a run is created.
        StoreError: The store refuses.
        KeyboardInterrupt: The process was told to stop; the same sweep once more goes on.
    """
    often = {"histogram_every": histogram_every, "checkpoint_every": checkpoint_every}
    problems = executor_problems(executor, tracking_uri)
    problems += problems_in_python({"jobs": JOBS, **OFTEN}, {"jobs": jobs, **often})
    if not isinstance(study, Study):
        problems.append(
            f"study is of type {type(study).__name__}, but must be a Study. Try Study(base={{}})."
        )
    else:
        problems += optuna_problems(study)
    if problems:
        raise InvalidInput(problems)
    state = code.code_state()
    if require_clean:
        code.require_clean(state)
    complete = partial(completed, load=cache(data.load))
    remarks: dict[str, None] = {}
    looked_at, own = cache(sources_of), dict[str, str]()
    for point in study.corners():
        recipe = study.recipe(point, study.seeds[0])
        modules = tuple(modules_of(recipe.own.values()))
        trust.trust(*modules)  # which whoever names them does
        own |= looked_at(modules).digests  # before anything of them is imported
        found = complete(recipe)  # before a run is made
        remarks |= dict.fromkeys(found.table.remarks)
        study = study.of_task(found.table.task)
    for remark in remarks:
        say(remark)
    store = Store(tracking_uri)
    count = min(jobs or environment.processors(), study.total)
    with workers(executor, count) as trainers:
        parent = parent_of(study, store, code=own, experiment=experiment, run_name=run_name)
        tracking = Tracking(
            tracking_uri=store.uri,
            experiment=parent.experiment,
            parent=parent.run.id,
            code=own,
            figures=figures,
            require_clean=require_clean,
            histogram_every=histogram_every,
            checkpoint_every=checkpoint_every,
        )
        progress = Progress(total=study.total, metric=study.metric)
        with parent.ending():
            parent.introduce(code_tags(state))
            parent.take_over()
            tally = _trained(parent, trainers, complete, tracking, progress, tell or NOTEBOOK.sweep())
            parent.take_over()
            children.discard_doubles(store, parent.run.id)
            seconds = time.monotonic() - progress.started
            swept = replace(_swept(parent, tally, seconds=seconds), remarks=tuple(remarks))
            return replace(swept, compared=parent.conclude(swept, tally.scores))


def _trained(
    parent: Parent,
    trainers: Workers,
    complete: Complete,
    tracking: Tracking,
    progress: Progress,
    tell: Callable[[Progress], None],
) -> Tally:
    """Trains what is missing, round by round."""
    study, tally = parent.study, Tally(study=parent.study)
    there, beat = children.settled(parent.store, parent.run.id), parent.heart()
    for points, tell_scores in rounds(study):
        jobs = jobs_of(study, points, complete=complete, tracking=tracking, curves=tally.curves)
        new = tally.new(jobs)
        progress.total -= len(jobs) - len(new)
        ended: dict[str, Child] = {}
        for child in _ended(parent, new, there, trainers, beat):
            ended[child.recipe_sha256] = child
            progress.runs.append(child)
            tell(progress)
        tell_scores(tally.add(jobs, ended))
    return tally


def _ended(
    parent: Parent, jobs: Sequence[Job], there: Mapping[str, Summary], trainers: Workers, beat: Tick
) -> Iterator[Child]:
    """What became of some jobs: of those whose runs were there first, then of the others as they end."""
    for job in jobs:
        if job.sha256 in there:
            yield parent.child_of(job, there[job.sha256])
    for child in trainers.results([job for job in jobs if job.sha256 not in there], beat):
        if child.state == STOPPED:
            raise KeyboardInterrupt
        yield child


def _swept(parent: Parent, tally: Tally, *, seconds: float) -> Swept:
    study, info, runs = parent.study, parent.run.info, tuple(tally.runs.values())
    best = results.best_of(runs, study.metric)
    return Swept(
        run_id=parent.run.id,
        experiment_id=info.experiment_id,
        tracking_uri=without_credentials(parent.store.uri),
        artifact_uri=info.artifact_uri,
        study_sha256=study.sha256,
        metric=study.metric,
        best=best.name if best else None,
        seconds=seconds,
        runs=runs,
    )
