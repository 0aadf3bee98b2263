"""Contradictions: everything in which a run's files disagree, each in a sentence. No file is changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from reproven.errors import RecordError
from reproven.files import manifest, names
from reproven.files.manifest import WatchFiles, unwatched
from reproven.files.names import MANIFEST, METRICS, SNAPSHOT
from reproven.files.texts import json_object
from reproven.proof.evidence import Evidence
from reproven.recipes.options import as_typed, read_all
from reproven.recipes.recipe import Recipe
from reproven.recipes.settings import OPTIONS
from reproven.store.tags import (
    BEST_EPOCH,
    COMMIT,
    FAILURE,
    ORIGIN,
    OWN_TAG,
    PRUNED,
    RECIPE_TAG,
    REPLAY_OF,
    SEAL,
    SPLIT_TAG,
    TABLE_TAG,
)
from reproven.values.metrics import Best, Row, choosing_metric, last
from reproven.values.record import Record

#: The files that every record has.
_ALWAYS = (
    *(names.RECIPE, names.INPUTS, names.ENVIRONMENT, names.LOSSES, names.WEIGHTS, names.OUTCOME),
    *(names.STANDARDISATION, names.HISTOGRAMS, SNAPSHOT, METRICS),
)


def contradictions(found: Evidence, watch: WatchFiles = unwatched) -> list[str]:
    """Everything in which a run's files contradict each other, their manifest or the run's tags.

    Args:
        found: The files.
        watch: Passes the files of the manifest through.
    """
    try:
        listed = found.manifest
    except RecordError as error:
        return [str(error)]
    problems = []
    if found.tags is not None and found.seal != found.tags[SEAL]:
        problems.append(
            f"{MANIFEST} has the digest {found.seal}, but the tag {SEAL} says {found.tags[SEAL]}."
        )
    problems += manifest.check(listed, found.folder, watch)
    for look in (_in_list, _in_snapshot, _in_metrics, _in_tensors, _in_sources, _in_patch):
        try:
            problems += look(found)
        except RecordError as error:
            problems.append(str(error))
    return list(dict.fromkeys(problems))


def _in_list(found: Evidence) -> Iterator[str]:
    """Whether the manifest lists what every record has, and both forms of a model that was trained."""
    needed = list(_ALWAYS)
    if found.record.outcome.failure is None and REPLAY_OF not in found.snapshot.tags:
        needed += [names.MODEL, names.STATE_DICT]
    for name in needed:
        if name not in found.manifest.files:
            yield f"{MANIFEST} does not list {name}, which such a record has."


def _in_snapshot(found: Evidence) -> Iterator[str]:
    recipe, shown = found.record.inputs.recipe, found.snapshot
    said = {
        RECIPE_TAG: recipe.sha256,
        TABLE_TAG: recipe.data_sha256,
        SPLIT_TAG: found.record.inputs.split_sha256,
    }
    if (own := found.record.inputs.own) is not None and OWN_TAG in shown.tags:  # older versions wrote none
        said[OWN_TAG] = own.sha256
    for name, digest in said.items():
        if shown.tags.get(name) != digest:
            yield f"The record has the digest {digest}, but {SNAPSHOT} says {name} {shown.tags.get(name)}."
    commit, outcome = found.record.inputs.code.commit, found.record.outcome
    best = None if outcome.best_epoch is None else str(outcome.best_epoch)
    whys = {FAILURE: outcome.failure, PRUNED: outcome.pruned, BEST_EPOCH: best}
    told = whys if REPLAY_OF not in shown.tags else {}
    for name, value in {**({COMMIT: commit} if commit else {}), **told}.items():
        if shown.tags.get(name) != value:
            yield f"The record says {value}, but {SNAPSHOT} says {name} {shown.tags.get(name)}."
    if not (origin := shown.tags.get(ORIGIN, "https:")).startswith(("http:", "https:")):
        yield f"{SNAPSHOT} says {ORIGIN} {origin!r}, but a run that travels names no place of a machine."
    yield from (f"{SNAPSHOT}: {problem}" for problem in other_params(shown.params, recipe))
    if shown.status != found.record.outcome.status:
        yield f"{SNAPSHOT} says {shown.status}, but by its outcome it is {found.record.outcome.status}."


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
    values, _ = read_all(OPTIONS, {name: as_typed(text)})
    if name not in values or not OPTIONS[name].accepts(values[name]):
        return False
    return bool(OPTIONS[name].cast(values[name]) == value)


def _in_metrics(found: Evidence) -> Iterator[str]:
    """The losses and the last errors against the metrics as sent."""
    losses = {step.step: step.loss for step in found.record.outcome.steps if math.isfinite(step.loss)}
    sent = {row.step: row.value for row in found.rows if row.key == "train_loss"}
    for step in sorted(losses.keys() | sent.keys()):
        if losses.get(step) != sent.get(step):
            yield f"Step {step} has the loss {losses.get(step)}, but {METRICS} says {sent.get(step)}."
    sent_last = {key: row.value for key, row in last(found.rows).items()}
    for name, value in found.record.outcome.errors.items():
        if sent_last.get(name) != value:
            yield f"The outcome's {name} is {value}, but {METRICS} says {sent_last.get(name)}."
    if found.record.outcome.best_epoch is not None:
        yield from _in_epochs(found.record, found.rows)


def _in_epochs(record: Record, rows: Sequence[Row]) -> Iterator[str]:
    """Whether the weights of the best epoch were kept, and training went on as long as it had to."""
    patience, epochs = record.inputs.recipe.patience, len(record.outcome.epoch_weights)
    errors: dict[int, dict[str, float]] = {step: {} for step in range(1, epochs + 1)}
    for row in rows:
        if row.step in errors and row.key in record.outcome.errors:
            errors[row.step][row.key] = row.value
    metric = choosing_metric("validation", record.inputs.recipe.task)
    best = Best(metric=metric, patience=patience or epochs)
    for step, found in errors.items():
        if best.metric not in found:
            yield f"{METRICS} lacks the {best.metric} after {step} epochs."
            return
        if best.has_waited:
            yield f"By {METRICS} training had to stop after {best.epochs} epochs, and not after {epochs}."
            return
        best = best.after(found)
    if best.epoch != (kept := record.outcome.best_epoch):
        yield f"By {METRICS} the best weights stood after {best.epoch} epochs, and not after {kept}."
    for name, value in record.outcome.errors.items():
        if (said := best.errors.get(name)) != value:
            yield f"The outcome's {name} is {value}, but {METRICS} says {said} after {best.epoch} epochs."


def _in_tensors(found: Evidence) -> Iterator[str]:
    """Both forms of the model, and the standardisation, against the record."""
    for path, held in ((names.MODEL, model_tensors), (names.STATE_DICT, _final_weights)):
        entry = found.manifest.files.get(path)
        if entry is not None:
            yield from other_tensors(entry.tensors, held(found.record), path=path)
    from reproven.files.digests import fitted_digests

    try:
        said = json_object(names.STANDARDISATION, found.text(names.STANDARDISATION))
        has = fitted_digests({name: said[name] for name in found.record.inputs.standardisation})
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise RecordError(f"{names.STANDARDISATION} cannot be read: {error!r}.") from error
    for name, digest in found.record.inputs.standardisation.items():
        if has[name] != digest:
            yield f"{names.STANDARDISATION} holds another {name} than the record."


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


def _in_sources(found: Evidence) -> Iterator[str]:
    own = found.record.inputs.own
    wanted = {} if own is None else {f"{names.OWN}/{path}": digest for path, digest in own.files.items()}
    has = {path: one.sha256 for path, one in found.manifest.files.items() if path.startswith(f"{names.OWN}/")}
    for path in sorted(wanted.keys() | has.keys()):
        if wanted.get(path) != has.get(path):
            yield f"{path} has the digest {has.get(path)}, but the record's own code says {wanted.get(path)}."


def _in_patch(found: Evidence) -> Iterator[str]:
    inputs = found.record.inputs
    for name, code in ((names.PATCH, inputs.code), (names.OWN_PATCH, inputs.own)):
        wanted = code.patch_sha256 if code is not None else None
        path = found.folder / name
        has = manifest.file_sha256(path) if path.is_file() and not path.is_symlink() else None
        if wanted != has:
            yield f"{name} has the digest {has}, but the record's code says {wanted}."
