"""Tracking: what a training leaves in its logbook, from before its first step to its last file.

train, replay and resume share it. It talks to no store: `delivery` brings to one what is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

from reproven.files import disk, models, names
from reproven.files.front import outputs_of
from reproven.files.texts import json_text
from reproven.logbooks import checkpoint, journal, logbook, pictures
from reproven.logbooks.interval import Interval
from reproven.logbooks.journal import EPOCH, KEPT, STEP, WEIGHTS, Journal, Line
from reproven.logbooks.logbook import End, Logbook, Plan
from reproven.machine import environment, processes, signals
from reproven.machine.code import CodeState, own_state
from reproven.store.open_run import dataset_inputs
from reproven.store.tags import (
    HAS_IMAGES,
    ORIGIN,
    OWN_TAG,
    PREFIX,
    RECIPE_TAG,
    SPLIT_TAG,
    TABLE_TAG,
    code_tags,
)
from reproven.tables.split import Dataset
from reproven.training.evaluation import confusion_text
from reproven.training.histograms import as_json, weight_histograms
from reproven.training.history import History
from reproven.training.prepared import Prepared
from reproven.values import metrics
from reproven.values.programs import files_sha256
from reproven.values.record import Inputs, Outcome
from reproven.values.steps import Watch

#: Told the epochs completed and the errors after them, says why training is not worth going on, or nothing.
Prune = Callable[[int, Mapping[str, float]], str | None]
_SECONDS_ALONE = 0.25  # of training, after which its length is guessed
_SECONDS_WORTH = 1.0  # of training still to come that are worth a process beside it
_EXAMPLE_ROWS = 3


def planned(
    made: Prepared,
    code: CodeState | None,
    *,
    kind: str,
    tracking_uri: str,
    experiment: str,
    name: str,
    histogram_every: int,
    parent: str | None = None,
    adopted: str | None = None,
    checkpoint_every: str | None = None,
    register_model: str | None = None,
    alias: str | None = None,
    figures: bool = True,
) -> Plan:
    """What a training sets out to do, with everything about it that is known before its first step.

    Args:
        made: What is trained.
        code: The running code.
        kind: As a `Plan` has it; likewise all that follow.
        tracking_uri: The store, without user and password.
        experiment: The experiment's name.
        name: The run's name.
        histogram_every: Epochs between two histograms of the weights.
        parent: The run that it is shown under.
        adopted: The run that `mlflow run` made for it.
        checkpoint_every: As `--checkpoint-every` has it.
        register_model: Registers the model under this name.
        alias: Points this alias at the registered version.
        figures: Whether its figures are drawn.
    """
    recipe, dataset = made.recipe, made.dataset
    table = dataset.table
    return Plan(
        kind=kind,
        tracking_uri=tracking_uri,
        folder=str(Path.cwd()),
        experiment=experiment,
        name=name,
        parent=parent,
        adopted=adopted,
        start_time=_now(),
        steps=made.total_steps,
        table=table.place,
        histogram_every=histogram_every,
        checkpoint_every=checkpoint_every,
        register_model=register_model,
        alias=alias,
        figures=figures,
        params={k: v for k, v in recipe.to_dict().items() if k != "data_sha256" and v not in ((), {})},
        tags={
            f"{PREFIX}version": environment.package_version("reproven"),
            RECIPE_TAG: recipe.sha256,
            TABLE_TAG: table.sha256,
            SPLIT_TAG: dataset.split_sha256,
            ORIGIN: table.origin,
            **({OWN_TAG: files_sha256(made.sources.digests)} if recipe.own else {}),
            **code_tags(own_state(made.sources) or code),
            **(HAS_IMAGES if figures else {}),
        },
        datasets=dataset_inputs(dataset),
        example=_example(dataset),
    )


def _example(dataset: Dataset) -> dict[str, Any]:
    """A few training rows as the model takes them, and the columns of its predictions."""
    table, rows = dataset.table, dataset.train_rows[:_EXAMPLE_ROWS]
    outputs = outputs_of(table.schema)
    if table.schema is not None and table.schema.array is not None:
        return {"array": table.schema.array, "data": table.X[rows].tolist(), "outputs": outputs}
    frame = table.frame(rows)
    values = [[None if value != value else value for value in row] for row in frame.values.tolist()]
    return {"columns": list(frame.columns), "data": values, "outputs": outputs}


def first_files(
    made: Prepared,
    inputs: Inputs,
    code: CodeState | None,
    *,
    figures: bool = True,
    table: bytes | None = None,
) -> dict[str, bytes]:
    """The files that a logbook has before the first step, by their paths.

    Args:
        made: What is trained.
        inputs: What determines it.
        code: The running code, with its patch.
        figures: Whether its figures are drawn.
        table: The file that holds its table, where it is kept.
    """
    files = {name: text.encode() for name, text in inputs.texts().items()}
    files[names.STANDARDISATION] = made.fitted_text.encode()
    if figures:
        files[pictures.TARGET] = pictures.target(made.dataset.table)
    files |= {f"{names.OWN}/{path}": content for path, content in made.sources.contents.items()}
    if table is not None:
        files[names.TABLE] = table
    for name, state in ((names.PATCH, code), (names.OWN_PATCH, own_state(made.sources))):
        if state is not None and state.dirty:
            files[name] = state.patch_bytes
    return files


def follow(
    book: Logbook, history: History, kept: Journal, *, watch: Watch, prune: Prune | None = None
) -> None:
    """Trains from wherever the state stands, and puts each finding into the journal.

    Where the recipe has patience, the errors and the histograms of the weights that are kept are put once
    more, after those of the last epoch: what a store shows as the last ones is then the model's.

    Args:
        book: The run's logbook.
        history: What is trained.
        kept: The journal, up to where the state stands; it is closed at the end.
        watch: Passes the steps through.
        prune: Asked after each epoch whether to stop.

    Raises:
        KeyboardInterrupt: The process was told to stop; a checkpoint was written before.
        DiskError: The logbook cannot be written.
        RecordError: A resumed run does not find what it found before.
    """
    made, plan = history.made, book.plan
    state, due = made.state, Interval.of(plan.checkpoint_every)
    done = len(history.losses)

    def look_at_weights(place: int, *epochs: int) -> None:
        kept.put(WEIGHTS, place, as_json(weight_histograms(state.network)), *epochs)

    def save(step: int) -> None:
        kept.sync()
        path = book.checkpoint(step)
        best, position = history.best_weights, kept.position
        checkpoint.write(path, state, best, step=step, position=position, sha256=kept.sha256)
        book.forget_old_checkpoints()

    with book.writing(), closing(kept), signals.noticed() as stop:
        if done == 0:
            look_at_weights(0)
        for step in watch(history.train(), made.total_steps - done):
            kept.put(STEP, step.step, journal.loss_bits(step.loss), " ".join(history.step_weights[-1]))
            if history.failure is None and step.ends_epoch:
                epochs = step.epoch + 1
                kept.put(EPOCH, epochs, history.epoch_weights[-1], history.errors)
                history.pruned = prune(epochs, history.errors) if prune is not None else None
                if epochs % plan.histogram_every == 0 or history.is_over:
                    look_at_weights(epochs)
                if history.pruned is not None:
                    break
            if history.failure is None and (due.at(step) or stop.number is not None):
                save(step.step + 1)
            if stop.number is not None:
                raise KeyboardInterrupt(stop.number)
        if (best := history.keep_best()) is not None:
            after_last = len(history.epoch_weights) + 1
            kept.put(KEPT, after_last, history.errors)
            look_at_weights(after_last, best)


def sending(book: Logbook, history: History, uri: str | None) -> AbstractContextManager[None]:
    """Has a process of its own send the journal during the block, if training lasts.

    Args:
        book: The run's logbook.
        history: What is trained.
        uri: The store; None for none.
    """
    if uri is None:
        return nullcontext()
    before, total = len(history.losses), history.made.total_steps

    def lasts() -> bool:
        done = len(history.losses)
        return (total - done) * _SECONDS_ALONE > _SECONDS_WORTH * (done - before)

    return processes.meanwhile(["sync", book.id, "--follow"], uri, after=_SECONDS_ALONE, only_if=lasts)


def conclude(
    book: Logbook, history: History, *, tags: Mapping[str, str], linked: Mapping[str, Mapping[str, str]]
) -> None:
    """Writes what came out, however it ended, and says that the training is over.

    Args:
        book: The run's logbook.
        history: What was trained.
        tags: More tags of the run; in a text, {run_id} stands for its id.
        linked: Tags of other runs, by their ids.

    Raises:
        DiskError: The logbook cannot be written.
    """
    has_model = history.failure is None and book.plan.kind == logbook.TRAIN
    lines, _ = journal.read(book.journal)
    with book.writing():
        outcome = write_outcome(book.files, history, lines, figures=book.plan.figures)
        if has_model:
            write_model(book.files, history, figures=book.plan.figures)
        step = sum(one.epoch < outcome.epochs_kept for one in outcome.steps)
        end = End(status=outcome.status, tags=tags, linked=linked, model=has_model, step=step)
        book.conclude(end)


def write_outcome(folder: Path, history: History, lines: Sequence[Line], *, figures: bool) -> Outcome:
    """Writes the record's texts, metrics, histograms and their figures, and returns what came out.

    Args:
        folder: Of the run's artifacts.
        history: What was trained.
        lines: Its journal.
        figures: Whether the figures are drawn.
    """
    outcome = history.outcome()
    for name, text in outcome.texts().items():
        disk.write_text(folder / name, text)
    disk.write_text(folder / names.METRICS, metrics.rows_text(list(journal.rows(lines))))
    found = histograms(lines)
    by_epochs = {str(epochs): one for epochs, one in found.items()}
    disk.write_text(folder / names.HISTOGRAMS, json_text(by_epochs))
    if figures:
        losses = [step.loss for step in outcome.steps]
        pictures.outcome(folder, losses, found, history.made.loss_label, epochs_at=outcome.epochs_at)
    return outcome


def histograms(lines: Sequence[Line]) -> dict[int, Any]:
    """The histograms of the weights that a journal holds, by their place (`Outcome.epochs_at`)."""
    return {line[1]: line[3] for line in lines if line[0] == WEIGHTS}


def write_model(folder: Path, history: History, *, figures: bool) -> None:
    """Writes both forms of the model, and how well it predicts; of classes which it takes for which.

    Args:
        folder: Of the run's artifacts.
        history: What was trained.
        figures: Whether the figure is drawn.
    """
    table, predicted = history.made.dataset.table, history.predictions()
    if figures:
        pictures.predictions(folder, predicted, table)
    if table.classes:
        disk.write_text(folder / names.CONFUSION, confusion_text(predicted, table.classes))
    models.write_model(folder, history.made.model())


def _now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
