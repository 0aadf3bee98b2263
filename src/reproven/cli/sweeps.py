"""sweep, draw: the commands that train many runs, and draw their figures when they are wanted.

A command imports its verb only once its options are known to be good.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reproven.cli.group import FINDING, main
from reproven.cli.printing import say, suggest
from reproven.cli.reading import (
    DATA,
    TRACKING,
    TRUST,
    Asked,
    Texts,
    asking,
    checked,
    fields,
    given,
    plain,
    some_runs,
    text,
    together,
)
from reproven.errors import InvalidInput, name_among
from reproven.logbooks.interval import OFTEN
from reproven.machine.imports import importing
from reproven.pages.progress import TERMINAL
from reproven.recipes import recipe, typed
from reproven.recipes.options import read_checked
from reproven.recipes.settings import OPTIONS
from reproven.sweeps import study
from reproven.sweeps.axes import CV, axis_text, cross_validation, read_axes
from reproven.sweeps.places import JOBS, PROCESSES, executor_problems
from reproven.values.metrics import estimate

if TYPE_CHECKING:
    from reproven.sweeps.results import Swept

_OWN = {
    **study.STUDY_OPTIONS,
    "cv": CV,
    "jobs": JOBS,
    **OFTEN,
    "require_clean": typed.flag("Refuse to run code that differs from its commit."),
    "figures": typed.flag("Draw the figures of each run at once; `reproven draw` does it any time later."),
}
_DEFAULTS = {
    "search": study.GRID,
    "search_seed": 12,
    "round_size": 4,
    "pruner": study.NO_PRUNING,
}
_SEEDS = (12,)


#: All that says what to train, and how.
_OPTIONS: dict[str, Asked] = {
    "axis": plain(
        multiple=True,
        metavar="NAME=VALUES",
        help="A field and its values: optimizer=sgd,adam or lr=1e-4..1e-1:log:7; may be repeated.",
    ),
    "axes": plain(
        metavar="'NAME=VALUES …'",
        help="Several axes with blanks between, as `mlflow run -P axes=…` gives them.",
    ),
    "plan": plain(metavar="FILE", help="A YAML file that says the same as the options."),
    **{name: checked(option, _DEFAULTS.get(name)) for name, option in _OWN.items()},
    "executor": plain(
        metavar="processes|dask://HOST:PORT",
        help="Where to train: on this machine, or on a Dask cluster.  [default: processes]",
    ),
    **fields(recipe.Recipe, beside=_OWN),
}


def _read(texts: Texts) -> tuple[tuple[dict[str, Any], dict[str, Any]], list[str]]:
    """What the study is made of, and how it is trained, as the command line and a plan say."""
    problems: list[str] = []
    said = given({name: texts[name] for name in _OPTIONS if name not in ("axis", "axes", "plan")})
    axes = (*texts["axis"], *(texts["axes"] or "").split())
    said, axes = _with_plan(texts["plan"], said, axes, problems)
    executor = said.pop("executor", PROCESSES)
    how, told = read_checked(_OWN, {name: said.pop(name) for name in _OWN if name in said})
    _, wrong = read_checked(OPTIONS, said)
    found, unread = read_axes(axes)
    problems += [*told, *wrong, *unread, *executor_problems(executor, texts["tracking_uri"])]
    if "seeds" in how and "seed" in said:
        problems.append("seed is given, and seeds too. Leave one of them out.")
    if problems:
        return ({}, {}), problems
    if "cv" in how:
        folds, repeats = cross_validation(how.pop("cv"))
        found = (*found, folds)
        given_too = "seed" in said or tuple(how.get("seeds", _SEEDS)) != _SEEDS  # `mlflow run` gives them
        if repeats and given_too:
            return ({}, {}), ["cv says how many seeds, and seeds are given too. Leave one out: --cv 10."]
        how |= {"seeds": repeats} if repeats else {}
        if how.get("search", study.GRID) != study.GRID or how.get("pruner", "none") != study.NO_PRUNING:
            return ({}, {}), [
                "cv is given, but folds are for a grid without pruning. Leave search and pruner out."
            ]
    seeds = [int(said.pop("seed", "12"))]
    chosen = {name: how.pop(name) for name in study.STUDY_OPTIONS if name in how}
    of_study = {"base": said, "axes": found, "seeds": seeds, **chosen}
    return (of_study, {"executor": executor, **how}), []


@main.command()
@asking(said=together(_OPTIONS, _read), **TRACKING)
def sweep(said: tuple[dict[str, Any], dict[str, Any]], as_json: bool, **asked: Any) -> None:
    """Train many runs, each as `train` makes it, below one that holds their table.

    Every option of `train` that is given holds for all runs; --axis and --seeds vary the others. A plan has
    the options' names as keys, and `axes` with each field's values; options overrule it. The same sweep once
    more trains only what is missing. Exit code 1 where a run failed.

    \b
    Examples:
      reproven sweep --axis variant=module,sequential --axis optimizer=sgd,adam --seeds 0..9
      reproven sweep --axis lr=1e-4..1e-1:log:7 --axis 'hidden=10,10;50' --optimizer adam --jobs 2
      reproven sweep --axis lr=1e-4..1e-1:log --search tpe --trials 20 --pruner median
      reproven sweep --axis optimizer=sgd,adam --cv 5x10
      reproven sweep --plan plan.yaml --executor dask://127.0.0.1:8786 --tracking-uri http://tracking:5000
    """
    of_study, how = said
    chosen = study.Study(**of_study)

    with importing():
        from reproven.sweeps.sweep import sweep as run_sweep

    try:
        swept = run_sweep(chosen, tell=TERMINAL.sweep(), say=say, **how, **asked)
    except KeyboardInterrupt:
        say("The same command once more trains what is missing.")
        raise
    _tell(swept, tracking_uri=asked["tracking_uri"], as_json=as_json)
    if swept.has_findings:
        sys.exit(FINDING)


def _with_plan(
    plan: str | None, said: dict[str, str], axes: tuple[str, ...], problems: list[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the command line and a YAML file say together; the command line overrules the file."""
    if plan is None:
        return said, axes
    try:
        values = _yaml(plan)
    except InvalidInput as error:
        problems += error.problems
        return said, axes
    of_axes = values.pop("axes", {})
    if not isinstance(of_axes, dict):
        problems.append(f"{plan}: axes must be a mapping of fields to values, such as lr: [0.1, 0.01].")
        of_axes = {}
    taken = {text.partition("=")[0].strip().replace("-", "_") for text in axes}
    more = [
        f"{name}={axis_text(value)}"
        for name, value in of_axes.items()
        if str(name).replace("-", "_") not in taken
    ]
    known = [*_OWN, "executor", *OPTIONS]
    for name, value in values.items():
        field = str(name).replace("-", "_")
        if field not in known:
            there = name_among(field, ["axes", *known])
            problems.append(f"{plan} has {str(name)[:60]!r}, which is no option. {there}")
        elif field not in said:
            said[field] = axis_text([value]) if isinstance(value, list) else axis_text(value)
    return said, (*axes, *more)


def _yaml(plan: str) -> dict[Any, Any]:
    """A YAML file that holds a mapping.

    Raises:
        InvalidInput: It is not there, or holds none.
    """
    import yaml

    try:
        values = yaml.safe_load(Path(plan).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InvalidInput([f"plan is {plan[:100]!r}, which cannot be read: {why}."]) from error
    except yaml.YAMLError as error:
        raise InvalidInput(
            [f"plan is {plan[:100]!r}, which is no YAML: {' '.join(str(error).split())}."]
        ) from error
    if not isinstance(values, dict):
        raise InvalidInput([f"plan is {plan[:100]!r}, but must hold a mapping, such as axes: and seeds:."])
    return values


def _tell(swept: Swept, *, tracking_uri: str | None, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(swept.to_dict()))
        return
    counts = [
        f"{number} {word}"
        for word in ("FINISHED", "FAILED", "PRUNED", "REFUSED")
        if (number := swept.count(word))
    ]
    there = sum(run.was_there for run in swept.runs)
    kept = f"; {there} of them were there" if there else ""
    click.echo(f"{len(swept.runs)} runs: {', '.join(counts)}{kept}")
    for run in swept.runs:
        if run.state in ("FAILED", "REFUSED"):
            click.echo(f"  {run.name}: {run.state}. {run.why}")
    if (best := swept.best_run) is not None:
        click.echo(
            f"  best      {swept.metric} {best.metrics[swept.metric]:.6g} ({best.name}, run {best.run_id})"
        )
        if told := estimate(swept.metric, best.metrics):
            click.echo(f"            {told}")
    click.echo(f"  sweep     {swept.run_id}")
    click.echo(f"  artifacts {swept.artifact_uri}")
    suggest("compare", swept.run_id, tracking_uri=tracking_uri)


@main.command()
@asking(
    runs=some_runs("Give a run id, or --experiment NAME.", as_option=False),
    experiment=text("Also every training run of this experiment."),
    data=DATA,
    trust=TRUST,
)
def draw(runs: list[str], data: str | None, as_json: bool, **asked: Any) -> None:
    """Draw the figures of RUNS that have none, as runs of a sweep; they are put beside the runs' files.

    A sweep's run stands for the runs below it.

    \b
    Example:
      reproven draw 5aafbec3d5a143a98e4a0f1a1b4ff1f1
    """
    with importing():
        from reproven.proof.draw import draw as run_draw

    drawn = []
    for one in run_draw(runs, table=data, **asked):
        drawn.append(one)
        if not as_json:
            click.echo(f"{one.run_id}: {one.state}{'. ' * bool(one.words)}{one.words}")
    if as_json:
        click.echo(json.dumps({"runs": [asdict(one) for one in drawn]}))
    if any(one.state == "refused" for one in drawn):
        sys.exit(FINDING)
