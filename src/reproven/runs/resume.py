"""resume: a run that was stopped goes on, and ends in the bits of one that never was.

It starts from the newest whole checkpoint, or anew where there is none. What the journal tells beyond it
is computed once more and held against it, so that a machine that computes otherwise is found at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from reproven.arithmetic import profiles
from reproven.errors import InvalidInput, RecordError, Unreadable
from reproven.files import disk
from reproven.files.names import ENVIRONMENT
from reproven.files.texts import json_object
from reproven.logbooks import journal, logbook, shelf
from reproven.logbooks.delivery import home
from reproven.logbooks.journal import EPOCH, STEP, Journal, Line, loss
from reproven.logbooks.logbook import Held, Logbook
from reproven.own import trust
from reproven.own.named import modules_of
from reproven.own.sources import sources_again
from reproven.pages.progress import NOTEBOOK
from reproven.store.store import Store
from reproven.values.record import Inputs
from reproven.values.run_ids import run_and_path
from reproven.values.steps import Step, Watch

if TYPE_CHECKING:
    from reproven.runs.conduct import Prune
    from reproven.runs.train import Trained
    from reproven.training.history import History
    from reproven.training.prepared import Prepared


Say = Callable[[str], None]


def resume(
    run: str,
    *,
    data: str | None = None,
    tracking_uri: str | None = None,
    offline: bool = False,
    prune: Prune | None = None,
    watch: Watch = NOTEBOOK.training,
    say: Say = lambda text: None,
) -> Trained:
    """Trains what is left of a run that was stopped, and ends it as if it never was.

    Args:
        run: A run id, `runs:/…`, or the id of its logbook.
        data: Where the table is, if not where it was.
        tracking_uri: The run's store; None takes the one that it was started with, whatever MLflow's own
            choice is now.
        offline: Asks no store now; `sync` sends everything later.
        prune: As for `train`.
        watch: Passes the steps through.
        say: Told what is worth knowing meanwhile, in sentences.

    Returns:
        The run, as `train` would have returned it.

    Raises:
        InvalidInput: There is nothing to resume: the run has ended, runs, or was started elsewhere; or this
            machine or this code is not what it was started with.
        RecordError: What is left of it is damaged.
        StoreError, DiskError, DataError, KeyboardInterrupt: As for `train`.
    """
    book = shelf.find(run)
    if book is None:
        raise InvalidInput([_not_here(run, Store(tracking_uri))])
    try:
        with book.held():
            return _resume(book, data, tracking_uri, offline=offline, prune=prune, watch=watch, say=say)
    except Held as error:
        raise InvalidInput(
            [f"The run {run} is running, in process {error} of this machine. Wait for it, or stop it first."]
        ) from error


def _not_here(run: str, store: Store) -> str:
    """Why a run that has no logbook on this machine cannot be resumed."""
    found = store.open(run_and_path(run)[0])
    if found.info.status in ("FINISHED", "FAILED"):
        return f"The run {run} is {found.info.status}: there is nothing to resume."
    return (
        f"The run {run} is {found.info.status}, but its logbook is not in {shelf.place()}. "
        f"Resume it where it was started, or name the folder of its logbooks in {shelf.FOLDER}."
    )


def _resume(
    book: Logbook,
    data: str | None,
    tracking_uri: str | None,
    *,
    offline: bool,
    prune: Prune | None,
    watch: Watch,
    say: Say,
) -> Trained:
    plan = book.plan
    if plan.kind != logbook.TRAIN:
        raise InvalidInput([f"The run {plan.name} is a replay. Replay its run again instead."])
    store = None if offline else Store(tracking_uri or home(book), plan.folder)
    profiles.take_on(json_object(ENVIRONMENT, _text(book, ENVIRONMENT)))
    from reproven.runs.train import carry_through, delivered

    if book.end is not None:
        say("Its training is over; what its store lacks is sent.")
        return delivered(book, store)
    made = _same_trial(book, data)
    history, kept = _where_it_stood(book, made, say)
    return carry_through(book, history, kept, store, is_new=False, watch=watch, prune=prune)


def _text(book: Logbook, name: str) -> str:
    try:
        return disk.read_text(book.files / name)
    except Unreadable as error:
        raise RecordError(str(error)) from error


def _same_trial(book: Logbook, data: str | None) -> Prepared:
    """The run before its first step, if this machine and this code still make the same one.

    Raises:
        InvalidInput: They do not; the error says in what they differ.
        Untrusted: The user's own code may not be imported.
        DataError: The table is gone, or another one.
    """
    from reproven.machine import code, environment
    from reproven.training.history import inputs_of
    from reproven.training.prepared import prepare
    from reproven.values import changes

    recorded = Inputs.read(partial(_text, book))
    names = list(recorded.recipe.own.values())
    if recorded.own is not None:
        trust.require(names)
        here = sources_again(modules_of(names), recorded.own.files).digests
        if other := [changes.other_words(*one) for one in changes.other_files(recorded.own.files, here)]:
            told = " ".join(other)
            raise InvalidInput(
                [f"The run {book.plan.name} would not stay one run. {told} Put it back, or train anew."]
            )
    made = prepare(replace(recorded.recipe, data=data or book.plan.table))
    now = inputs_of(made, code.code(code.code_state()), environment.describe(str(made.recipe.profile)))
    if apart := changes.changes(recorded, now):
        told = "; ".join(changes.change_words(change) for change in apart)
        raise InvalidInput(
            [
                f"The run {book.plan.name} was started otherwise, and would not stay one run: {told}. "
                "Resume it as it was started, or train anew."
            ]
        )
    return made


def _where_it_stood(book: Logbook, made: Prepared, say: Say) -> tuple[History, Journal]:
    """The training where the newest whole checkpoint stands, what was found up to it, and the journal there.

    Raises:
        RecordError: There are checkpoints, and none is whole.
    """
    from reproven.logbooks import checkpoint
    from reproven.training.history import History

    problems: list[str] = []
    for path in book.checkpoints:
        try:
            found = checkpoint.read(path)
            kept = Journal(book.journal, found.position)
            if kept.sha256 != found.sha256:
                kept.close()
                raise RecordError(f"{book.journal.name} is damaged: it is not what {path.name} knows.")
            found.restore(made.state)
        except RecordError as error:
            problems.append(str(error))
            continue
        history = _recalled(made, journal.read(book.journal, limit=found.position)[0])
        history.best_weights = found.best
        for problem in problems:
            say(f"{problem} The checkpoint before it is taken.")
        say(f"Goes on after step {found.step} of {made.total_steps}.")
        return history, kept
    if problems:
        raise RecordError(f"The run {book.plan.name} cannot go on. {' '.join(problems)} Train it anew.")
    say("It was stopped before its first checkpoint, and starts over.")
    return History(made), Journal(book.journal)


def _recalled(made: Prepared, lines: Iterable[Line]) -> History:
    """What a journal tells of the steps before those that are still to be trained.

    Args:
        made: What is trained.
        lines: The journal up to where its state stands.
    """
    from reproven.training.history import History

    history = History(made)
    per_epoch = -(-len(made.dataset.train_rows) // made.recipe.batch_size)
    for line in lines:
        if line[0] == STEP:
            epoch, batch = divmod(line[1], per_epoch)
            step = Step(line[1], epoch, batch, loss(line), ends_epoch=batch + 1 == per_epoch)
            history.steps.append(step)
            history.step_weights.append(tuple(line[4].split(" ")))
        elif line[0] == EPOCH:
            history.note_epoch(line[3], line[4])
    return history
