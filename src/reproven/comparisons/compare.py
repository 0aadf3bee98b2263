"""compare: runs beside one another: what each group of them came to, and what equal seeds say about two.

The answer is a value. Where there is a place for them (the parent of the runs, a folder, the run that
`mlflow run` made), it is also written as files: a page, two tables, figures.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reproven.comparisons import candidates, overview, params, words
from reproven.comparisons.overview import Comparison
from reproven.errors import DiskError, InvalidInput, RecordError, ReprovenError
from reproven.files import disk, names
from reproven.files.names import METRICS
from reproven.files.texts import csv_text, json_object, json_text
from reproven.store.address import run_of_mlflow
from reproven.store.open_run import Run
from reproven.store.store import Store
from reproven.store.summary import Summary
from reproven.store.tags import DESCRIPTION
from reproven.training.histograms import last_of
from reproven.values.metrics import loss_label, read_metrics, usual_metric
from reproven.values.run_ids import EXAMPLE, listed

PAGE = "comparison.html"
_FOLDER = "comparison"  # of a run's artifacts
_FOR_MLFLOW_RUN = "comparisons"  # the experiment of a run that `mlflow run` did not make
_RATES = ("lr", "layer_lr")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What came of a comparison.

    Attributes:
        comparison: The groups, the pairs, what differs.
        table: A header, and a row of texts for each group.
        sentences: What it says, in words.
        explanation: What the numbers in them mean.
        csv: A row for each run: its id, name, status, group, params that differ, last metrics, digests.
        places: Where the page is: in a run's artifacts, in a folder, or nowhere.
    """

    comparison: Comparison = field(repr=False)
    table: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]
    explanation: str = field(repr=False)
    csv: str = field(repr=False)
    places: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What `comparison.json` holds, as JSON values."""
        said = {"sentences": list(self.sentences), "explanation": self.explanation}
        return {**said, **self.comparison.to_dict()}

    @property
    def svg(self) -> str | None:
        """The figure of its answers as an SVG element; None where there is none to draw."""
        from reproven.comparisons import answers
        from reproven.training.figures import svg

        figure = answers.figure(self.comparison, _labels(self.comparison)["metric"])
        return None if figure is None else svg(figure)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from reproven.pages.cards import card

        return card(
            words.title(self.comparison),
            "COMPARED",
            lines=(*self.sentences, *self.comparison.notes),
            facts={"page": ", ".join(self.places)} if self.places else {},
            table=self.table,
            picture=self.svg,
        )


def compare(
    sources: Sequence[str] = (),
    *,
    experiment: str | None = None,
    by: Sequence[str] = (),
    metric: str | None = None,
    rope: str | float | None = None,
    output: str | Path | None = None,
    tracking_uri: str | None = None,
) -> Compared:
    """Compares runs: in groups, over seeds, and pair by pair where groups share seeds.

    Args:
        sources: Run ids, or `runs:/…`; a run with training runs under it stands for these, and is logged to.
        experiment: Also all training runs of this experiment.
        by: The params that tell groups apart; none takes all that differ by choice.
        metric: What is compared, at each run's end; None takes test_rmse, or test_log_loss of classes.
        rope: The largest difference that is practically none, in the metric's unit, or `2%` of it: tells how
            probable it is that a difference on new data is more than that.
        output: A folder for the files; made where it is missing.
        tracking_uri: Where the runs are; None takes MLflow's own choice.

    Returns:
        What came of it. Files are made only where there is a parent or an output for them.

    Raises:
        InvalidInput: There is nothing to compare, a field is no param, the region is none, no run has the
            metric, or the output is no folder.
        StoreError: The store does not hold a run or the experiment, or refuses.
        DiskError: The output cannot be written.
    """
    sources = listed(sources, "sources", EXAMPLE)
    by = [field.strip() for text in listed(by, "by", "optimizer") for field in text.split(",")]
    rope = None if rope is None else str(rope)
    problems = [*params.field_problems(by), *params.rope_problems(rope)]
    if not sources and experiment is None:
        problems.append("run is not given. Give run ids, the parent of some, or --experiment NAME.")
    if output is not None and disk.is_file(Path(output)):
        problems.append(f"output is {output}, which is a file. Give a folder.")
    if problems:
        raise InvalidInput(problems)
    store = Store(tracking_uri)
    found = candidates.find(store, sources, experiment)
    finished = [run.metrics for run in found.runs if run.status == "FINISHED"]
    metric = metric or usual_metric(finished, ("test",))
    answer = _answer(found.runs, by=by, metric=metric, rope=rope)
    under_mlflow = run_of_mlflow() is not None
    if found.parent is None and output is None and not under_mlflow:
        return answer
    command = _command(sources, experiment=experiment, by=by, metric=metric, rope=rope)
    places = []
    with _files(answer, found.runs, store, command) as folder:
        if output is not None:
            places.append(_copy(folder, Path(output)))
        if found.parent is not None:
            places.append(_log(store.open(found.parent), folder))
        if under_mlflow:
            with store.run(experiment=_FOR_MLFLOW_RUN, name="comparison") as run:
                run.describe(params={}, tags={DESCRIPTION: _description(answer)})
                places.append(_log(run, folder))
    return replace(answer, places=tuple(places))


def compare_below(store: Store, parent: str, *, metric: str) -> Compared:
    """Compares the runs below a run, and logs what came of it there.

    Args:
        store: Where they are.
        parent: The run's id.
        metric: What is compared.

    Raises:
        InvalidInput: No run below it can be compared.
        StoreError: The store refuses.
    """
    found = candidates.find(store, [parent], None)
    answer = _answer(found.runs, by=(), metric=metric)
    command = _command([parent], metric=metric)
    with _files(answer, found.runs, store, command) as folder:
        return replace(answer, places=(_log(store.open(parent), folder),))


def _answer(runs: Sequence[Summary], *, by: Sequence[str], metric: str, rope: str | None = None) -> Compared:
    """What came of a comparison, in values and in words."""
    compared = overview.of(runs, by=by, metric=metric, rope=rope)
    return Compared(
        comparison=compared,
        table=tuple(words.table(compared)),
        sentences=tuple(words.sentences(compared)),
        explanation=words.explanation(compared),
        csv=_csv(compared, runs),
    )


def _csv(compared: Comparison, runs: Sequence[Summary]) -> str:
    """A row for each run, those that are left out too."""
    metrics = sorted({name for run in runs for name in run.metrics})
    fields = [name for name in compared.differ if name not in compared.by]
    shown = (*params.SEEDS, *compared.by, *fields)
    left = {one.run_id: one.why for one in compared.left_out}
    group_of = {run_id: group.label for group in compared.groups for run_id in group.run_ids}
    digests = ("recipe_sha256", "split_sha256", "commit")
    header = ("run_id", "name", "status", "group", "left_out", *shown, *metrics, *digests)
    rows = (
        (
            *(run.run_id, run.name, run.status, group_of.get(run.run_id, ""), left.get(run.run_id, "")),
            *(run.params.get(name, "") for name in shown),
            *(repr(run.metrics[name]) if name in run.metrics else "" for name in metrics),
            *(run.recipe_sha256 or "", run.split_sha256, run.code),
        )
        for run in runs
    )
    return csv_text(header, ([_inert(cell) for cell in row] for row in rows))


def _inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, and no reader for the end of a row.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    try:
        float(text)
    except ValueError:
        is_formula = text.startswith(("=", "+", "-", "@", "\t", "\r"))
        return ("'" + text if is_formula else text).replace("\r", " ")
    return text


def _command(
    sources: Sequence[str],
    *,
    metric: str,
    experiment: str | None = None,
    by: Sequence[str] = (),
    rope: str | None = None,
) -> str:
    """The command line that makes the comparison again."""
    options = [("--experiment", experiment), ("--by", ",".join(by)), ("--metric", metric), ("--rope", rope)]
    given = [word for name, value in options if value for word in (name, value)]
    return shlex.join(["reproven", "compare", *sources, *given])


def _description(answer: Compared) -> str:
    """The text of the run that `mlflow run` made, in Markdown."""
    header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in answer.table)
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    said = "\n".join(f"- {line}" for line in answer.sentences)
    return f"{said}\n\n{chr(10).join(lines)}\n\n{answer.explanation}\n\n`{_FOLDER}/{PAGE}` has the figures.\n"


@contextmanager
def _files(answer: Compared, runs: Sequence[Summary], store: Store, command: str) -> Iterator[Path]:
    """A folder with everything that is kept of a comparison, for the length of the block."""
    from reproven.comparisons import answers, group_figures, page

    is_over_tables = answer.comparison.over_tables is not None
    courses, unread = ([], []) if is_over_tables else _courses(answer.comparison, runs, store)
    labels = _labels(answer.comparison)
    pictures = answers.pictures(answer.comparison, labels)
    if answer.comparison.over_tables is None:
        pictures |= group_figures.pictures(answer.comparison, courses, labels)
    about: Any = {"command": command, "notes": unread}
    with tempfile.TemporaryDirectory(prefix="reproven-") as place:
        folder = Path(place) / _FOLDER
        for name, picture in pictures.items():
            disk.write_bytes(folder / names.FIGURES / f"{name}.png", picture.png)
        disk.write_text(folder / "comparison.csv", answer.csv)
        disk.write_text(folder / "comparison.json", json_text({**answer.to_dict(), "command": command}))
        html = page.page(answer.comparison, runs, pictures.values(), **about)
        disk.write_text(folder / PAGE, html)
        yield folder


def _log(run: Run, folder: Path) -> str:
    """Logs the files to a run, and returns where the page is."""
    run.upload(folder.parent)
    return f"{_FOLDER}/{PAGE} of the run {run.id}"


def _copy(folder: Path, output: Path) -> str:
    """Writes the files into a folder, each whole or not at all, and returns where the page is.

    Raises:
        DiskError: They cannot be written.
    """
    try:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            disk.write_bytes(output / path.relative_to(folder), path.read_bytes())
    except (OSError, ValueError) as error:
        why = disk.first_line(error)
        raise DiskError(f"output is {str(output)[:100]!r}, which cannot be written: {why}.") from error
    return str(output / PAGE)


def _labels(compared: Comparison) -> dict[str, str]:
    """What stands at the axes: the metric, and the training loss, with their units."""
    from reproven.tables.data import target_label

    target = target_label(compared.equal.get("data", ""), compared.equal.get("target", ""))
    in_unit = target and compared.metric.endswith(("rmse", "mae"))
    loss = "mean squared error"
    if target and not {"loss", "standardise_target"} & set(compared.differ):  # else it is in several units
        is_standardised = compared.equal.get("standardise_target") == "true"
        loss = loss_label(compared.equal.get("loss", "mse"), target, is_standardised=is_standardised)
    return {"metric": f"{compared.metric}, {target}" if in_unit else compared.metric, "loss": loss}


def _courses(compared: Comparison, runs: Sequence[Summary], store: Store) -> tuple[list[Any], list[str]]:
    """How the runs of the best groups went, and what could not be read of them."""
    from reproven.comparisons.group_figures import MOST

    by_id = {run.run_id: run for run in runs}
    found, unread = [], []
    for group in compared.groups[:MOST]:
        once = {by_id[run_id].recipe_sha256: by_id[run_id] for run_id in reversed(group.run_ids)}
        for run in reversed(list(once.values())):
            try:
                found.append(_course(run, group.label, compared, store))
            except ReprovenError as error:
                unread.append(f"The figures are without {run.name} ({run.run_id}): {error}")
    return found, unread


def _course(run: Summary, group: str, compared: Comparison, store: Store) -> Any:
    from reproven.comparisons.group_figures import Course

    with candidates.files_of(store, run.run_id, (METRICS, names.HISTOGRAMS)) as files:
        rows = sorted(read_metrics(files.text(METRICS)))
        try:
            moments = json_object(names.HISTOGRAMS, files.text(names.HISTOGRAMS))
            histograms = last_of(moments)
        except ValueError as error:
            raise RecordError(f"{names.HISTOGRAMS} cannot be read: {error}.") from error
    errors = {row.step: row.value for row in rows if row.key == compared.metric}
    if "patience" in run.params:
        errors.pop(max(errors, default=0), None)  # of the best epoch once more
    telling = [name for name in compared.by if len({g.fields[name] for g in compared.groups}) > 1]
    return Course(
        group=group,
        rest=params.label(run.params, [name for name in telling if name not in _RATES]),
        rates=params.label(run.params, _RATES),
        losses=[row.value for row in rows if row.key == "train_loss"],
        errors=errors,
        histograms=histograms,
    )
