"""Evidence: the files of one run, in a store or in a bundle's folder, and whether they agree.

A bundle is a folder with the artifacts of a run; so both are looked at alike. Whatever contradicts
something else is named in a sentence. No file is changed, and none is followed out of its folder.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from reproven import artifacts, manifest
from reproven import options as kinds
from reproven.errors import InvalidInput, RecordError, RevivalError
from reproven.manifest import MANIFEST, Manifest
from reproven.page import METRICS, PAGE, Page, Row, read_metrics
from reproven.recipe import OPTIONS, Recipe
from reproven.record import Record, json_object
from reproven.run import ORIGIN, PREFIX, RECIPE_TAG, SEAL
from reproven.store import Store

_RUN_ID_LENGTH = 32
_LONGEST_TEXT = 1 << 30


@dataclass(frozen=True)
class Evidence:
    """The files of a run.

    Attributes:
        source: What was asked for: a run id or a bundle's folder.
        folder: Where the files lie.
        tags: The run's tags in its store; None for a bundle.
    """

    source: str
    folder: Path
    tags: Mapping[str, str] | None

    def text(self, name: str) -> str:
        """A file's text.

        Raises:
            RecordError: It is missing, not UTF-8, no plain file, or absurdly large.
        """
        path = self.folder / name
        if odd := manifest.oddity(self.folder, name):
            raise RecordError(odd.replace("is missing", "is not there"))
        if (size := path.stat().st_size) > _LONGEST_TEXT:
            raise RecordError(f"{name} has {size} bytes, but no text of a record has over {_LONGEST_TEXT}.")
        try:
            return artifacts.read_text(path)
        except RevivalError as error:
            raise RecordError(str(error).replace(str(path), name)) from error

    @cached_property
    def page(self) -> Page:
        """What the run's store showed of it when it ended."""
        return Page.read(self.text(PAGE))

    @cached_property
    def manifest(self) -> Manifest:
        """The list of its files."""
        return Manifest.read(self.text(MANIFEST))

    @property
    def seal(self) -> str:
        """Digest of its manifest, and so of everything that is listed there."""
        return manifest.file_sha256(self.folder / MANIFEST)

    @cached_property
    def rows(self) -> list[Row]:
        """Its metrics."""
        return read_metrics(self.text(METRICS))

    @cached_property
    def record(self) -> Record:
        """Its record, with the final weights where they are kept.

        Raises:
            RecordError: It is not whole, or contradicts itself.
        """
        record = Record.read(self.text)
        if artifacts.STATE_DICT not in self.manifest.files:
            return record
        if odd := manifest.oddity(self.folder, artifacts.STATE_DICT):
            raise RecordError(odd)
        from reproven.pickles import read_torch  # imports torch

        try:
            tensors = read_torch(self.folder / artifacts.STATE_DICT)
        except RevivalError as error:
            raise RecordError(str(error)) from error
        if not isinstance(tensors, dict):
            raise RecordError(f"{artifacts.STATE_DICT} holds a whole model, but must hold a state_dict.")
        return replace(record, weights={name: tensor.numpy() for name, tensor in tensors.items()})


@contextmanager
def gather(source: str, store: Callable[[], Store]) -> Iterator[Evidence]:
    """Finds a run's files; those that are elsewhere are copied for the length of the block.

    Args:
        source: A run id, `runs:/…`, or the folder of a bundle.
        store: Opens the store, if it is a run.

    Raises:
        RecordError: The folder is no bundle, or the run has left no record (yet).
        StoreError: There is no such run.
        InvalidInput: It is neither a run id nor a folder.
    """
    path = Path(source)
    if artifacts.is_folder(path) and path.is_symlink():
        raise RecordError(f"{source} is a symbolic link. Give the folder that it leads to: {path.resolve()}.")
    if artifacts.is_folder(path):
        if not (path / MANIFEST).is_file():
            raise RecordError(f"{source} is a folder without {MANIFEST}, so it is no bundle of a run.")
        yield Evidence(source, path, None)
        return
    run_id = run_id_in(source)
    tags = store().tags(run_id)
    if SEAL not in tags:
        raise RecordError(
            f"The run {run_id} has no sealed record: it did not come to its end, or was not made by "
            "`reproven train`. Give one that is FINISHED, or FAILED by its own loss."
        )
    with tempfile.TemporaryDirectory(prefix="reproven-") as copy:
        yield Evidence(run_id, store().files(run_id, Path(copy)), tags)


def run_id_in(source: str, or_else: str = " or the folder of a bundle") -> str:
    """The run id that `runs:/…` or an id itself names.

    Args:
        source: What was given.
        or_else: What else might have been, as words for the error.

    Raises:
        InvalidInput: It names none.
    """
    run_id = source.removeprefix("runs:/").partition("/")[0]
    if len(run_id) != _RUN_ID_LENGTH or set(run_id) - set("0123456789abcdef"):
        raise InvalidInput(
            [f"run is {source[:100]!r}, but must be a run id (32 hexadecimal digits){or_else}."]
        )
    return run_id


def contradictions(found: Evidence) -> list[str]:
    """Everything in which a run's files contradict each other, their manifest or the run's tags."""
    try:
        listed = found.manifest
    except RecordError as error:
        return [str(error)]
    problems = []
    if found.tags is not None and found.seal != found.tags[SEAL]:
        problems.append(
            f"{MANIFEST} has the digest {found.seal}, but the tag {SEAL} says {found.tags[SEAL]}."
        )
    problems += manifest.check(listed, found.folder)
    for look in (_in_record, _in_page, _in_metrics, _in_tensors, _in_patch):
        try:
            problems += look(found)
        except RecordError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def _in_record(found: Evidence) -> Iterator[str]:
    _ = found.record  # raises what it contradicts itself in
    return iter(())


def _in_page(found: Evidence) -> Iterator[str]:
    recipe = found.record.inputs.recipe
    said = {
        RECIPE_TAG: recipe.sha256,
        f"{PREFIX}data.sha256": recipe.data_sha256,
        f"{PREFIX}split.sha256": found.record.inputs.split_sha256,
    }
    for name, digest in said.items():
        if found.page.tags.get(name) != digest:
            yield f"The record has the digest {digest}, but {PAGE} says {name} {found.page.tags.get(name)}."
    if not (origin := found.page.tags.get(ORIGIN, "https:")).startswith(("http:", "https:")):
        yield f"{PAGE} says {ORIGIN} {origin!r}, but a run that travels names no place of a machine."
    yield from (f"{PAGE}: {problem}" for problem in other_params(found.page.params, recipe))
    if found.page.status != found.record.outcome.status:
        yield f"{PAGE} says {found.page.status}, but by its outcome it is {found.record.outcome.status}."


def other_params(params: Mapping[str, str], recipe: Recipe) -> Iterator[str]:
    """The params that say another thing than the recipe, whatever their spelling."""
    for name, value in recipe.to_dict().items():
        if name in ("data", "data_sha256") or value in ((), {}):
            continue
        text = params.get(name)
        if text is None:
            yield f"The param {name} is missing; the recipe says {value}."
        elif text.endswith("(whole in recipe.json)") or (name, text) == ("device", "auto"):
            continue
        elif not _says(name, text, getattr(recipe, name)):
            yield f"The param {name} is {text}, but the recipe says {getattr(recipe, name)}."


def _says(name: str, text: str, value: object) -> bool:
    values, _ = kinds.read_all(OPTIONS, {name: text})
    if name not in values or not OPTIONS[name].accepts(values[name]):
        return False
    read = OPTIONS[name].cast(values[name])
    return bool(read == value or (name in ("drop", "layer_lr") and tuple(sorted(read)) == value))


def _in_metrics(found: Evidence) -> Iterator[str]:
    """The losses and the last errors against the metrics as sent."""
    losses = {step.step: step.loss for step in found.record.outcome.steps if math.isfinite(step.loss)}
    sent = {row.step: row.value for row in found.rows if row.key == "train_loss"}
    for step in sorted(losses.keys() | sent.keys()):
        if losses.get(step) != sent.get(step):
            yield f"Step {step} has the loss {losses.get(step)}, but {METRICS} says {sent.get(step)}."
    last = {row.key: row.value for row in sorted(found.rows, key=lambda row: row.step)}
    for name, value in found.record.outcome.errors.items():
        if last.get(name) != value:
            yield f"The outcome's {name} is {value}, but {METRICS} says {last.get(name)}."


def _in_tensors(found: Evidence) -> Iterator[str]:
    """Both forms of the model, and the standardisation, against the record."""
    for path, held in ((artifacts.MODEL, model_tensors), (artifacts.STATE_DICT, _final_weights)):
        entry = found.manifest.files.get(path)
        if entry is not None:
            yield from other_tensors(entry.tensors, held(found.record), path=path)
    from reproven.digests import standardisation_digests  # imports torch

    try:
        said = json_object(artifacts.STANDARDISATION, found.text(artifacts.STANDARDISATION))
        has = standardisation_digests(said["mean"], said["scale"])
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise RecordError(f"{artifacts.STANDARDISATION} cannot be read: {error!r}.") from error
    for name, digest in found.record.inputs.standardisation.items():
        if has[name] != digest:
            yield f"{artifacts.STANDARDISATION} holds another {name} than the record."


def model_tensors(record: Record) -> dict[str, str]:
    """The digests of the tensors that a whole model must hold, by their names in it."""
    weights = {f"network.{name}": digest for name, digest in record.outcome.final_weights.items()}
    return {**weights, **record.inputs.standardisation}


def _final_weights(record: Record) -> Mapping[str, str]:
    return record.outcome.final_weights


def other_tensors(tensors: Mapping[str, str], wanted: Mapping[str, str], *, path: str) -> Iterator[str]:
    """The tensors of the record that a file of a model does not hold, or holds otherwise."""
    for name, digest in wanted.items():
        if tensors.get(name) != digest:
            yield f"{path} holds another tensor {name} than the record."


def _in_patch(found: Evidence) -> Iterator[str]:
    wanted = found.record.inputs.code.patch_sha256
    path = found.folder / artifacts.PATCH
    has = manifest.file_sha256(path) if path.is_file() and not path.is_symlink() else None
    if wanted != has:
        yield f"{artifacts.PATCH} has the digest {has}, but the record's code says {wanted}."
