"""replay: a recorded run is trained again from its record alone, and compared with it to the bit.

It reads the record, takes on the recorded arithmetic (and, where asked, environment and code), trains, and
says what it found. torch is imported only once the arithmetic is known.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproven.arithmetic import profiles
from reproven.errors import (
    Absent,
    DataError,
    InvalidInput,
    OwnCodeError,
    RebuildError,
    RecordError,
    StoreError,
)
from reproven.files.names import FIGURES, HISTOGRAMS
from reproven.logbooks import journal, logbook, shelf
from reproven.logbooks.delivery import begun, deliver
from reproven.logbooks.journal import Journal
from reproven.logbooks.logbook import End, Logbook, Plan
from reproven.machine import processes, rebuilding
from reproven.own import trust
from reproven.pages.progress import NOTEBOOK
from reproven.proof import verdict
from reproven.proof.audit import look, place_of_table
from reproven.proof.evidence import Evidence, environment_of, gather, other_code
from reproven.proof.telling import (
    leave,
    linked_by,
    name_of,
    run_id_of,
    several,
    shown_under,
    tags_of,
)
from reproven.proof.verdict import INCONCLUSIVE, TAMPERED, Verdict
from reproven.store.address import run_of_mlflow, without_credentials
from reproven.store.registry import Registry
from reproven.store.store import Store
from reproven.values.run_ids import EXAMPLE, listed
from reproven.values.steps import Watch

if TYPE_CHECKING:
    from reproven.proof.difference import Difference
    from reproven.training.history import History
    from reproven.training.prepared import Prepared
    from reproven.values.record import Inputs
    from reproven.values.steps import Step

ENV_MANAGERS = ("local", "uv")


def replay(
    run: str,
    *,
    env_manager: str = "local",
    data: str | None = None,
    every_step: bool = False,
    tracking_uri: str | None = None,
    watch: Watch = NOTEBOOK.replay,
) -> Verdict:
    """Trains a recorded run again, and says whether every bit is the same.

    Args:
        run: A run id, `runs:/…`, or the folder of a bundle.
        env_manager: `local` trains with the code and packages that run this; `uv` first checks out the
            recorded commit in a worktree and rebuilds the recorded environment.
        data: Where the table is, if not where it was.
        every_step: Digests every tensor after every step, where the record has wide ones at intervals. A
            replay that is IDENTICAL is then a finer record of the same run, to be replayed elsewhere.
        tracking_uri: Where the run is looked up and its replay is tracked; None takes MLflow's own choice.
        watch: Passes the steps through.

    Returns:
        The verdict: IDENTICAL, DIVERGED, INCONCLUSIVE or TAMPERED. The replay is a run of its own, but
        where the run's files are not where its store says.

    Raises:
        InvalidInput: There is no such env_manager, or the run is neither an id nor a folder.
        RecordError: There is no record to replay.
        StoreError: The store does not hold the run, or refuses the replay.
    """
    how: dict[str, Any] = {"env_manager": env_manager, "data": data, "every_step": every_step}
    return next(replays([run], **how, tracking_uri=tracking_uri, watch=watch))


def replays(
    runs: Sequence[str] = (),
    *,
    experiment: str | None = None,
    env_manager: str = "local",
    data: str | None = None,
    every_step: bool = False,
    tracking_uri: str | None = None,
    watch: Watch = NOTEBOOK.replay,
) -> Iterator[Verdict]:
    """Replays several runs, and yields each verdict when it is there.

    Args:
        runs: As for `replay`.
        experiment: Also every run of this experiment that trained a recipe and ended.
        env_manager: As for `replay`; likewise all that follow.

    Raises:
        InvalidInput: There is nothing to replay. Otherwise as `replay`.
    """
    if env_manager not in ENV_MANAGERS:
        raise InvalidInput([f"env_manager is {env_manager!r}, but must be one of {', '.join(ENV_MANAGERS)}."])
    runs = listed(runs, "runs", EXAMPLE)
    store = cache(partial(Store, tracking_uri))
    sources = [*runs, *_ended_runs(store(), experiment)] if experiment else list(runs)
    if not sources:
        where = (
            f"The experiment {experiment!r} holds no ended training run" if experiment else "No run is given"
        )
        raise InvalidInput([f"{where}, so there is nothing to replay. Train one: reproven train."])
    with several(store, len(sources)) as tell:
        for source in sources:
            how = _How(table=data, every_step=every_step, watch=watch, adopt=len(sources) == 1)
            try:
                found = _replay(source, store, env_manager, how)
            except RecordError as error:
                if source in runs and not isinstance(error, Absent):
                    raise
                why = (str(error),)  # no run of its own: it would be put where the record is not
                found = Verdict(verdict=INCONCLUSIVE, run=source, source=source, name="", reasons=why)
            tell(found)
            yield found


def _ended_runs(store: Store, experiment: str) -> list[str]:
    ended = ("FINISHED", "FAILED")
    runs = store.training_runs(experiment)
    return [run.run_id for run in runs if run.status in ended or run.pruned is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _How:
    """What was asked for, as `replay` has it, and whether the run that `mlflow run` made is the replay's."""

    table: str | None
    every_step: bool
    watch: Watch
    adopt: bool


def _replay(source: str, store: Callable[[], Store], env_manager: str, how: _How) -> Verdict:
    with gather(source, store) as found:
        recorded = environment_of(found)
        is_fresh = "torch" not in sys.modules
        if is_fresh:
            profiles.take_on(recorded)
        checked = look(found, store() if found.tags is not None else None, whole=False)
        if checked.findings:
            return _without_training(found, store(), TAMPERED, checked.findings, how)
        trust.require(found.record.inputs.recipe.own.values())  # before an environment is made for it
        try:
            if env_manager == "uv":
                return _rebuilt(found, store(), how)
            if not is_fresh and not profiles.suits(recorded):
                return _called(found, store(), how)  # torch cannot change any more
        except RebuildError as error:
            return _without_training(found, store(), INCONCLUSIVE, (str(error),), how)
        return _here(found, store(), how)


def _here(found: Evidence, store: Store, how: _How) -> Verdict:
    """Trains in this process."""
    from reproven.training.prepared import prepare

    recipe = found.record.inputs.recipe
    place = place_of_table(found.record, found, how.table)
    if place is None:
        why = f"The table {recipe.data} is gone: it is not where it was. Say where it is with --data."
        return _without_training(found, store, INCONCLUSIVE, (why,), how)
    if reasons := other_code(found):
        return _without_training(found, store, INCONCLUSIVE, reasons, how)
    try:
        made = prepare(replace(recipe, data=place, data_sha256=None))
    except (DataError, InvalidInput, OwnCodeError) as error:
        return _without_training(found, store, INCONCLUSIVE, (str(error),), how)
    return _train(found, store, made, how)


def _train(found: Evidence, store: Store, made: Prepared, how: _How) -> Verdict:
    from reproven.machine import code, environment
    from reproven.proof import difference
    from reproven.runs import conduct, remade
    from reproven.training.history import History, inputs_of

    state = code.code_state()
    inputs = inputs_of(made, code.code(state), environment.describe(str(made.recipe.profile)))
    parent, experiment = shown_under(found, store)
    plan = conduct.planned(
        made,
        state,
        kind=logbook.REPLAY,
        tracking_uri=without_credentials(store.uri),
        experiment=experiment,
        name=f"replay of {name_of(found)}",
        histogram_every=remade.interval(found.text(HISTOGRAMS), made.recipe.epochs),
        parent=parent,
        adopted=run_of_mlflow() if how.adopt else None,
        figures=False,  # those that are compared are its own
    )
    recorded = found.record.outcome
    enough = len(recorded.steps) + (recorded.pruned is None)  # a record may claim that it failed early

    def prune(epochs: int, errors: Mapping[str, float]) -> str | None:
        """What stopped it is not in its record, but when and why it was."""
        return recorded.pruned if epochs == len(recorded.epoch_weights) else None

    def enough_of(steps: Iterable[Step], total: int) -> Iterable[Step]:
        return islice(how.watch(steps, min(total, enough)), enough)

    files = conduct.first_files(made, inputs, state, figures=False)
    with shelf.new_logbook(plan, files) as book, begun(book, store, is_new=True):
        history = History(made, {} if how.every_step else recorded.weights_every)
        with conduct.sending(book, history, store.uri):
            conduct.follow(book, history, Journal(book.journal), watch=enough_of, prune=prune)
        again = history.record(inputs)
        apart = _with_files(difference.between(found.record, again), inputs, found, store, book, history)
        losses = (tuple(step.loss for step in one.outcome.steps) for one in (found.record, again))
        told = replace(_told(found, made, apart, book.sent.run_id), losses=tuple(losses))
        leave(told, found, book.files, again, made.loss_label)
        conduct.conclude(book, history, tags=tags_of(told), linked=linked_by(told, found))
        return _delivered(book, store, told)


def _with_files(
    apart: Difference, inputs: Inputs, found: Evidence, store: Store, book: Logbook, history: History
) -> Difference:
    """A difference that also tells of the files made anew, which become the replay's own figures."""
    from reproven.proof import difference
    from reproven.runs import remade

    if apart.first is not None:  # then files that follow from it differ too
        return apart
    lines, _ = journal.read(book.journal)
    is_same_code = difference.draw_alike(found.record.inputs, inputs)
    listed = found.manifest.files
    with tempfile.TemporaryDirectory(prefix="reproven-") as temporary:
        folder = Path(temporary)
        remade.remake(folder, listed, history, lines)
        others, compared, skipped = remade.others(found.folder, folder, listed, is_same_code=is_same_code)
        if (figures := folder / FIGURES).is_dir():
            with book.writing():
                shutil.copytree(figures, book.files / FIGURES)
    registry = Registry(store)
    for model in registry.logged(found.source) if found.tags is not None and is_same_code else ():
        more, count = remade.others_in_model(registry, model.source, found.folder)
        others, compared = [*others, *more], compared + count
    others += remade.other_datasets(found.snapshot.datasets, book.plan.datasets)
    return difference.with_files(apart, others, compared=compared, skipped=skipped)


def _delivered(book: Logbook, store: Store, told: Verdict) -> Verdict:
    """The verdict, which stands even where its store does not have all of the replay yet."""
    try:
        deliver(book, store)
    except StoreError as error:
        return replace(told, report=(*told.report, str(error)))
    return told


def _told(found: Evidence, made: Prepared, apart: Difference, run_id: str | None) -> Verdict:
    """The verdict on a difference."""
    from reproven.proof import explanation

    name, reasons = verdict.judge(apart, made.recipe.profile, made.nondeterministic)
    return Verdict(
        verdict=name,
        run=found.snapshot.run_id,
        source=found.source,
        name=found.snapshot.name,
        replay=run_id,
        reasons=reasons,
        report=verdict.words(apart, explanation.explained(made, found.record, apart)),
        difference=verdict.json_values(apart),
    )


def _without_training(
    found: Evidence, store: Store, name: str, reasons: tuple[str, ...], how: _How
) -> Verdict:
    """A verdict that no training led to; it too becomes a run."""
    parent, experiment = shown_under(found, store)
    plan = Plan(
        kind=logbook.REPLAY,
        tracking_uri=without_credentials(store.uri),
        folder=str(Path.cwd()),
        experiment=experiment,
        name=f"replay of {name_of(found)}",
        parent=parent,
        adopted=run_of_mlflow() if how.adopt else None,
        start_time=int(time.time() * 1000),
    )
    with shelf.new_logbook(plan, {}) as book, begun(book, store, is_new=True):
        told = Verdict(
            verdict=name,
            run=run_id_of(found),
            source=found.source,
            name=name_of(found),
            replay=book.sent.run_id,
            reasons=reasons,
        )
        leave(told, found, book.files)
        book.conclude(End(status="FINISHED", tags=tags_of(told), linked=linked_by(told, found), model=False))
        return _delivered(book, store, told)


def _rebuilt(found: Evidence, store: Store, how: _How) -> Verdict:
    """Trains with the recorded commit and the recorded packages."""
    inputs = found.record.inputs
    if inputs.code.commit is None:
        raise RebuildError("The record names no commit, so its code cannot be checked out.")
    with rebuilding.worktree(inputs.code.commit) as source, tempfile.TemporaryDirectory() as folder:
        python = rebuilding.rebuild(inputs.environment, Path(folder))
        return _called(found, store, how, python=python, source=source)


def _called(found: Evidence, store: Store, how: _How, **where: Any) -> Verdict:
    """Replays in a process of its own."""
    source = found.source if found.tags is not None else str(found.folder.resolve())
    table = how.table
    options = ["--data", str(Path(table).resolve()) if Path(table).exists() else table] if table else []
    options += ["--every-step"] if how.every_step else []
    variables = {"MLFLOW_TRACKING_URI": store.uri} | ({} if how.adopt else {"MLFLOW_RUN_ID": ""})
    value = processes.call(["replay", source, *options], variables, **where)
    try:
        first = value["replays"][0]
        return Verdict(**{**first, "reasons": tuple(first["reasons"]), "report": tuple(first["report"])})
    except (KeyError, IndexError, TypeError) as error:
        raise RebuildError(f"The replay in another process gave no verdict: {error!r}.") from error
