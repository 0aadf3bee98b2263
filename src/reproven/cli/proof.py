"""replay, audit, seal, export, import, promote: the commands that ask whether a run is still true.

A command imports its verb only once its options are known to be good.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from reproven.cli.group import FINDING, main
from reproven.cli.reading import answering, checked_option, given, importing, not_blank, progress
from reproven.errors import InvalidInput
from reproven.values import options as kinds
from reproven.values.model_name import registration_problems

if TYPE_CHECKING:
    from reproven.proof.verdict import Verdict

_MANAGER = kinds.choice(
    "Replay with this code and these packages, or with the recorded ones.", ("local", "uv")
)
_SEAL = kinds.digest("What `reproven seal` printed once, kept elsewhere.")
_DATA = click.option("--data", metavar="PATH", help="Where the table is, if not where it was.")


@main.command()
@click.argument("runs", nargs=-1)
@click.option(
    "--run", "more", multiple=True, metavar="RUN", help="Another run, as `mlflow run -P run=…` gives it."
)
@click.option("--experiment", help="Also replay every training run of this experiment.")
@checked_option("env_manager", _MANAGER, "local")
@_DATA
@answering
def replay(
    runs: tuple[str, ...],
    more: tuple[str, ...],
    experiment: str | None,
    env_manager: str | None,
    data: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Train recorded RUNS again from their records alone, and compare every bit.

    A run is a run id, runs:/…, or the folder of a bundle. The verdict is IDENTICAL (exit code 0), DIVERGED
    (1), INCONCLUSIVE (3: it could not be asked fairly) or TAMPERED (4: the record contradicts itself); of
    several runs the worst one decides. Each replay is a run of its own, linked to the original by tags.

    \b
    Examples:
      reproven replay 5aafbec3d5a143a98e4a0f1a1b4ff1f1
      reproven replay --experiment boston
      reproven replay mlruns/reference/module-sgd
      reproven replay RUN --env-manager uv
    """
    beside, problems = kinds.read_checked({"env_manager": _MANAGER}, given({"env_manager": env_manager}))
    problems += not_blank(experiment=experiment, data=data, tracking_uri=tracking_uri)
    asked = [*runs, *(run for run in more if run)]  # MLproject gives an empty one where it has none
    if not asked and experiment is None:
        problems.append("run is not given. Give a run id, the folder of a bundle, or --experiment NAME.")
    if problems:
        raise InvalidInput(problems)

    with importing():
        from reproven.proof.replay import replays
        from reproven.proof.verdict import worst

    found = []
    verdicts = replays(
        asked,
        experiment=experiment,
        env_manager=beside.get("env_manager", "local"),
        data=data,
        tracking_uri=tracking_uri,
        watch=progress,
    )
    for verdict in verdicts:
        found.append(verdict)
        if not as_json:
            _tell(verdict)
    if as_json:
        click.echo(json.dumps({"replays": [verdict.to_dict() for verdict in found]}))
    sys.exit(worst(found))


def _tell(verdict: Verdict) -> None:
    click.echo(f"{verdict.verdict}: {verdict.name} ({verdict.source})")
    for line in (*verdict.reasons, *verdict.report):
        click.echo(f"  {line}")
    if verdict.replay:
        click.echo(f"  replay {verdict.replay}")


@main.command()
@click.argument("run")
@checked_option("seal", _SEAL, None)
@_DATA
@answering
def audit(run: str, seal: str | None, data: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Hold what is left of RUN against its record, without training.

    Every file against the manifest, both forms of the model and the registered one against the last weights,
    params, tags and metrics in the store against those at the run's end, the table against its digest. Exit
    code 1 where something is not as recorded; each is named.

    \b
    Examples:
      reproven audit 5aafbec3d5a143a98e4a0f1a1b4ff1f1
      reproven audit mlruns/reference/module-sgd --seal SHA256
    """
    beside, problems = kinds.read_checked({"seal": _SEAL}, given({"seal": seal}))
    if problems := problems + not_blank(data=data, tracking_uri=tracking_uri):
        raise InvalidInput(problems)

    with importing():
        from reproven.proof.audit import audit as run_audit

    found = run_audit(run, seal=beside.get("seal"), data=data, tracking_uri=tracking_uri)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(f"{'FOUND' if found.findings else 'SOUND'}: {run}")
        for line in (*found.findings, *found.notes):
            click.echo(f"  {line}")
        click.echo(f"  Looked at: {', '.join(found.checked)}.")
        click.echo(f"  seal {found.seal}")
    if found.findings:
        sys.exit(FINDING)


@main.command()
@click.argument("run")
@answering
def seal(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Print one digest over the whole record of RUN, to be kept elsewhere: in a paper, in a git tag.

    \b
    Example:
      reproven seal 5aafbec3d5a143a98e4a0f1a1b4ff1f1
    """
    if problems := not_blank(tracking_uri=tracking_uri):
        raise InvalidInput(problems)

    with importing():
        from reproven.proof.audit import seal as run_seal

    digest = run_seal(run, tracking_uri=tracking_uri)
    click.echo(json.dumps({"run": run, "seal": digest}) if as_json else digest)


@main.command()
@click.argument("run")
@click.argument("folder", metavar="DIR")
@answering
def export(run: str, folder: str, tracking_uri: str | None, as_json: bool) -> None:
    """Write RUN as a bundle: the folder DIR with plain files, which needs no store to be read or replayed.

    \b
    Example:
      reproven export 5aafbec3d5a143a98e4a0f1a1b4ff1f1 figure-3
    """
    if problems := not_blank(tracking_uri=tracking_uri):
        raise InvalidInput(problems)

    with importing():
        from reproven.proof.bundle import export as run_export

    written = run_export(run, folder, tracking_uri=tracking_uri)
    click.echo(json.dumps({"run": run, "folder": str(written)}) if as_json else f"bundle {written}")


@main.command(name="import")
@click.argument("folder", metavar="DIR")
@click.option("--experiment", help="The experiment's name.  [default: that of the original]")
@answering
def import_(folder: str, experiment: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Put the bundle DIR into a tracking store, as a run with its original times.

    \b
    Example:
      reproven import mlruns/reference/module-sgd
    """
    if problems := not_blank(experiment=experiment, tracking_uri=tracking_uri):
        raise InvalidInput(problems)

    with importing():
        from reproven.proof.bundle import import_ as run_import

    run_id = run_import(folder, experiment=experiment, tracking_uri=tracking_uri)
    click.echo(json.dumps({"run_id": run_id, "folder": folder}) if as_json else f"run {run_id}")


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
        from reproven.proof import promote as verb

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
