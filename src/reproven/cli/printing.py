"""What the commands print: answers, what to do next, and what is worth knowing meanwhile."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import click

from reproven.cli.group import FINDING, main
from reproven.own import trust
from reproven.store.address import without_credentials

if TYPE_CHECKING:
    from reproven.runs.train import Trained


def suggest(*words: str, tracking_uri: str | None = None) -> None:
    """Prints the command to go on with, as the last line of an answer.

    Args:
        *words: What follows `reproven`; one that is in capitals is for the user to fill in.
        tracking_uri: The store that the user named; None where it is the usual one.
    """
    where = ("--tracking-uri", without_credentials(tracking_uri)) if tracking_uri else ()
    trusted = [word for module in trust.trusted() for word in ("--trust", module)]
    asked = trusted if "trust" in {option.name for option in main.commands[words[0]].params} else []
    click.echo(f"  Next: {shlex.join(['reproven', *words, *where, *asked])}")


def look_at(tracking_uri: str) -> None:
    """Prints where MLflow shows what came out, as the last line of an answer."""
    shown = without_credentials(tracking_uri)
    is_served = shown.startswith("http")
    click.echo(f"  Next: {shown}" if is_served else f"  Next: mlflow ui --backend-store-uri {shown}")


def tell_trained(title: str, outcome: Trained, *, tracking_uri: str | None, as_json: bool) -> None:
    """Prints what became of a training, and exits with 1 where it failed."""
    if as_json:
        click.echo(json.dumps(outcome.to_dict()))
    else:
        click.echo(f"{title}: {outcome.status}")
        if why := outcome.failure or outcome.pruned:
            click.echo(f"  {why}")
        if outcome.warning:
            click.echo(f"  {outcome.warning}")
        rows = {name: f"{value:.6g}" for name, value in outcome.metrics.items()}
        rows |= {"best epoch": str(outcome.best_epoch)} if outcome.best_epoch else {}
        rows |= {"logbook" if outcome.offline else "run": outcome.run_id, "artifacts": outcome.artifact_uri}
        rows |= {"version": outcome.version} if outcome.version else {}
        width = max(11, *map(len, rows))
        for name, text in rows.items():
            click.echo(f"  {name:<{width}} {text}")
        if outcome.offline:
            suggest("sync", outcome.run_id)
        elif not outcome.failure:
            suggest("replay", outcome.run_id, tracking_uri=tracking_uri)
    if outcome.failure:
        sys.exit(FINDING)


def say(text: str) -> None:
    """Tells what is worth knowing while a command works."""
    click.echo(text, err=True)
