"""What the commands share: options, read and checked, with all problems in one error, and progress."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reproven.cli.group import FINDING
from reproven.errors import InvalidInput
from reproven.values.options import Option

if TYPE_CHECKING:
    from reproven.runs.train import Trained
    from reproven.values.record import Step

Command = Callable[..., Any]
Parsed = TypeVar("Parsed")


def checked_option(name: str, option: Option, default: Any) -> Callable[[Command], Command]:
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


def options_of(options: Mapping[str, Option], defaults: type) -> Callable[[Command], Command]:
    """All options of a recipe or a blueprint, in the order of its fields."""

    def decorate(command: Command) -> Command:
        for name in reversed(list(options)):
            default = defaults.__dataclass_fields__[name].default  # type: ignore[attr-defined]
            command = checked_option(name, options[name], default)(command)
        return command

    return decorate


def tracking(command: Command) -> Command:
    """The options of every command that makes a run."""
    run_name = click.option("--run-name", help="The run's name.  [default: made from what it does]")
    return answering(in_experiment(run_name(command)))


def in_experiment(command: Command) -> Command:
    return click.option(
        "--experiment",
        envvar="MLFLOW_EXPERIMENT_NAME",
        default="Default",
        show_default=True,
        help="The experiment's name.",
    )(command)


def answering(command: Command) -> Command:
    """The options of every command."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)
    return click.option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        help="Where runs are tracked.  [default: mlflow.db in this folder]",
    )(command)


def given(texts: Mapping[str, Any]) -> dict[str, str]:
    """The options that were given, as texts; one that may be repeated is joined with commas."""
    found = {name: text for name, text in texts.items() if text not in (None, ())}
    return {n: ",".join(text) if isinstance(text, tuple) else text for n, text in found.items()}


def parsed(
    parse: Callable[[Mapping[str, str]], Parsed], texts: Mapping[str, Any], problems: list[str]
) -> Parsed:
    """What the given texts say, or one error with their problems and those found beside them."""
    try:
        chosen = parse(given(texts))
    except InvalidInput as error:
        raise InvalidInput([*error.problems, *problems]) from error
    if problems:
        raise InvalidInput(problems)
    return chosen


@contextmanager
def importing() -> Iterator[None]:
    """Imports make no garbage, and looking for it all the same takes a fifth of a short run."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def not_blank(**texts: str | None) -> list[str]:
    return [
        f"{name} is {text!r}, but must not be blank. Give a name, or leave the option out."
        for name, text in texts.items()
        if text is not None and not text.strip()
    ]


def tell_trained(title: str, outcome: Trained, *, as_json: bool) -> None:
    """Prints what became of a training, and exits with 1 where it failed."""
    if as_json:
        click.echo(json.dumps(asdict(outcome)))
    else:
        click.echo(f"{title}: {'FAILED' if outcome.failure else 'KILLED' if outcome.pruned else 'FINISHED'}")
        if why := outcome.failure or outcome.pruned:
            click.echo(f"  {why}")
        for name, value in outcome.metrics.items():
            click.echo(f"  {name:<11} {value:.6g}")
        click.echo(f"  {'logbook' if outcome.offline else 'run':<11} {outcome.run_id}")
        click.echo(f"  artifacts   {outcome.artifact_uri}")
        if outcome.version:
            click.echo(f"  version     {outcome.version}")
        if outcome.offline:
            click.echo("  No store has it yet: `reproven sync` sends it.")
    if outcome.failure:
        sys.exit(FINDING)


def say(text: str) -> None:
    """Tells what is worth knowing while a command works."""
    click.echo(text, err=True)


def progress(steps: Iterable[Step], total: int) -> Iterator[Step]:
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
