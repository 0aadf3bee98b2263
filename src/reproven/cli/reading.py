"""What the commands share: options, read and checked, with all problems in one error, and progress.

A command declares what it asks for with `asking`, a keyword for each of its parameters, and is called with
the values once all of them are good. So it goes on with imports that take long, and with nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from reproven.errors import InvalidInput
from reproven.machine.shipped import shipped
from reproven.own import trust
from reproven.recipes import blueprint, recipe, typed
from reproven.recipes.options import Option, read_checked
from reproven.recipes.settings import OPTIONS

if TYPE_CHECKING:
    pass

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]
#: What click found, by the options' names: texts, tuples of some, or None where an option is not given.
Texts = Mapping[str, Any]

#: When problems are told: of single values, of blank names, of the store's, and of values beside others.
_VALUE, _NAME, _STORE, _BESIDE = range(4)
_OPTIONS: Mapping[type, Mapping[str, Option]] = {
    recipe.Recipe: OPTIONS,
    blueprint.Blueprint: blueprint.OPTIONS,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a command asks for, as one of its parameters: an option, an argument, or several as one value.

    Attributes:
        declare: Declares what click must read, for a parameter of this name.
        read: From that name and all texts: its value, and a message for each problem with it.
        told: When its problems are told.
    """

    declare: Callable[[str], Decorator]
    read: Callable[[str, Texts], tuple[Any, list[str]]]
    told: int = _VALUE


def asking(
    *,
    problems: Callable[[Mapping[str, Any]], list[str]] | None = None,
    **parameters: Asked | Option | type | None,
) -> Decorator:
    """Declares a command's options, reads them all, and calls it only where nothing is wrong with any.

    Args:
        problems: What is wrong with the values beside one another, a message each.
        **parameters: What each parameter of the command is, in the order of `--help`. An option's kind
            stands for a checked option, Recipe and Blueprint for all options that make one. The command has
            `tracking_uri` and `as_json` too, behind these where they are not among them; None leaves one
            out. What the user set in the environment is no option: MLflow knows it. The modules of `trust`
            are trusted before the command is called, which is not told of them.

    Raises:
        InvalidInput: When the command is called; it lists all problems.
    """
    given = {**parameters, **_ANSWERING, **parameters}
    asked = {name: _asked(one) for name, one in given.items() if one is not None}

    def decorate(command: Command) -> Command:
        @wraps(command)
        def called(**texts: Any) -> None:
            values = _read(asked, texts, problems or (lambda values: []))
            trust.trust(*(values.pop("trust", None) or ()))
            command(**values)

        return _declared(asked)(called)

    return decorate


def _asked(one: Asked | Option | type) -> Asked:
    if isinstance(one, type):
        return _made(one)
    return checked(one) if isinstance(one, Option) else one


def _read(
    asked: Mapping[str, Asked], texts: Texts, contradictions: Callable[[Mapping[str, Any]], list[str]]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, one in sorted(asked.items(), key=lambda item: item[1].told):
        values[name], wrong = one.read(name, texts)
        problems += wrong
    if problems := problems + contradictions(values):
        raise InvalidInput(problems)
    return values


def _declared(asked: Mapping[str, Asked]) -> Decorator:
    def decorate(command: Command) -> Command:
        for name, one in reversed(list(asked.items())):
            command = one.declare(name)(command)
        return command

    return decorate


def checked(
    kind: Option, default: Any = None, *, check: Callable[[Any], list[str]] = lambda value: []
) -> Asked:
    """An option of some kind; a flag that is not given is false.

    Args:
        kind: How it is read, and what it must be.
        default: Its value where it is not given.
        check: What else may be wrong with a value, a message each.
    """
    spellings = [f"--{kind.each.replace('_', '-')}"] if kind.each else []
    flag: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if kind.is_flag else {}
    shown = "" if default in (None, ()) else f"  [default: {_spell(default)}]"

    def read(name: str, texts: Texts) -> tuple[Any, list[str]]:
        said = given({name: texts[name]})
        values, problems = read_checked({name: kind}, said)
        if problems or not said:
            return False if kind.is_flag else default, problems
        value = kind.cast(values[name])
        return value, check(value)

    return Asked(
        declare=_option(
            *spellings,
            type=str,
            multiple=kind.repeats,
            metavar=kind.metavar,
            help=kind.help + shown,
            **flag,
        ),
        read=read,
    )


def _spell(value: Any) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)


def given(texts: Texts) -> dict[str, str]:
    """The options that were given, as texts; one that may be repeated is joined with commas."""
    found = {name: text for name, text in texts.items() if text not in (None, ())}
    return {n: ",".join(text) if isinstance(text, tuple) else text for n, text in found.items()}


def text(
    help: str,
    metavar: str | None = None,
    *,
    check: Callable[[Any, Texts], list[str]] | None = None,
    **settings: Any,
) -> Asked:
    """An option that names something, and so must not be blank; or it has a check of its own.

    Args:
        help: One line for `--help`.
        metavar: Stands for the text in `--help`.
        check: What is wrong with the text, a message each; from the text and all others.
        **settings: What else click is told.
    """
    declare = _option(help=help, metavar=metavar, show_default="default" in settings, **settings)
    if check is None:
        return Asked(declare=declare, read=_read_name, told=_NAME)
    return Asked(declare=declare, read=lambda name, texts: (texts[name], check(texts[name], texts)))


def plain(*spellings: str, **settings: Any) -> Asked:
    """An option as click reads it, such as a switch."""
    return Asked(declare=_option(*spellings, **settings), read=_read_plain)


def argument(*, may_be_blank: bool = True, **settings: Any) -> Asked:
    """A word, or several, with no option before it."""
    return Asked(
        declare=lambda name: click.argument(name, **settings),
        read=_read_plain if may_be_blank else _read_name,
        told=_NAME,
    )


def some_runs(advice: str, *, as_option: bool = True, or_shipped: bool = False) -> Asked:
    """Any number of runs, unless `--experiment` stands for them.

    Args:
        advice: What to do where there is neither.
        as_option: Whether there is `--run` too, since `mlflow run -P` gives no arguments.
        or_shipped: Whether there is `--shipped`, for the bundles that came with this package.
    """
    came = plain(is_flag=True, help="Also the recorded runs that came with this package.")
    more = plain(
        "--run", multiple=True, metavar="RUN", help="Another run, as `mlflow run -P run=…` gives it."
    )

    def read(texts: Texts) -> tuple[list[str], list[str]]:
        # MLproject gives an empty one where it has none
        runs = [*texts["runs"], *(run for run in texts.get("more", ()) if run)]
        runs += shipped() if texts.get("shipped") else []
        is_none = not runs and texts["experiment"] is None
        return runs, [f"run is not given. {advice}"] if is_none else []

    also = ({"more": more} if as_option else {}) | ({"shipped": came} if or_shipped else {})
    return together({"runs": argument(nargs=-1), **also}, read)


def together(
    options: Mapping[str, Asked], read: Callable[[Texts], tuple[Any, list[str]]], *, told: int = _BESIDE
) -> Asked:
    """Several options that make one value.

    Args:
        options: How each is declared; they are not read one by one.
        read: From all texts: the value, and a message for each problem.
        told: As for all that is asked.
    """
    return Asked(declare=lambda _: _declared(options), read=lambda _, texts: read(texts), told=told)


def fields(made: type, *, beside: Collection[str] = ()) -> dict[str, Asked]:
    """The options of a recipe or a blueprint, in the order of its fields, with its defaults.

    Args:
        made: Recipe or Blueprint.
        beside: Names that other options have: none of these is spelled so.
    """
    defaults = made.__dataclass_fields__  # type: ignore[attr-defined]
    options = {
        name: replace(option, each="") if option.each in beside else option
        for name, option in _OPTIONS[made].items()
    }
    return {name: checked(option, defaults[name].default) for name, option in options.items()}


def _made(made: Any) -> Asked:
    asked = fields(made)

    def read(texts: Texts) -> tuple[Any, list[str]]:
        try:
            return made.parse(given({field: texts[field] for field in asked})), []
        except InvalidInput as error:
            return None, [*error.problems]

    return together(asked, read, told=_VALUE)


def _option(*spellings: str, **settings: Any) -> Callable[[str], Decorator]:
    def declare(name: str) -> Decorator:
        own = f"--{name.replace('_', '-')}"
        also = [own] if spellings and spellings[0] == own.removesuffix("s") else []
        return click.option(*(spellings or [own]), *also, name, **settings)

    return declare


def _read_plain(name: str, texts: Texts) -> tuple[Any, list[str]]:
    return texts[name], []


def _read_name(name: str, texts: Texts) -> tuple[Any, list[str]]:
    text = texts[name]
    if text is None or text.strip():
        return text, []
    return text, [f"{name} is {text!r}, but must not be blank. Give a name, or leave the option out."]


def store(help: str) -> Asked:
    """The option that names a tracking store."""
    return replace(text(help), told=_STORE)


_ANSWERING: Mapping[str, Asked] = {
    "tracking_uri": store("Where runs are tracked.  [default: MLFLOW_TRACKING_URI, or mlflow.db here]"),
    "as_json": plain("--json", is_flag=True, help="Print one JSON object."),
}
DATA = text("Where the table is, if not where it was.", "PATH")
#: The modules of the user's own that a command may import where a record names them.
TRUST = typed.modules(
    "Import this module where the record names it, which runs its code; or REPROVEN_TRUST.", "nets"
)
EXPERIMENT = text("The experiment's name.", envvar="MLFLOW_EXPERIMENT_NAME", default="Default")
#: What every command that makes a run asks for besides.
TRACKING: Mapping[str, Any] = {
    **_ANSWERING,
    "experiment": EXPERIMENT,
    "run_name": text("The run's name.  [default: made from what it does]"),
}
