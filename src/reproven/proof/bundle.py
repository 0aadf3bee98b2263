"""export and import: a run becomes a folder of plain files that needs no store, and a folder a run again.

The folder holds the run's artifacts as they are: `run.json` among them is what its store showed, so there
is nothing to translate, and the manifest and its seal stay the same wherever the run travels.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from reproven.errors import InvalidInput, RecordError, RevivalError
from reproven.files import disk, names
from reproven.files.front import shown_by
from reproven.files.names import MANIFEST
from reproven.own import trust
from reproven.proof.contradictions import contradictions
from reproven.proof.evidence import Evidence, gather
from reproven.store.open_run import Run
from reproven.store.store import Store
from reproven.store.tags import DESCRIPTION, IMPORTED, IMPORTING, SEAL, travels
from reproven.values.metrics import last_errors


def export(run: str, folder: str | Path, *, tracking_uri: str | None = None) -> Path:
    """Writes a run as a bundle.

    Args:
        run: A run id, or `runs:/…`.
        folder: Where to; it must not exist yet, or be empty.
        tracking_uri: Where the run is looked up; None takes MLflow's own choice.

    Returns:
        The bundle's folder.

    Raises:
        InvalidInput: The folder holds something already.
        RecordError: The run has no record, or it contradicts itself.
        StoreError: The store does not hold the run.
    """
    to = Path(folder)
    try:
        is_taken = to.is_symlink() or (to.exists() and (not to.is_dir() or any(to.iterdir())))
    except OSError as error:
        raise _cannot_be_made(to, error) from error
    if is_taken:
        raise InvalidInput([f"dir is {str(folder)!r}, which is there already. Name a folder that is not."])
    with gather(run, cache(partial(Store, tracking_uri))) as found:
        _refuse_contradictions(found)
        try:
            _write(found, to)
        except (OSError, ValueError) as error:
            raise _cannot_be_made(to, error) from error
    return to


def _write(found: Evidence, to: Path) -> None:
    parent = to.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=parent) as temporary:
        new = Path(temporary) / "bundle"
        for path in (*found.manifest.files, MANIFEST):
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.folder / path, new / path, follow_symlinks=False)
        if to.exists():
            to.rmdir()
        new.rename(to)


def _cannot_be_made(folder: Path, error: Exception) -> InvalidInput:
    why = getattr(error, "strerror", None) or disk.first_line(error)
    return InvalidInput([f"dir is {str(folder)[:100]!r}, which cannot be made: {why}."])


def import_(
    folder: str | Path,
    *,
    experiment: str | None = None,
    again: bool = False,
    say: Callable[[str], None] = lambda _: None,
    tracking_uri: str | None = None,
) -> str:
    """Puts a bundle into a tracking store, with its original times.

    A run with the bundle's seal that is in the experiment already is not made twice; one that an import
    left behind which was cut off is completed.

    Args:
        folder: The bundle.
        experiment: The experiment's name; None takes that of the original.
        again: Whether to make another run where there is one already.
        say: Told where that is so.
        tracking_uri: Where to; None takes MLflow's own choice.

    Returns:
        The run's id.

    Raises:
        RecordError: The folder is no bundle, or contradicts itself: then nothing is imported.
        StoreError: The store refuses.
    """
    if not disk.is_folder(Path(folder)):
        raise InvalidInput(
            [f"dir is {str(folder)[:100]!r}, which is not a folder. Give one that `export` wrote."]
        )
    open_store = cache(partial(Store, tracking_uri))
    with gather(str(folder), open_store) as found:
        _refuse_contradictions(found)
        example, store = _example(found), open_store()
        to = experiment or found.snapshot.experiment
        whole, cut_off = _imported(found, store, to)
        if whole and not again:
            say(f"{folder} is there already, as the run {whole[0]}. --again makes another one.")
            return whole[0]
        run = store.open(cut_off[0]) if cut_off else _new_run(found, store, to)
        _fill(run, found, example)
        return run.id


def _imported(found: Evidence, store: Store, experiment: str) -> tuple[list[str], list[str]]:
    """The runs of an experiment with the seal of a bundle: the whole ones, and those of cut-off imports.

    The seal is the last that an import writes.
    """
    if not store.has_experiment(experiment):
        return [], []
    whole = store.search(experiment, f"tags.`{SEAL}` = '{found.seal}'")
    begun = store.search(experiment, f"tags.`{IMPORTING}` = '{found.seal}'")
    cut_off = [run for run in begun if run.seal is None]
    return [run.run_id for run in whole], [run.run_id for run in cut_off]


def _new_run(found: Evidence, store: Store, experiment: str) -> Run:
    """The run that a bundle becomes, with all that says what it is, so that it is found if it is cut off."""
    shown = found.snapshot
    marks = {IMPORTING: found.seal, IMPORTED: shown.run_id}
    return store.create(experiment, shown.name, marks, shown.start_time)


def _fill(run: Run, found: Evidence, example: Mapping[str, Any] | None) -> None:
    """Writes all of a bundle to its run, whatever is there already, and ends it."""
    shown = found.snapshot
    run.go_on()
    with run.ended(), tempfile.TemporaryDirectory(prefix="reproven-") as temporary:
        tags = {name: value for name, value in shown.tags.items() if travels(name, value)}
        text = shown.description.replace(shown.run_id, run.id)
        own = {DESCRIPTION: text, IMPORTED: shown.run_id}
        run.describe(params=shown.params, tags={**tags, **own})
        run.log_datasets(shown.datasets)
        run.log_rows(found.rows)
        for path in (*found.manifest.files, MANIFEST):  # and nothing that lies beside them
            (Path(temporary) / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.folder / path, Path(temporary) / path, follow_symlinks=False)
        run.upload(Path(temporary))
        if example is not None:
            run.fill_model(
                run.unfinished_model() or run.new_model(shown.params),
                Path(temporary) / names.MODEL,
                example,
                step=len(found.record.outcome.steps),
                errors=last_errors(found.rows),
                datasets=shown.datasets,
            )
        run.end_time, run.status = shown.end_time, shown.status
    run.describe(params={}, tags={SEAL: found.seal})


def _refuse_contradictions(found: Evidence) -> None:
    if problems := contradictions(found):
        why = " ".join(problems)
        raise RecordError(f"{found.source} does not travel, since its record is not whole: {why}")


def _example(found: Evidence) -> dict[str, Any] | None:
    """A row to show a model's columns by, the means of the training rows; None where there is no model."""
    if names.MODEL not in found.manifest.files:
        return None
    from reproven.files.models import read_described

    trust.require(found.record.inputs.recipe.own.values())  # the logged model holds their code
    try:
        model = read_described(found.folder / names.MODEL)
    except RevivalError as error:
        raise RecordError(str(error)) from error
    if isinstance(model, dict):
        raise RecordError(f"{names.MODEL} holds a state_dict, but must hold a whole model.")
    return shown_by(model)
