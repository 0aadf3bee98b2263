"""promote: the command that moves an alias of a registered model, and moves it back.

It imports its verb only once its options are known to be good.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from reproven.cli.group import FINDING, main
from reproven.cli.options import answering, importing, not_blank, progress
from reproven.errors import InvalidInput
from reproven.registration import registration_problems


@main.command()
@click.argument("run", required=False)
@click.option("--name", metavar="NAME", help="The registered model; it must be given.")
@click.option("--alias", metavar="NAME", default="champion", show_default=True, help="The alias to move.")
@click.option(
    "--best-of", metavar="EXPERIMENT", help="In place of RUN: the best finished run of this experiment."
)
@click.option(
    "--metric", metavar="METRIC", default="test_rmse", show_default=True, help="By which it is the best."
)
@click.option("--force", is_flag=True, help="Move it all the same; what speaks against it is noted.")
@click.option("--roll-back", is_flag=True, help="Move the alias back to where it was.")
@answering
def promote(
    run: str | None,
    name: str | None,
    alias: str,
    best_of: str | None,
    metric: str,
    force: bool,
    roll_back: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Point an alias of a registered model at RUN, if its audit finds nothing and its replay says IDENTICAL.

    The version carries the metrics, the seal and the verdict as tags. Exit code 1 where something speaks
    against the run: then the alias stays where it is, unless it is forced.

    \b
    Examples:
      reproven promote 5aafbec3d5a143a98e4a0f1a1b4ff1f1 --name boston-mlp
      reproven promote --best-of boston --metric test_mae --name boston-mlp --alias champion
      reproven promote --roll-back --name boston-mlp --alias champion
    """
    problems = registration_problems(name or "any", alias, option="name")
    if not name:
        problems.insert(0, "name is not given. Give the registered model: --name boston-mlp.")
    problems += not_blank(run=run, best_of=best_of, metric=metric, tracking_uri=tracking_uri)
    if roll_back and (run or best_of or force):
        problems.append("roll_back is given, so neither run, best_of nor force can be. Leave them out.")
    if not roll_back and (run is None) == (best_of is None):
        problems.append("run or best_of must be given, and not both. Give a run id, or --best-of EXPERIMENT.")
    if problems or name is None:
        raise InvalidInput(problems)

    with importing():
        from reproven.verbs import promote as verb

    if roll_back:
        found = verb.roll_back(name=name, alias=alias, tracking_uri=tracking_uri)
    else:
        found = verb.promote(
            run,
            name=name,
            alias=alias,
            best_of=best_of,
            metric=metric,
            force=force,
            tracking_uri=tracking_uri,
            watch=progress,
        )
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        before = f", before it at version {found.before}" if found.before not in (None, found.version) else ""
        where = f"points at version {found.version}" if found.version else "points at no version"
        click.echo(f"{name}@{alias} {'now' if found.moved else 'still'} {where}{before}")
        for line in found.objections:
            click.echo(f"  {line}")
        if found.run_id:
            click.echo(f"  run      {found.run_id}")
            click.echo(f"  verdict  {found.verdict}")
    if not found.moved:
        sys.exit(FINDING)
