"""resume: a run that was stopped goes on, and ends in the bits of one that never was.

It starts from the newest whole checkpoint, or anew where there is none. What the journal tells beyond it
is computed once more and held against it, so that a machine that computes otherwise is found at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from reproven import arithmetic, artifacts, journal, logbook
from reproven.errors import InvalidInput, RecordError, RevivalError
from reproven.journal import Journal
from reproven.logbook import Held, Logbook
from reproven.record import ENVIRONMENT, Inputs, json_object
from reproven.store import Store

if TYPE_CHECKING:
    from reproven.record import Step
    from reproven.recording import Recording
    from reproven.tracking import Prune
    from reproven.trial import Trial
    from reproven.verbs.train import Trained

Watch = Callable[["Iterable[Step]", int], "Iterable[Step]"]
Say = Callable[[str], None]


def resume(
    run: str,
    *,
    data: str | None = None,
    tracking_uri: str | None = None,
    offline: bool = False,
    prune: Prune | None = None,
    watch: Watch = lambda steps, total: steps,
    say: Say = lambda text: None,
) -> Trained:
    """Trains what is left of a run that was stopped, and ends it as if it never was.

    Args:
        run: A run id, `runs:/…`, or the id of its logbook.
        data: Where the table is, if not where it was.
        tracking_uri: The run's store; None takes the one that it was started with.
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
    book = logbook.find(run)
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
    found = store.open(run.removeprefix("runs:/").strip("/"))
    if found.info.status in ("FINISHED", "FAILED"):
        return f"The run {run} is {found.info.status}: there is nothing to resume."
    return (
        f"The run {run} is {found.info.status}, but its logbook is not in {logbook.place()}. "
        f"Resume it where it was started, or name the folder of its logbooks in {logbook.FOLDER}."
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
    store = None if offline else Store(tracking_uri or plan.tracking_uri, plan.folder)
    arithmetic.take_on(json_object(ENVIRONMENT, _text(book, ENVIRONMENT)))
    from reproven.verbs.train import carry_through, delivered

    if book.end is not None:
        say("Its training is over; what its store lacks is sent.")
        return delivered(book, store)
    made = _same_trial(book, data)
    recording, kept = _recalled(book, made, say)
    return carry_through(book, recording, kept, store, is_new=False, watch=watch, prune=prune)


def _text(book: Logbook, name: str) -> str:
    try:
        return artifacts.read_text(book.files / name)
    except RevivalError as error:
        raise RecordError(str(error)) from error


def _same_trial(book: Logbook, data: str | None) -> Trial:
    """The run's trial before its first step, if this machine and this code still make the same one.

    Raises:
        InvalidInput: They do not; the error says in what they differ.
        DataError: The table is gone, or another one.
    """
    from reproven import difference, environment, trial, verdict
    from reproven.recording import inputs_of

    recorded = Inputs.read(partial(_text, book))
    made = trial.prepare(replace(recorded.recipe, data=data or book.plan.table))
    now = inputs_of(made, environment.code(environment.code_state()), environment.describe())
    if changes := difference.changes(recorded, now):
        told = "; ".join(verdict.change_words(change) for change in changes)
        raise InvalidInput(
            [
                f"The run {book.plan.name} was started otherwise, and would not stay one run: {told}. "
                "Resume it as it was started, or train anew."
            ]
        )
    return made


def _recalled(book: Logbook, made: Trial, say: Say) -> tuple[Recording, Journal]:
    """The trial where the newest whole checkpoint stands, what was found up to it, and the journal there.

    Raises:
        RecordError: There are checkpoints, and none is whole.
    """
    from reproven import checkpoint
    from reproven.recording import Recording

    recording, problems = Recording(made), []
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
        recording.recall(journal.read(book.journal, limit=found.position)[0])
        for problem in problems:
            say(f"{problem} The checkpoint before it is taken.")
        say(f"Goes on after step {found.step} of {made.total_steps}.")
        return recording, kept
    if problems:
        raise RecordError(f"The run {book.plan.name} cannot go on. {' '.join(problems)} Train it anew.")
    say("It was stopped before its first checkpoint, and starts over.")
    return recording, Journal(book.journal)
