"""Remade: the files of a run, made anew from what was trained again, and which recorded ones are others.

A file is compared by what it says: a model by its class, names and numbers, metrics without their times.
What is drawn is compared byte by byte, so only where the same code and packages drew it before.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reproven.errors import RecordError, RevivalError
from reproven.files import disk, models, names
from reproven.files.front import OwnModel, shown_by
from reproven.files.texts import json_object
from reproven.logbooks import pictures
from reproven.logbooks.journal import Line
from reproven.runs import conduct
from reproven.store.images import IMAGES
from reproven.store.mlmodel import NOTED
from reproven.training.history import History
from reproven.values.metrics import read_metrics

if TYPE_CHECKING:
    from reproven.store.registry import Registry

_SAID = (
    *(names.METRICS, names.HISTOGRAMS, names.STANDARDISATION, names.CONFUSION, names.MODEL),
    names.STATE_DICT,
)
_TIME = "utc_time_created"  # in MLmodel
_IMAGE = re.compile(rf"{IMAGES}/weights\+step\+(\d{{1,9}})\+[^/]*?(\+compressed\.webp|\.png)")


class Other(NamedTuple):
    """A file that is another than the one made anew: its path, what it said, and what that says now."""

    path: str
    recorded: str
    found: str


def interval(histograms: str, epochs: int) -> int:
    """Epochs between two histograms of a record, as far as its file tells them."""
    try:
        kept = sorted(int(key) for key in json_object(names.HISTOGRAMS, histograms))
    except (RecordError, ValueError):
        return epochs
    return max(kept[1], 1) if len(kept) > 1 else epochs


def remake(into: Path, listed: Collection[str], history: History, lines: Sequence[Line]) -> None:
    """Makes the files of a record anew.

    Args:
        into: An empty folder.
        listed: The paths of the record; of figures, images and models only what is there is made.
        history: What was trained.
        lines: The journal of that training.
    """
    draws = pictures.TARGET in listed
    made = history.made
    outcome = conduct.write_outcome(into, history, lines, figures=draws)
    disk.write_text(into / names.STANDARDISATION, made.fitted_text)
    if draws:
        disk.write_bytes(into / pictures.TARGET, pictures.target(made.dataset.table))
    if names.MODEL in listed and history.failure is None:
        conduct.write_model(into, history, figures=False)
    if pictures.PREDICTED in listed and history.failure is None:
        pictures.predictions(into, history.predictions(), made.dataset.table)
    wanted = {path: _IMAGE.fullmatch(path) for path in listed}
    steps = {int(match[1]) for match in wanted.values() if match}
    for place, found in conduct.histograms(lines).items():
        if place in steps:
            with tempfile.TemporaryDirectory() as drawn:
                pictures.weights(Path(drawn), place, outcome.epochs_at(place), 0, found, owner="")
                for path, match in wanted.items():
                    if match and int(match[1]) == place:
                        (image,) = Path(drawn, IMAGES).glob(f"*[0-9a-f]{match[2]}")
                        disk.write_bytes(into / path, image.read_bytes())


def others(
    recorded: Path, again: Path, listed: Collection[str], *, is_same_code: bool
) -> tuple[list[Other], int, int]:
    """The recorded files that are others than those made anew, how many were compared, and how many not.

    Args:
        recorded: The folder of the record.
        again: Where `remake` made them.
        listed: The paths of the record.
        is_same_code: Whether code and packages are the recorded ones: else nothing that is drawn is compared.
    """
    paths = [path for path in listed if path in _SAID or (is_same_code and _is_drawn(path))]
    pairs = ((path, _said(recorded, path), _said(again, path)) for path in paths)
    skipped = 0 if is_same_code else sum(_is_drawn(path) for path in listed)
    return [Other(*pair) for pair in pairs if pair[1] != pair[2]], len(paths), skipped


def others_in_model(registry: Registry, source: str, recorded: Path) -> tuple[list[Other], int]:
    """The files of a logged model that are others than those that would be logged now, and their number.

    Args:
        registry: Where it is.
        source: Its `models:/` URI.
        recorded: The folder of its run's record.
    """
    with tempfile.TemporaryDirectory() as copy, tempfile.TemporaryDirectory() as again:
        logged = registry.files(source, Path(copy))
        shown = _shown(recorded / names.MODEL)
        registry.write_again(source, logged, recorded / names.MODEL, shown, Path(again))
        found = {
            path.relative_to(folder).as_posix()
            for folder in (logged, Path(again))
            for path in folder.rglob("*")
            if path.is_file() and path.name not in (names.MANIFEST, NOTED)
        }
        pairs = ((path, _said(logged, path), _said(Path(again), path)) for path in sorted(found))
        return [Other(f"{source}/{path}", was, now) for path, was, now in pairs if was != now], len(found)


def other_datasets(recorded: Sequence[Mapping[str, str]], found: Sequence[Mapping[str, str]]) -> list[Other]:
    """The dataset inputs of a record that are others than those that would be logged now."""
    was, now = (sorted((one["context"], one["digest"]) for one in some) for some in (recorded, found))
    return [] if was == now else [Other(f"{names.SNAPSHOT}, its dataset inputs", str(was), str(now))]


def _is_drawn(path: str) -> bool:
    return path in pictures.FILES or _IMAGE.fullmatch(path) is not None


def _said(folder: Path, path: str) -> str:
    """Digest of what a file says; of one that cannot be read, why."""
    if not (folder / path).is_file():
        return "missing"
    try:
        return hashlib.sha256(_content(folder / path, path)).hexdigest()
    except (RecordError, RevivalError) as error:
        return str(error)


def _content(file: Path, path: str) -> bytes:
    if path == names.METRICS:
        return repr([(row.key, row.step, row.value) for row in read_metrics(disk.read_text(file))]).encode()
    if path == "MLmodel":
        return "".join(line for line in disk.read_text(file).splitlines() if _TIME not in line).encode()
    if Path(path).name in (names.MODEL, names.STATE_DICT):
        return repr(_described(models.read_described(file))).encode()
    return file.read_bytes()


def _described(model: Any) -> Any:
    """Everything that a saved model holds: the reader refuses one that holds more."""
    digests = list(models.digests_of(model).items())
    if isinstance(model, dict):
        return digests
    whole = model.shown if isinstance(model, OwnModel) else model
    return (type(whole).__name__, type(whole.network).__name__, whole.features, whole.target), digests


def _shown(file: Path) -> dict[str, Any]:
    """The columns of a saved model, and of its predictions."""
    model = models.read_described(file)
    if isinstance(model, dict):
        return {"columns": []}
    return shown_by(model)
