"""resume, sync, doctor, forget: the commands for runs that were stopped, and for stores that were away.

A command imports its verb only once its options are known to be good.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from reproven.cli.group import FINDING, TROUBLE, main
from reproven.cli.printing import say, tell_trained
from reproven.cli.reading import DATA, TRUST, argument, asking, checked, plain, store
from reproven.errors import InvalidInput
from reproven.machine.imports import importing
from reproven.pages.progress import TERMINAL
from reproven.recipes import typed

if TYPE_CHECKING:
    from reproven.logbooks.forget import Kept

_ANOTHER_STORE = store("Another store than the run's own.")


@main.command()
@asking(
    run=argument(may_be_blank=False),
    offline=typed.flag("Ask no store now; `reproven sync` sends everything later."),
    data=DATA,
    trust=TRUST,
    tracking_uri=_ANOTHER_STORE,
)
def resume(run: str, as_json: bool, **asked: Any) -> None:
    """Go on with RUN, which was stopped, to the bits of a run that never was.

    It starts from the newest whole checkpoint, in the middle of an epoch if that is where it stands, or anew
    where there is none. A run that has ended, one that is running, and one whose checkpoints are damaged are
    refused.

    \b
    Example:
      reproven resume 5aafbec3d5a143a98e4a0f1a1b4ff1f1
    """
    with importing():
        from reproven.runs.resume import resume as run_resume

    outcome = run_resume(run, watch=TERMINAL.training, say=say, **asked)
    tell_trained(f"run {run}", outcome, tracking_uri=asked["tracking_uri"], as_json=as_json)


def _follows_none(said: Mapping[str, Any]) -> list[str]:
    if said["follow"] and len(said["runs"]) != 1:
        return ["follow is given, but needs one run."]
    return []


@main.command()
@asking(
    runs=argument(nargs=-1),
    follow=plain(is_flag=True, hidden=True, help="Send a journal while it is written."),
    tracking_uri=_ANOTHER_STORE,
    problems=_follows_none,
)
def sync(runs: tuple[str, ...], follow: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Send what stores do not have yet of RUNS, or of all runs kept on this machine.

    Each goes to the store that it was meant for when it was trained, whatever MLFLOW_TRACKING_URI says now.

    \b
    Examples:
      reproven sync
      reproven sync --tracking-uri http://tracking:5000
    """
    if follow:
        _end_with_writer()
    with importing():
        from reproven.logbooks import sync as verb

    if follow:
        verb.follow(runs[0], say=say)
    found = []
    for synced in verb.sync(runs, tracking_uri=tracking_uri):
        found.append(synced)
        if not as_json:
            click.echo(f"{synced.state}: {synced.name} ({synced.run_id}), {synced.words}")
    if as_json:
        click.echo(json.dumps({"runs": [asdict(synced) for synced in found]}))
    elif not found:
        click.echo("Nothing is waiting on this machine.")
    if any(synced.state == verb.REFUSED for synced in found):
        sys.exit(TROUBLE)


def _end_with_writer() -> None:
    """Ends this process once the one at the other end of standard input is gone, whatever it is at then.

    It may still import, or wait for a store that hangs; meanwhile it would hold the terminal or the pipe that
    its standard error goes to. What it was sending is sent again.
    """

    def read() -> None:
        while os.read(sys.stdin.fileno(), 1 << 10):
            pass
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()


@main.command()
@asking(
    stale=checked(
        typed.number(
            "Seconds without a sign of life, after which a run that is not kept here is lost.", "600", low=0
        ),
        600,
    )
)
def doctor(stale: float, tracking_uri: str | None, as_json: bool) -> None:
    """Find runs whose process is gone, tell their store, and say what can be done: resume, sync, forget.

    A run that is kept on this machine is alive while a process holds its logbook; any other by its
    heartbeat. Exit code 1 where something is to be done.

    \b
    Example:
      reproven doctor
    """
    with importing():
        from reproven.logbooks.doctor import doctor as run_doctor

    found = []
    for case in run_doctor(stale=stale, tracking_uri=tracking_uri):
        found.append(case)
        if not as_json:
            marked = ", now KILLED in its store" if case.marked else ""
            click.echo(f"{case.state}{marked}: {case.name} ({case.run_id}), {case.words}")
    if as_json:
        click.echo(json.dumps({"runs": [asdict(case) for case in found]}))
    elif not found:
        click.echo("Every run has ended, and its store has all of it.")
    if any(case.is_finding for case in found):
        sys.exit(FINDING)


@main.command()
@asking(
    runs=argument(nargs=-1, required=True),
    yes=plain(is_flag=True, help="Do not ask."),
    tracking_uri=None,
)
def forget(runs: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Discard what is kept on this machine of RUNS, once you have said yes. No store is asked or touched.

    It is for runs that were deleted in their store, and for those that nobody wants to go on with.

    \b
    Example:
      reproven forget 5aafbec3d5a143a98e4a0f1a1b4ff1f1
    """
    from reproven.logbooks import forget as verb

    if not yes:
        _let_them_decide(verb.kept(runs))
    found = verb.forget(runs)
    if as_json:
        click.echo(json.dumps({"runs": [asdict(one) for one in found]}))
        return
    for one in found:
        click.echo(f"forgotten: {one.name} ({one.run_id}), {one.words}")


def _let_them_decide(found: Sequence[Kept]) -> None:
    """Asks at the terminal whether to go on; who says no leaves."""
    if not sys.stdin.isatty():
        raise InvalidInput(["yes is not given, and there is no terminal to ask at. Try --yes."])
    for one in found:
        say(f"{one.name} ({one.run_id}), {one.words}")
    click.confirm("Discard what is kept here of this, for good?", abort=True, err=True)
