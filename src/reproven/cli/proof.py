"""replay, audit, seal, export, import, promote: the commands that ask whether a run is still true.

A command imports its verb only once its options are known to be good.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from reproven.cli.group import FINDING, main
from reproven.cli.printing import say, suggest
from reproven.cli.reading import DATA, TRUST, argument, asking, checked, plain, some_runs, text
from reproven.machine.imports import importing
from reproven.pages.progress import TERMINAL
from reproven.recipes import typed
from reproven.values.model_name import registration_problems

if TYPE_CHECKING:
    from reproven.proof.verdict import Verdict


@main.command()
@asking(
    runs=some_runs(
        "Give a run id, the folder of a bundle, --shipped, or --experiment NAME.", or_shipped=True
    ),
    experiment=text("Also replay every training run of this experiment."),
    env_manager=checked(
        typed.choice("Replay with this code and these packages, or with the recorded ones.", ("local", "uv")),
        "local",
    ),
    data=DATA,
    every_step=typed.flag("Digest wide tensors too after every step, for a finer record."),
    trust=TRUST,
)
def replay(runs: list[str], as_json: bool, **asked: Any) -> None:
    """Train recorded RUNS again from their records alone, and compare every bit.

    A run is a run id, runs:/…, or the folder of a bundle. The verdict is IDENTICAL (exit code 0), DIVERGED
    (1), INCONCLUSIVE (3: it could not be asked fairly) or TAMPERED (4: the record contradicts itself); of
    several runs the worst one decides. Each replay is a run of its own, linked to the original by tags.

    \b
    Examples:
      reproven replay 5aafbec3d5a143a98e4a0f1a1b4ff1f1
      reproven replay --experiment boston
      reproven replay --shipped
      reproven replay bundle/
      reproven replay RUN --env-manager uv
      reproven replay RUN --every-step
    """
    with importing():
        from reproven.proof.replay import replays
        from reproven.proof.verdict import IDENTICAL, worst

    found = []
    for verdict in replays(runs, watch=TERMINAL.replay, **asked):
        found.append(verdict)
        if not as_json:
            _tell(verdict)
    if as_json:
        click.echo(json.dumps({"replays": [verdict.to_dict() for verdict in found]}))
    else:
        suspect = next((one for one in found if one.verdict != IDENTICAL), None)
        what = ("seal", found[-1].source) if suspect is None else ("audit", suspect.source)
        suggest(*what, tracking_uri=asked["tracking_uri"])
    sys.exit(worst(found))


def _tell(verdict: Verdict) -> None:
    click.echo(f"{verdict.verdict}: {verdict.name} ({verdict.source})")
    for line in (*verdict.reasons, *verdict.report):
        click.echo(f"  {line}")
    if verdict.replay:
        click.echo(f"  replay {verdict.replay}")


@main.command()
@asking(
    run=argument(),
    seal=typed.digest("What `reproven seal` printed once, kept elsewhere."),
    data=DATA,
    trust=TRUST,
)
def audit(run: str, as_json: bool, **asked: Any) -> None:
    """Hold what is left of RUN against its record, without training.

    Every file against the manifest, both forms of the model and the registered one against the last weights,
    params, tags and metrics in the store against those at the run's end, the table against its digest. Exit
    code 1 where something is not as recorded; each is named.

    \b
    Examples:
      reproven audit 5aafbec3d5a143a98e4a0f1a1b4ff1f1
      reproven audit bundle/ --seal SHA256
    """
    with importing():
        from reproven.proof.audit import audit as run_audit

    found = run_audit(run, watch=TERMINAL.audit, **asked)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(f"{'FOUND' if found.findings else 'SOUND'}: {run}")
        for line in (*found.findings, *found.notes):
            click.echo(f"  {line}")
        click.echo(f"  Looked at: {', '.join(found.checked)}.")
        click.echo(f"  seal {found.seal}")
        if found.findings:
            click.echo("  Next: put back what was changed, from a copy, or train anew")
        else:
            suggest("replay", run, tracking_uri=asked["tracking_uri"])
    if found.findings:
        sys.exit(FINDING)


@main.command()
@asking(run=argument())
def seal(run: str, tracking_uri: str | None, as_json: bool) -> None:
    """Print one digest over the whole record of RUN, to be kept elsewhere: in a paper, in a git tag.

    \b
    Example:
      reproven seal 5aafbec3d5a143a98e4a0f1a1b4ff1f1
    """
    with importing():
        from reproven.proof.audit import seal as run_seal

    digest = run_seal(run, tracking_uri=tracking_uri)
    click.echo(json.dumps({"run": run, "seal": digest}) if as_json else digest)


@main.command()
@asking(run=argument(), folder=argument(metavar="DIR"))
def export(run: str, folder: str, tracking_uri: str | None, as_json: bool) -> None:
    """Write RUN as a bundle: the folder DIR with plain files, which needs no store to be read or replayed.

    \b
    Example:
      reproven export 5aafbec3d5a143a98e4a0f1a1b4ff1f1 figure-3
    """
    with importing():
        from reproven.proof.bundle import export as run_export

    written = run_export(run, folder, tracking_uri=tracking_uri)
    if as_json:
        click.echo(json.dumps({"run": run, "folder": str(written)}))
        return
    click.echo(f"bundle {written}")
    suggest("audit", str(written))


@main.command(name="import")
@asking(
    folder=argument(metavar="DIR"),
    experiment=text("The experiment's name.  [default: that of the original]"),
    again=plain(is_flag=True, help="Make another run where the experiment has one with this seal already."),
    trust=TRUST,
)
def import_(folder: str, as_json: bool, **asked: Any) -> None:
    """Put the bundle DIR into a tracking store, as a run with its original times.

    A run with its seal that is there already is not made twice; one whose import was cut off is completed.

    \b
    Example:
      reproven import bundle/
    """
    with importing():
        from reproven.proof.bundle import import_ as run_import

    run_id = run_import(folder, say=say, **asked)
    if as_json:
        click.echo(json.dumps({"run_id": run_id, "folder": folder}))
        return
    click.echo(f"run {run_id}")
    suggest("replay", run_id, tracking_uri=asked["tracking_uri"])


def _name_problems(name: str | None, _: Mapping[str, Any]) -> list[str]:
    if not name:
        return ["name is not given. Give the registered model: --name boston-mlp."]
    return registration_problems(name, None, option="name")


def _promotes_none(said: Mapping[str, Any]) -> list[str]:
    run, best_of = said["run"], said["best_of"]
    if said["roll_back"] and (run or best_of or said["force"]):
        return ["roll_back is given, so neither run, best_of nor force can be. Leave them out."]
    if not said["roll_back"] and (run is None) == (best_of is None):
        return ["run or best_of must be given, and not both. Give a run id, or --best-of EXPERIMENT."]
    return []


@main.command()
@asking(
    run=argument(required=False, may_be_blank=False),
    name=text("The registered model; it must be given.", "NAME", check=_name_problems),
    alias=text(
        "The alias to move.",
        "NAME",
        default="champion",
        check=lambda alias, _: registration_problems("any", alias),
    ),
    best_of=text("In place of RUN: the best finished run of this experiment.", "EXPERIMENT"),
    metric=text(
        "By which it is the best.  [default: rmse, or log_loss of classes, of validation rows if all have "
        "them, else of test rows]",
        "METRIC",
    ),
    force=plain(is_flag=True, help="Move it all the same; what speaks against it is noted."),
    trust=TRUST,
    roll_back=plain(is_flag=True, help="Move the alias back to where it was."),
    problems=_promotes_none,
)
def promote(
    run: str | None,
    name: str,
    alias: str,
    roll_back: bool,
    tracking_uri: str | None,
    as_json: bool,
    **asked: Any,
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
    with importing():
        from reproven.proof import promote as verb

    if roll_back:
        found = verb.roll_back(name=name, alias=alias, tracking_uri=tracking_uri)
    else:
        found = verb.promote(
            run, name=name, alias=alias, tracking_uri=tracking_uri, watch=TERMINAL.replay, **asked
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
        if found.estimate:
            click.echo(f"  {found.estimate}")
        if found.version:
            suggest("predict", f"models:/{name}@{alias}", "TABLE.csv", tracking_uri=tracking_uri)
    if not found.moved:
        sys.exit(FINDING)
