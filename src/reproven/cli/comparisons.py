"""compare: the command that sets runs beside one another.

It imports its verb (and with it MLflow, SciPy and Matplotlib) only once its options are known to be good.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reproven.cli.group import main
from reproven.cli.reading import answering, checked_option, given, importing, not_blank
from reproven.comparisons.params import field_problems, shown
from reproven.errors import InvalidInput
from reproven.files.disk import is_file
from reproven.values import options as kinds

if TYPE_CHECKING:
    from reproven.comparisons.compare import Compared

_BY = replace(
    kinds.words("Params that tell groups apart; all that differ, seeds apart, where not given.", "optimizer"),
    metavar="FIELD,…",
)


@main.command()
@click.argument("runs", nargs=-1)
@click.option(
    "--run", "more", multiple=True, metavar="RUN", help="Another run, as `mlflow run -P run=…` gives it."
)
@click.option("--experiment", help="Also all training runs of this experiment.")
@checked_option("by", _BY, None)
@click.option(
    "--metric", metavar="METRIC", default="test_rmse", show_default=True, help="What is compared, at the end."
)
@click.option("--output", metavar="FOLDER", help="Write the page, the tables and the figures there.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV table with a row for each run.")
@answering
def compare(
    runs: tuple[str, ...],
    more: tuple[str, ...],
    experiment: str | None,
    by: tuple[str, ...],
    metric: str,
    output: str | None,
    as_csv: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Compare RUNS: in groups, over seeds, and pair by pair where groups share seeds.

    A run is a run id or runs:/…; one with training runs under it stands for these, and is logged to. Groups
    are compared by the differences of equal seeds: their mean with a bootstrap interval, and a sign-flip
    test, corrected for the number of comparisons.

    \b
    Examples:
      reproven compare --experiment boston
      reproven compare 5aafbec3d5a143a98e4a0f1a1b4ff1f1 --by optimizer,lr --output figures
      reproven compare RUN RUN --metric test_mae --csv
    """
    beside, problems = kinds.read_checked({"by": _BY}, given({"by": by}))
    fields = tuple(beside.get("by", ()))
    if not problems:
        problems += field_problems(fields)
    problems += not_blank(experiment=experiment, metric=metric, output=output, tracking_uri=tracking_uri)
    asked = [*runs, *(run for run in more if run)]  # MLproject gives an empty one where it has none
    if not asked and experiment is None:
        problems.append("run is not given. Give run ids, the parent of some, or --experiment NAME.")
    if as_csv and as_json:
        problems.append("csv and json are both given. Give one.")
    if output and output.strip() and is_file(Path(output)):
        problems.append(f"output is {output}, which is a file. Give a folder.")
    if problems:
        raise InvalidInput(problems)

    with importing():
        from reproven.comparisons.compare import compare as run_compare

    found = run_compare(
        asked, experiment=experiment, by=fields, metric=metric, output=output, tracking_uri=tracking_uri
    )
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    elif as_csv:
        click.echo(found.csv, nl=False)
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
