"""The program: a group of commands that turns trouble into messages and the exit code 2."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from reproven._version import __version__
from reproven.cli import streams
from reproven.errors import InvalidInput, ReprovenError, Untrusted, name_among, near_miss

FINDING, TROUBLE = 1, 2
_SETTINGS: dict[str, Any] = {
    "token_normalize_func": lambda name: name.replace("_", "-"),  # `mlflow run -P batch_size=…`
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
}


class _Command(click.Command):
    """A command that takes no option for another one, unless it may well be misspelt."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            names = [name for option in self.get_params(context) for name in option.opts]
            near = near_miss(error.option_name.lstrip("-"), [name.lstrip("-") for name in names])
            hint = f"Did you mean --{near}? " if near else ""
            told = f"{error.message} {hint}`{context.command_path} --help` shows all that there are."
            raise click.UsageError(told, error.ctx) from error


class _Commands(_Command, click.Group):
    """A group whose every command turns trouble into one message and the exit code 2."""

    command_class = _Command

    def main(self, *args: Any, **extra: Any) -> Any:
        streams.take_on()
        try:
            return super().main(*args, **extra)
        except SystemExit:
            if (why := streams.lost_answer()) is None:
                raise
            told = f"standard output cannot be written: {why}. `reproven runs` lists what was trained."
            click.echo(f"Error: The answer is lost, since {told}", err=True)
            sys.exit(TROUBLE)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.NoSuchCommand as error:
            told = f"{error.message} {name_among(error.command_name, self.commands)}"
            raise click.UsageError(told, error.ctx) from error

    def invoke(self, context: click.Context) -> Any:
        signal.signal(signal.SIGTERM, _stop)
        try:
            return super().invoke(context)
        except KeyboardInterrupt as stop:
            number = stop.args[0] if stop.args else signal.SIGINT
            click.echo(
                "Stopped. A run that was open is KILLED; `reproven doctor` says how to go on.", err=True
            )
            sys.stdout.flush()
            os._exit(128 + number)  # leaving in good order takes longer than a stop may
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if context.params["debug"]:
                raise
            for problem in _problems(error):
                click.echo(f"Error: {problem}", err=True)
            sys.exit(TROUBLE)


def _stop(number: int, _: object) -> NoReturn:
    """Ends a command as Ctrl-C does, so that an open run is ended too."""
    signal.signal(number, signal.SIG_IGN)  # one is enough
    raise KeyboardInterrupt(number)


def _problems(error: Exception) -> Sequence[str]:
    """What went wrong, in messages for a user; a bug is called one."""
    if isinstance(error, InvalidInput):
        return error.problems
    if isinstance(error, Untrusted):
        options = [word for module in error.modules for word in ("--trust", module)]
        return (f"{error} If you trust it: {shlex.join(['reproven', *sys.argv[1:], *options])}",)
    if isinstance(error, ReprovenError):
        return (str(error),)
    if isinstance(error, OSError) and error.filename is not None:
        return (f"{error.filename} cannot be used: {error.strerror}.",)
    if isinstance(error, ModuleNotFoundError):
        where = f"the Python that runs this ({sys.executable})"
        return (f"The package {error.name} is missing in {where}. Install it, or all with `make run`.",)
    if isinstance(error, ImportError):
        return (f"A library cannot be loaded: {error}. Install it anew, or allow more memory (`ulimit -v`).",)
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return ("There is not enough memory. Stop what else needs some, or allow more (`ulimit -v`).",)
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # of MLflow, as it is imported
        return ("This user has no home folder. Name one that can be written in HOME.",)
    what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return (f"{what}. This is a bug of reproven; `reproven --debug …` shows where it is.",)


def _tell_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    """Prints the versions that the bits of a run may depend on, and the arithmetic, at once."""
    if is_asked:
        from reproven.arithmetic.profiles import usual
        from reproven.machine.environment import package_version

        torch, mlflow = package_version("torch"), package_version("mlflow")
        click.echo(f"reproven {__version__}, torch {torch}, MLflow {mlflow}, {usual()} arithmetic")
        context.exit()


@click.group(cls=_Commands, context_settings=_SETTINGS)
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the versions.",
)
def main(debug: bool) -> None:
    """Train PyTorch regressors as MLflow runs that can be proven and brought back to life."""
