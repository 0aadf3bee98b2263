"""compare: the command that sets runs beside one another.

It imports its verb (and with it MLflow, SciPy and Matplotlib) only once its options are known to be good.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reproven.cli import streams
from reproven.cli.group import main
from reproven.cli.reading import asking, checked, plain, some_runs, text
from reproven.comparisons.params import field_problems, rope_problems, shown
from reproven.files.disk import is_file
from reproven.machine.imports import importing
from reproven.recipes import typed

if TYPE_CHECKING:
    from reproven.comparisons.compare import Compared

_FIELDS = replace(
    typed.words("Params that tell groups apart; all that differ, seeds apart, where not given.", "optimizer"),
    metavar="FIELD,…",
    cast=tuple,
)


def _contradictions(said: Mapping[str, Any]) -> list[str]:
    problems = rope_problems(said["rope"])
    if said["as_csv"] and said["as_json"]:
        problems.append("csv and json are both given. Give one.")
    output = said["output"]
    if output and output.strip() and is_file(Path(output)):
        problems.append(f"output is {output}, which is a file. Give a folder.")
    return problems


@main.command()
@asking(
    runs=some_runs("Give run ids, the parent of some, or --experiment NAME."),
    experiment=text("Also all training runs of this experiment."),
    by=checked(_FIELDS, (), check=field_problems),
    metric=text(
        "What is compared, at the end: test_rmse, or test_log_loss of classes, where not given.", "METRIC"
    ),
    rope=text(
        "The largest difference that is practically none, in the metric's unit or in percent of it.", "SIZE"
    ),
    output=text("Write the page, the tables and the figures there.", "FOLDER"),
    as_csv=plain("--csv", is_flag=True, help="Print a CSV table with a row for each run."),
    problems=_contradictions,
)
def compare(runs: list[str], as_csv: bool, as_json: bool, **asked: Any) -> None:
    """Compare RUNS: in groups, over seeds, and pair by pair where groups share seeds.

    A run is a run id or runs:/…; one with training runs under it stands for these, and is logged to. Groups
    are compared by the differences of equal seeds, which are asked two questions: whether there is a
    difference on this table, by a sign-flip test, and, where seeds have splits of their own, whether one is
    to be expected on new data, by the corrected resampled t-test; both are corrected for the number of
    comparisons.

    \b
    Examples:
      reproven compare --experiment boston
      reproven compare 5aafbec3d5a143a98e4a0f1a1b4ff1f1 --by optimizer,lr --output figures
      reproven compare RUN RUN --metric test_mae --csv
      reproven compare --experiment boston --rope 2%
    """
    with importing():
        from reproven.comparisons.compare import compare as run_compare

    found = run_compare(runs, **asked)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    elif as_csv:
        streams.say_data(found.csv)
    else:
        _tell(found)


def _tell(found: Compared) -> None:
    compared = found.comparison
    for line in _aligned(found.table):
        click.echo(line)
    click.echo()
    for line in (*found.sentences, *compared.notes):
        click.echo(line)
    click.echo(found.explanation)
    click.echo()
    chosen = {name: values for name, values in compared.differ.items() if name not in compared.follow}
    differ = (f"{name} {' | '.join(shown(name, v) for v in values)}" for name, values in chosen.items())
    equal = (f"{name} {shown(name, value)}" for name, value in compared.equal.items())
    click.echo(f"differ  {'; '.join(differ) or 'nothing but the seeds'}")
    click.echo(f"equal   {'; '.join(equal)}")
    for left in compared.left_out:
        click.echo(f"left out  {left.name} ({left.run_id}): {left.why}")
    for place in found.places:
        click.echo(f"page    {place}")
    if not found.places:
        click.echo("  Next: the same with --output FOLDER, for a page with figures")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
