"""The command line: reads options, calls one verb, prints its answer.

Answers go to stdout and progress to stderr. Nothing else in the package prints. A command imports its
verb (and with it torch and MLflow) only once its options are known to be good.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reproven import __version__, arithmetic, blueprint, recipe
from reproven import options as kinds
from reproven.errors import InvalidInput, ReprovenError
from reproven.options import Option
from reproven.registration import registration_problems

if TYPE_CHECKING:
    from reproven.training import Step

FINDING, TROUBLE = 1, 2
_EVERY = kinds.whole(
    "Epochs between two histograms of the weights; a third of them where not given.", "10", low=1
)
_PROFILE = recipe.OPTIONS["profile"]
_CLEAN = kinds.flag("Refuse to run code that differs from its commit.")
_LAST = kinds.whole("How many runs at most.", "10", low=1)
_SETTINGS: dict[str, Any] = {
    "token_normalize_func": lambda name: name.replace("_", "-"),  # `mlflow run -P batch_size=…`
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
}

Command = Callable[..., Any]
Parsed = TypeVar("Parsed")


class _Commands(click.Group):
    """A group whose every command turns trouble into one message and the exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if context.params["debug"]:
                raise
            for problem in _problems(error):
                click.echo(f"Error: {problem}", err=True)
            sys.exit(TROUBLE)


def _problems(error: Exception) -> Sequence[str]:
    """What went wrong, in messages for a user; a bug is called one."""
    if isinstance(error, InvalidInput):
        return error.problems
    if isinstance(error, ReprovenError):
        return (str(error),)
    if isinstance(error, ModuleNotFoundError):
        where = f"the Python that runs this ({sys.executable})"
        return (f"The package {error.name} is missing in {where}. Install it, or all with `make run`.",)
    what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return (f"{what}. This is a bug of reproven; `reproven --debug …` shows where it is.",)


@click.group(cls=_Commands, context_settings=_SETTINGS)
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
@click.version_option(__version__, prog_name="reproven")
def main(debug: bool) -> None:
    """Train PyTorch regressors as MLflow runs that can be proven and brought back to life."""


def _click_option(name: str, option: Option, default: Any) -> Callable[[Command], Command]:
    """One option as click wants it; its text is read and checked later, together with all others."""
    flag: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if option.is_flag else {}
    shown = "" if default in (None, ()) else f"  [default: {_spell(default)}]"
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=str,
        multiple=option.repeats,
        metavar=option.metavar,
        help=option.help + shown,
        **flag,
    )


def _spell(value: Any) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def _options(options: Mapping[str, Option], defaults: type) -> Callable[[Command], Command]:
    """All options of a recipe or a blueprint, in the order of its fields."""

    def decorate(command: Command) -> Command:
        for name in reversed(list(options)):
            default = defaults.__dataclass_fields__[name].default  # type: ignore[attr-defined]
            command = _click_option(name, options[name], default)(command)
        return command

    return decorate


def _tracking(command: Command) -> Command:
    """The options of every command that makes a run."""
    run_name = click.option("--run-name", help="The run's name.  [default: made from what it does]")
    return _answering(_experiment(run_name(command)))


def _experiment(command: Command) -> Command:
    return click.option(
        "--experiment",
        envvar="MLFLOW_EXPERIMENT_NAME",
        default="Default",
        show_default=True,
        help="The experiment's name.",
    )(command)


def _answering(command: Command) -> Command:
    """The options of every command."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)
    return click.option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        help="Where runs are tracked.  [default: mlflow.db in this folder]",
    )(command)


def _given(texts: Mapping[str, Any]) -> dict[str, str]:
    """The options that were given, as texts; one that may be repeated is joined with commas."""
    given = {name: text for name, text in texts.items() if text not in (None, ())}
    return {n: ",".join(text) if isinstance(text, tuple) else text for n, text in given.items()}


def _parsed(
    parse: Callable[[Mapping[str, str]], Parsed], texts: Mapping[str, Any], problems: list[str]
) -> Parsed:
    """What the given texts say, or one error with their problems and those found beside them."""
    try:
        chosen = parse(_given(texts))
    except InvalidInput as error:
        raise InvalidInput([*error.problems, *problems]) from error
    if problems:
        raise InvalidInput(problems)
    return chosen


@contextmanager
def _importing() -> Iterator[None]:
    """Imports make no garbage, and looking for it all the same takes a fifth of a short run."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _not_blank(**texts: str | None) -> list[str]:
    return [
        f"{name} is {text!r}, but must not be blank. Give a name, or leave the option out."
        for name, text in texts.items()
        if text is not None and not text.strip()
    ]


@main.command()
@_options(recipe.OPTIONS, recipe.Recipe)
@_click_option("histogram_every", _EVERY, None)
@_click_option("require_clean", _CLEAN, None)
@click.option("--register-model", metavar="NAME", help="Register the model under this name.")
@click.option("--alias", metavar="ALIAS", help="Point this alias at the registered version.")
@_tracking
def train(
    histogram_every: str | None,
    require_clean: str | None,
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
        {"histogram_every": _EVERY, "require_clean": _CLEAN},
        _given({"histogram_every": histogram_every, "require_clean": require_clean}),
    )
    problems += registration_problems(register_model, alias)
    problems += _not_blank(experiment=experiment, run_name=run_name, tracking_uri=tracking_uri)
    chosen = _parsed(recipe.Recipe.parse, texts, problems)

    if chosen.device != "cuda":
        arithmetic.enter(chosen.profile or arithmetic.PORTABLE)
    with _importing():
        from reproven.verbs.train import train as run_train

    outcome = run_train(
        chosen,
        tracking_uri=tracking_uri,
        experiment=experiment,
        run_name=run_name,
        histogram_every=beside.get("histogram_every"),
        require_clean=beside.get("require_clean", False),
        register_model=register_model,
        alias=alias,
        watch=_progress,
    )
    found = asdict(outcome)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _tell(f"{chosen.variant}, {chosen.optimizer}, seed {chosen.seed}", found)
    if outcome.failure:
        sys.exit(FINDING)


def _tell(title: str, found: Mapping[str, Any]) -> None:
    click.echo(f"{title}: {'FAILED' if found['failure'] else 'FINISHED'}")
    if found["failure"]:
        click.echo(f"  {found['failure']}")
    for name, value in found["metrics"].items():
        click.echo(f"  {name:<11} {value:.6g}")
    click.echo(f"  run         {found['run_id']}")
    click.echo(f"  artifacts   {found['artifact_uri']}")
    if found["version"]:
        click.echo(f"  version     {found['version']}")


def _progress(steps: Iterable[Step], total: int) -> Iterator[Step]:
    """The steps as they are, with a bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield from steps
        return
    with click.progressbar(
        length=total, label="training", file=sys.stderr, item_show_func=lambda loss: loss
    ) as bar:
        for step in steps:
            bar.update(1, f"loss {step.loss:.4g}" if step.ends_epoch else None)
            yield step


@main.command()
@_options(blueprint.OPTIONS, blueprint.Blueprint)
@_tracking
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
    problems = _not_blank(experiment=experiment, run_name=run_name, tracking_uri=tracking_uri)
    chosen = _parsed(blueprint.Blueprint.parse, texts, problems)

    arithmetic.enter(arithmetic.PORTABLE)
    with _importing():
        from reproven.verbs.weights import weights as run_weights

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
@_click_option("last", _LAST, 10)
@_experiment
@_answering
def runs(last: str | None, experiment: str, tracking_uri: str | None, as_json: bool) -> None:
    """List the newest runs of an experiment: status, loss, errors, and where their files are.

    \b
    Example:
      reproven runs --experiment boston --last 2
    """
    beside, problems = kinds.read_checked({"last": _LAST}, _given({"last": last}))
    if problems := problems + _not_blank(experiment=experiment, tracking_uri=tracking_uri):
        raise InvalidInput(problems)

    with _importing():
        from reproven.verbs.runs import runs as list_runs

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
@click.option("--form", metavar="[model|state_dict|registered]", help="Which saved form to revive.")
@_click_option("profile", _PROFILE, arithmetic.PORTABLE)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
@_answering
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
    beside, problems = kinds.read_checked({"profile": _PROFILE}, _given({"profile": profile}))
    if problems := problems + _not_blank(tracking_uri=tracking_uri):
        raise InvalidInput(problems)
    arithmetic.enter(beside.get("profile", arithmetic.PORTABLE))
    with _importing():
        from reproven.verbs.predict import predict as run_predict

    target, predictions = run_predict(source, table, form, tracking_uri=tracking_uri)
    if as_json:
        text = json.dumps({"target": target, "predictions": [float(p) for p in predictions]}) + "\n"
    else:
        text = "".join(f"{line}\n" for line in (target, *predictions))
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)


def _write(path: Path, text: str) -> None:
    from reproven.artifacts import write_bytes

    try:
        write_bytes(path, text.encode())
    except OSError as error:
        raise ReprovenError(f"output is {path}, which cannot be written: {error.strerror}.") from error
