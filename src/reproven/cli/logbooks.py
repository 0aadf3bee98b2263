"""resume, sync, doctor: the commands for runs that were stopped, and for stores that were away.

A command imports its verb only once its options are known to be good.
"""

from __future__ import annotations

import json
import select
import sys
from dataclasses import asdict

import click

from reproven.cli.group import FINDING, TROUBLE, main
from reproven.cli.reading import (
    answering,
    checked_option,
    given,
    importing,
    not_blank,
    progress,
    say,
    tell_trained,
)
from reproven.errors import InvalidInput
from reproven.values import options as kinds

_OFFLINE = kinds.flag("Ask no store now; `reproven sync` sends everything later.")
_STALE = kinds.number(
    "Seconds without a sign of life, after which a run that is not kept here is lost.", "600", low=0
)


@main.command()
@click.argument("run")
@checked_option("offline", _OFFLINE, None)
@click.option("--data", metavar="PATH", help="Where the table is, if not where it was.")
@answering
def resume(run: str, offline: str | None, data: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Go on with RUN, which was stopped, to the bits of a run that never was.

    It starts from the newest whole checkpoint, in the middle of an epoch if that is where it stands, or anew
    where there is none. A run that has ended, one that is running, and one whose checkpoints are damaged are
    refused.

    \b
    Example:
      reproven resume 5aafbec3d5a143a98e4a0f1a1b4ff1f1
    """
    beside, problems = kinds.read_checked({"offline": _OFFLINE}, given({"offline": offline}))
    if problems := problems + not_blank(run=run, data=data, tracking_uri=tracking_uri):
        raise InvalidInput(problems)

    with importing():
        from reproven.runs.resume import resume as run_resume

    outcome = run_resume(
        run,
        data=data,
        tracking_uri=tracking_uri,
        offline=beside.get("offline", False),
        watch=progress,
        say=say,
    )
    tell_trained(f"run {run}", outcome, as_json=as_json)


@main.command()
@click.argument("runs", nargs=-1)
@click.option("--follow", is_flag=True, hidden=True, help="Send a journal while it is written.")
@answering
def sync(runs: tuple[str, ...], follow: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Send what stores do not have yet of RUNS, or of all runs kept on this machine.

    \b
    Examples:
      reproven sync
      reproven sync --tracking-uri http://tracking:5000
    """
    problems = not_blank(tracking_uri=tracking_uri)
    if follow and len(runs) != 1:
        problems.append("follow is given, but needs one run.")
    if problems:
        raise InvalidInput(problems)

    with importing():
        from reproven.logbooks import sync as verb

    if follow:
        verb.follow(runs[0], tracking_uri=tracking_uri, wait=_writer_ended, say=say)
        return
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


def _writer_ended(seconds: float) -> bool:
    """Waits, and returns whether the process at the other end of standard input is gone."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready)


@main.command()
@checked_option("stale", _STALE, 600)
@answering
def doctor(stale: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Find runs whose process is gone, tell their store, and say what can be done: resume, sync.

    A run that is kept on this machine is alive while a process holds its logbook; any other by its
    heartbeat. Exit code 1 where something is to be done.

    \b
    Example:
      reproven doctor
    """
    beside, problems = kinds.read_checked({"stale": _STALE}, given({"stale": stale}))
    if problems := problems + not_blank(tracking_uri=tracking_uri):
        raise InvalidInput(problems)

    with importing():
        from reproven.logbooks.doctor import doctor as run_doctor

    found = []
    for case in run_doctor(stale=beside.get("stale", 600.0), tracking_uri=tracking_uri):
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
