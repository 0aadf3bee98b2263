"""Readers under fuzz: each takes any bytes, and either answers or raises this package's own errors."""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from reproven.errors import DataError, InvalidInput, RecordError, RevivalError
from reproven.files import models, pickles
from reproven.files.archive import OddArchive
from reproven.files.described import Odd
from reproven.files.manifest import Manifest
from reproven.files.names import LOSSES, WEIGHTS
from reproven.files.pickles import OddPickle
from reproven.files.texts import read_rows
from reproven.proof.contradictions import contradictions
from reproven.proof.evidence import Evidence
from reproven.recipes.recipe import Recipe
from reproven.tables import data
from reproven.values.metrics import read_metrics
from reproven.values.record import Record
from reproven.values.snapshot import Snapshot
from reproven.values.steps import read_losses, read_weights

REFERENCE = Path(__file__).parent.parent / "src" / "reproven" / "reference" / "module-sgd"
#: The files that a bundle is read from, in the order in which fuzzed bytes fill them.
FILES = (
    *("manifest.json", "run.json", "recipe.json", "inputs.json", "environment.json", "outcome.json"),
    *("losses.csv", "weights.csv", "metrics.csv", "standardisation.json", "model.pth", "state_dict.pth"),
)
RECORD_FILES = FILES[1:9]


@cache
def _scratch() -> Path:
    """A folder in the process's temporary one, which is for whoever began it to take away."""
    return Path(tempfile.mkdtemp())


def text_of(content: bytes) -> str:
    return content.decode(errors="replace")


def _says_something(error: Exception, name: str = "") -> None:
    assert str(error).strip(), "an error without words"
    assert name in str(error), "an error that does not name the file"


def recipe(content: bytes) -> None:
    try:
        read = Recipe.from_json(text_of(content))
    except InvalidInput as error:
        _says_something(error)
    else:
        assert Recipe.from_json(read.to_json()) == read


def bundle(content: bytes) -> None:
    """One file of a bundle is the given bytes but for the first, which says which; the others are sound."""
    name = FILES[content[0] % len(FILES)] if content else FILES[0]
    folder = _scratch() / "bundle"
    if not folder.exists():
        shutil.copytree(REFERENCE, folder)
    whole = (REFERENCE / name).read_bytes()
    (folder / name).write_bytes(content[1:])
    try:
        found = contradictions(Evidence("fuzzed", folder, None))
        assert content[1:] == whole or any(name in problem for problem in found), (name, found)
    finally:
        (folder / name).write_bytes(whole)


def record(content: bytes) -> None:
    """As `bundle`, but without a manifest that catches every change."""
    names = RECORD_FILES
    name = names[content[0] % len(names)] if content else names[0]

    def text(of: str) -> str:
        return text_of(content[1:]) if of == name else (REFERENCE / of).read_text()

    for read in (
        Record.read,
        lambda text: Snapshot.read(text("run.json")),
        lambda text: Manifest.read(text(name)),
    ):
        try:
            read(text)
        except RecordError as error:
            _says_something(error)


def record_csv(content: bytes) -> None:
    text = text_of(content)
    readers: Mapping[str, Callable[[], object]] = {
        "rows": lambda: read_rows("a.csv", text, ("step",)),
        LOSSES: lambda: read_losses(text),
        WEIGHTS: lambda: read_weights(text),
        "metrics.csv": lambda: read_metrics(text),
    }
    for read in readers.values():
        try:
            read()
        except RecordError as error:
            _says_something(error)


def table(content: bytes) -> None:
    """A user's file; the first byte says of which kind."""
    kinds = (".csv", ".parquet", ".txt.gz", ".feather", ".xlsx")
    path = _scratch() / f"table{kinds[content[0] % len(kinds) if content else 0]}"
    path.write_bytes(content[1:])
    for target in (None, "y", "2"):
        try:
            read = data.load(str(path), target=target)
        except DataError as error:
            _says_something(error, path.name)
        else:
            assert read.X.shape == (len(read.y), len(read.features))
            assert abs(read.X).max() < 4e38


def model(content: bytes) -> None:
    path = _scratch() / "model.pth"
    path.write_bytes(content)
    try:
        models.read_torch(path)
    except RevivalError as error:
        _says_something(error, path.name)


def pickled(content: bytes) -> None:
    """A pickle within a sound archive, as far as it says what would be made."""
    pickles.names(content)
    records = {"data/0": bytes(8), "data/1": bytes(16)}
    try:
        models._Reader(records).model(pickles.read(content))
    except (OddPickle, OddArchive, Odd) as error:
        _says_something(error)


def everything(content: bytes) -> None:
    """All of them but the slowest, the first byte saying which."""
    readers = list(READERS.values())[:-2]
    readers[content[0] % len(readers) if content else 0](content[1:])


READERS: Mapping[str, Callable[[bytes], None]] = {
    reader.__name__: reader
    for reader in (recipe, record, record_csv, table, model, pickled, bundle, everything)
}


def seeds(reader: str) -> list[bytes]:
    """What a reader takes as it is: where a fuzzer starts."""
    from reproven.files.archive import PICKLE, records

    if reader == "everything":
        each = [(number, seeds(name)) for number, name in enumerate(list(READERS)[:-2])]
        return [bytes([number]) + seed for number, found in each for seed in found]
    files = {name: (REFERENCE / name).read_bytes() for name in FILES}
    if reader == "bundle":
        return [bytes([number]) + files[name] for number, name in enumerate(FILES)]
    if reader == "record":
        return [bytes([number]) + files[name] for number, name in enumerate(RECORD_FILES)]
    if reader == "record_csv":
        return [b"\n".join(content.splitlines()[:4]) + b"\n" for n, content in files.items() if ".csv" in n]
    if reader == "table":
        csv = [b"\0a,b,y\n1,2,3\n4,5,7\n", b"\x001,2,3\n4,5,7\n", b'\0"a","b","y"\n1e3,-2,.5\n4,,x\n']
        dialects = [b"\0a;y\n1,5;2\n3;4,25\n", b"\0\xff\xfea\0\t\0y\0\n\0", b"\2" + gzip.compress(csv[0][1:])]
        return [*csv, *dialects, *binary_tables()]
    if reader == "model":
        return [files["model.pth"], files["state_dict.pth"]]
    if reader == "pickled":
        return [records(files[name])[PICKLE] for name in ("model.pth", "state_dict.pth")]
    return [files["recipe.json"]]


@cache
def binary_tables() -> list[bytes]:
    """A table as parquet, feather and workbook."""
    import pandas as pd

    frame = pd.DataFrame({"a": [1.0, 2.0], "y": [3.0, 5.0]})
    frame.to_parquet(parquet := _scratch() / "seed.parquet")
    frame.to_feather(feather := _scratch() / "seed.feather")
    frame.to_excel(workbook := _scratch() / "seed.xlsx", index=False)
    return [b"\1" + parquet.read_bytes(), b"\3" + feather.read_bytes(), b"\4" + workbook.read_bytes()]


def run(reader: str, folder: str, seconds: str) -> None:
    """Fuzzes a reader with atheris, which ends the process; what fails is printed with its stack trace."""
    import atheris

    for number, content in enumerate(seeds(reader)):
        (Path(folder) / f"seed-{number}").write_bytes(content)
    warnings.simplefilter("error")
    options = [f"-max_total_time={seconds}", "-rss_limit_mb=3000", "-timeout=10", "-max_len=20000", "-seed=1"]
    options += [f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, folder], READERS[reader])
    atheris.Fuzz()
