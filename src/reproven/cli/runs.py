"""train, weights, runs, predict: the commands that make models and use them.

A command imports its verb (and with it torch and MLflow) only once its options are known to be good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from reproven.arithmetic import profiles
from reproven.cli import streams
from reproven.cli.group import main
from reproven.cli.printing import look_at, say, suggest, tell_trained
from reproven.cli.reading import EXPERIMENT, TRACKING, TRUST, argument, asking, checked, plain, text
from reproven.errors import ReprovenError
from reproven.logbooks.interval import OFTEN
from reproven.machine.imports import importing
from reproven.pages.progress import TERMINAL
from reproven.recipes import typed
from reproven.recipes.blueprint import Blueprint
from reproven.recipes.recipe import Recipe
from reproven.recipes.settings import OPTIONS
from reproven.values.model_name import registration_problems

#: The metrics that `runs` shows, of those that a run has.
_SHOWN = (
    *("train_loss", "train_rmse", "validation_rmse", "test_rmse", "test_mae", "test_r2"),
    *("train_log_loss", "validation_log_loss", "test_log_loss", "test_accuracy", "test_roc_auc"),
)


def _alias_problems(alias: str | None, texts: Mapping[str, Any]) -> list[str]:
    model = None if texts["register_model"] is None else "any"  # whose own problems are told already
    return registration_problems(model, alias)


@main.command()
@asking(
    recipe=Recipe,
    **OFTEN,
    require_clean=typed.flag("Refuse to run code that differs from its commit."),
    keep_table=typed.flag("Keep the table among the run's files, so that a replay elsewhere needs no other."),
    offline=typed.flag("Ask no store now; `reproven sync` makes the run later, with its own times."),
    register_model=text(
        "Register the model under this name.",
        "NAME",
        check=lambda name, _: registration_problems(name, None),
    ),
    alias=text("Point this alias at the registered version.", "ALIAS", check=_alias_problems),
    **TRACKING,
)
def train(recipe: Recipe, as_json: bool, **asked: Any) -> None:
    """Train a network and track it whole.

    \b
    Examples:
      reproven train
      reproven train --variant sequential --optimizer adam --lr 0.01
      reproven train --optimizer adam --variant sequential --layer-lr hidden=0.0001,regression=0.01
      reproven train --data houses.csv --target price --drop id
      reproven train --register-model boston-mlp --alias champion
    """
    with importing():
        from reproven.runs import conduct  # noqa: F401 (with torch, which `train` itself imports late)
        from reproven.runs.train import train as run_train

    outcome = run_train(recipe, watch=TERMINAL.training, say=say, **asked)
    title = f"{recipe.network_name}, {recipe.optimizer}, seed {recipe.seed}"
    tell_trained(title, outcome, tracking_uri=asked["tracking_uri"], as_json=as_json)


@main.command()
@asking(blueprint=Blueprint, **TRACKING)
def weights(blueprint: Blueprint, as_json: bool, **asked: Any) -> None:
    """Initialise a network or a layer, and log its weights without training.

    \b
    Examples:
      reproven weights --network testnet --init by_layer --seed 13
      reproven weights --network conv --init normal:mean=0,std=1 --init-bias 0.1 --seed 12
    """
    with importing():
        from reproven.runs.weights import weights as run_weights

    found = asdict(run_weights(blueprint, **asked))
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{blueprint.network}, {blueprint.init}, seed {blueprint.seed}: FINISHED")
    for name, shape in found["parameters"].items():
        click.echo(f"  {name:<18} {' × '.join(str(n) for n in shape)}")
    click.echo(f"  run                {found['run_id']}")
    click.echo(f"  artifacts          {found['artifact_uri']}")
    look_at(found["tracking_uri"])


@main.command()
@asking(last=checked(typed.whole("How many runs at most.", "10", low=1), 10), experiment=EXPERIMENT)
def runs(experiment: str, as_json: bool, **asked: Any) -> None:
    """List the newest runs of an experiment: status, loss, errors, and where their files are.

    \b
    Example:
      reproven runs --experiment boston --last 2
    """
    with importing():
        from reproven.runs.latest import runs as list_runs

    found = list_runs(experiment, **asked)
    if as_json:
        click.echo(json.dumps({"runs": [asdict(run) for run in found]}))
        return
    there = {name for run in found for name in run.metrics}
    shown = [name for name in _SHOWN if name in there] or ["train_loss"]
    rows: list[tuple[str, ...]] = [("run", "status", *shown)]
    for run in found:
        values = (f"{run.metrics[name]:.6g}" if name in run.metrics else "–" for name in shown)
        rows.append((run.name, run.status, *values))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for run in found:
        click.echo(f"{run.name}: run {run.run_id}, files in {run.artifact_uri}")
    if len(found) > 1:
        suggest("compare", "--experiment", experiment, tracking_uri=asked["tracking_uri"])
    else:
        suggest("train", "--experiment", experiment, tracking_uri=asked["tracking_uri"])


@main.command()
@asking()
def about(as_json: bool, **asked: Any) -> None:
    """Say what this installation is: versions, arithmetic, and where runs go.

    \b
    Example:
      reproven about
    """
    with importing():
        from reproven.runs.about import about as run_about

    found = asdict(run_about(**asked))
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' '):<12}  {value}")
    suggest("replay", "--shipped", tracking_uri=asked["tracking_uri"])


@main.command()
@asking(
    source=argument(),
    table=argument(),
    form=typed.choice("Which saved form to revive.", ("model", "state_dict", "registered")),
    sep=OPTIONS["sep"],
    decimal=OPTIONS["decimal"],
    profile=checked(OPTIONS["profile"], profiles.PORTABLE),
    trust=TRUST,
    output=plain(type=click.Path(dir_okay=False, path_type=Path), help="Write to a file."),
)
def predict(profile: str, output: Path | None, as_json: bool, **asked: Any) -> None:
    """Predict the rows of TABLE (raw feature columns) with the model SOURCE.

    SOURCE is a run id, runs:/…, models:/name@alias, models:/name/3, or a file. Predictions are CSV, or
    with --json one JSON object.

    \b
    Examples:
      reproven predict models:/boston-mlp@champion houses.csv
      reproven predict model.pth houses.csv --json
    """
    profiles.enter(profile)
    with importing():
        from reproven.runs.predict import predict as run_predict

    remarks: list[str] = []
    target, predictions = run_predict(say=remarks.append, **asked)
    for remark in remarks:
        say(remark)
    if as_json:
        text = json.dumps({"target": target, "predictions": _plain(predictions), "remarks": remarks}) + "\n"
    else:
        text = _as_csv(target, predictions)
    if output is None:
        streams.say_data(text)
    else:
        _write(output, text)


def _plain(predictions: Any) -> list[Any]:
    """Numbers, or an object for each row."""
    if hasattr(predictions, "to_dict"):
        rows: list[Any] = predictions.to_dict(orient="records")
        return rows
    return [float(value) for value in predictions]


def _as_csv(target: str, predictions: Any) -> str:
    if not hasattr(predictions, "to_csv"):
        return "".join(f"{line}\n" for line in (target, *predictions))
    text: str = predictions.to_csv(index=False, lineterminator="\n")
    return text


def _write(path: Path, text: str) -> None:
    from reproven.files.disk import write_bytes

    try:
        write_bytes(path, text.encode())
    except OSError as error:
        raise ReprovenError(f"output is {path}, which cannot be written: {error.strerror}.") from error
