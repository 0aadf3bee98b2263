"""train, weights, runs, predict: the commands that make models and use them.

A command imports its verb (and with it torch and MLflow) only once its options are known to be good.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from reproven.arithmetic import profiles
from reproven.cli.group import main
from reproven.cli.reading import (
    answering,
    checked_option,
    given,
    importing,
    in_experiment,
    not_blank,
    options_of,
    parsed,
    progress,
    tell_trained,
    tracking,
)
from reproven.errors import InvalidInput, ReprovenError
from reproven.logbooks.interval import CHECKPOINT_EVERY
from reproven.values import blueprint, recipe
from reproven.values import options as kinds
from reproven.values.model_name import registration_problems

_EVERY = kinds.whole(
    "Epochs between two histograms of the weights; a third of them where not given.", "10", low=1
)
_OFFLINE = kinds.flag("Ask no store now; `reproven sync` makes the run later, with its own times.")
_PROFILE = recipe.OPTIONS["profile"]
_CLEAN = kinds.flag("Refuse to run code that differs from its commit.")
_FORM = kinds.choice("Which saved form to revive.", ("model", "state_dict", "registered"))
_LAST = kinds.whole("How many runs at most.", "10", low=1)


@main.command()
@options_of(recipe.OPTIONS, recipe.Recipe)
@checked_option("histogram_every", _EVERY, None)
@checked_option("checkpoint_every", CHECKPOINT_EVERY, None)
@checked_option("require_clean", _CLEAN, None)
@checked_option("offline", _OFFLINE, None)
@click.option("--register-model", metavar="NAME", help="Register the model under this name.")
@click.option("--alias", metavar="ALIAS", help="Point this alias at the registered version.")
@tracking
def train(
    histogram_every: str | None,
    checkpoint_every: str | None,
    require_clean: str | None,
    offline: str | None,
    register_model: str | None,
    alias: str | None,
    experiment: str,
    run_name: str | None,
    tracking_uri: str | None,
    as_json: bool,
    **texts: Any,
) -> None:
    """Train a network and track it whole.

    \b
    Examples:
      reproven train
      reproven train --variant sequential --optimizer adam --lr 0.01
      reproven train --optimizer adam --variant sequential --layer-lr hidden=0.0001,regression=0.01
      reproven train --data houses.csv --target price --drop id
      reproven train --register-model boston-mlp --alias champion
    """
    beside, problems = kinds.read_checked(
        {
            "histogram_every": _EVERY,
            "checkpoint_every": CHECKPOINT_EVERY,
            "require_clean": _CLEAN,
            "offline": _OFFLINE,
        },
        given(
            {
                "histogram_every": histogram_every,
                "checkpoint_every": checkpoint_every,
                "require_clean": require_clean,
                "offline": offline,
            }
        ),
    )
    problems += registration_problems(register_model, alias)
    problems += not_blank(experiment=experiment, run_name=run_name, tracking_uri=tracking_uri)
    chosen = parsed(recipe.Recipe.parse, texts, problems)

    if chosen.device != "cuda":
        profiles.enter(chosen.profile or profiles.PORTABLE)
    with importing():
        from reproven.runs.train import train as run_train

    outcome = run_train(
        chosen,
        tracking_uri=tracking_uri,
        experiment=experiment,
        run_name=run_name,
        histogram_every=beside.get("histogram_every"),
        checkpoint_every=beside.get("checkpoint_every"),
        require_clean=beside.get("require_clean", False),
        offline=beside.get("offline", False),
        register_model=register_model,
        alias=alias,
        watch=progress,
    )
    tell_trained(f"{chosen.variant}, {chosen.optimizer}, seed {chosen.seed}", outcome, as_json=as_json)


@main.command()
@options_of(blueprint.OPTIONS, blueprint.Blueprint)
@tracking
def weights(
    experiment: str,
    run_name: str | None,
    tracking_uri: str | None,
    as_json: bool,
    **texts: Any,
) -> None:
    """Initialise a network or a layer, and log its weights without training.

    \b
    Examples:
      reproven weights --network testnet --init by_layer --seed 13
      reproven weights --network conv --init normal:mean=0,std=1 --init-bias 0.1 --seed 12
    """
    problems = not_blank(experiment=experiment, run_name=run_name, tracking_uri=tracking_uri)
    chosen = parsed(blueprint.Blueprint.parse, texts, problems)

    profiles.enter(profiles.PORTABLE)
    with importing():
        from reproven.runs.weights import weights as run_weights

    outcome = run_weights(chosen, tracking_uri=tracking_uri, experiment=experiment, run_name=run_name)
    found = asdict(outcome)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{chosen.network}, {chosen.init}, seed {chosen.seed}: FINISHED")
    for name, shape in found["parameters"].items():
        click.echo(f"  {name:<18} {' × '.join(str(n) for n in shape)}")
    click.echo(f"  run                {found['run_id']}")
    click.echo(f"  artifacts          {found['artifact_uri']}")


@main.command()
@checked_option("last", _LAST, 10)
@in_experiment
@answering
def runs(last: str | None, experiment: str, tracking_uri: str | None, as_json: bool) -> None:
    """List the newest runs of an experiment: status, loss, errors, and where their files are.

    \b
    Example:
      reproven runs --experiment boston --last 2
    """
    beside, problems = kinds.read_checked({"last": _LAST}, given({"last": last}))
    if problems := problems + not_blank(experiment=experiment, tracking_uri=tracking_uri):
        raise InvalidInput(problems)

    with importing():
        from reproven.runs.latest import runs as list_runs

    found = list_runs(experiment, last=beside.get("last", 10), tracking_uri=tracking_uri)
    if as_json:
        click.echo(json.dumps({"runs": [asdict(run) for run in found]}))
        return
    shown = ("train_loss", "train_rmse", "test_rmse", "test_mae", "test_r2")
    rows: list[tuple[str, ...]] = [("run", "status", *shown)]
    for run in found:
        values = (f"{run.metrics[name]:.6g}" if name in run.metrics else "–" for name in shown)
        rows.append((run.name, run.status, *values))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for run in found:
        click.echo(f"{run.name}: run {run.run_id}, files in {run.artifact_uri}")


@main.command()
@click.argument("source")
@click.argument("table")
@checked_option("form", _FORM, None)
@checked_option("profile", _PROFILE, profiles.PORTABLE)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
@answering
def predict(
    source: str,
    table: str,
    form: str | None,
    profile: str | None,
    output: Path | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Predict the rows of TABLE (raw feature columns) with the model SOURCE.

    SOURCE is a run id, runs:/…, models:/name@alias, models:/name/3, or a file. Predictions are CSV, or
    with --json one JSON object.

    \b
    Examples:
      reproven predict models:/boston-mlp@champion houses.csv
      reproven predict model.pth houses.csv --json
    """
    beside, problems = kinds.read_checked(
        {"form": _FORM, "profile": _PROFILE}, given({"form": form, "profile": profile})
    )
    if problems := problems + not_blank(tracking_uri=tracking_uri):
        raise InvalidInput(problems)
    profiles.enter(beside.get("profile", profiles.PORTABLE))
    with importing():
        from reproven.runs.predict import predict as run_predict

    target, predictions = run_predict(source, table, beside.get("form"), tracking_uri=tracking_uri)
    if as_json:
        text = json.dumps({"target": target, "predictions": [float(p) for p in predictions]}) + "\n"
    else:
        text = "".join(f"{line}\n" for line in (target, *predictions))
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)


def _write(path: Path, text: str) -> None:
    from reproven.files.disk import write_bytes

    try:
        write_bytes(path, text.encode())
    except OSError as error:
        raise ReprovenError(f"output is {path}, which cannot be written: {error.strerror}.") from error
