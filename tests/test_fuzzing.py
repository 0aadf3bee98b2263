"""Readers under fuzz, for a bounded time: any bytes are answered or refused with words, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fuzzing
from conftest import ROOT
from reproven.recipes.settings import OPTIONS

BOUNDED = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    10**30,
    1e-320,
    1.5,
    "",
    " ",
    "\0",
    "\ud800",
    "ß",
    "1",
    "nan",
    "x" * 999,
)
SCALARS = st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
CELLS = st.sampled_from(
    ["", " ", "1", "-0.5", "1e999", "nan", "x", '"', "1_0", "é", "\x00", "\ufeff", "0x1", "1,"]
)
LINES = st.lists(st.lists(CELLS | st.text(max_size=5) | st.floats().map(str), max_size=5), max_size=6)
CSV = st.builds(
    lambda rows, end: end.join(",".join(row) for row in rows), LINES, st.sampled_from(["\n", "\r\n", "\r"])
)


@pytest.fixture(scope="module", autouse=True)
def scratch() -> Iterator[None]:
    """Where readers find their files: in memory, where there is such a place. A fuzzer leaves its own."""
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
        fuzzing._scratch.cache_clear()


def as_bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a JSON value has values, itself among them."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, held in items for place in places(held, (*above, key)))]


def with_odd(text: str, choice: int, odd: Any) -> str:
    """A JSON text with the value at one of its places replaced."""
    value = json.loads(text)
    found = places(value)
    place = found[choice % len(found)]
    if not place:
        return json.dumps(odd)
    held = value
    for key in place[:-1]:
        held = held[key]
    held[place[-1]] = odd
    return json.dumps(value)


def damaged(whole: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes with some stretches of them replaced by others."""
    content = whole
    for start, length, new in cuts:
        place = start % (len(content) + 1)
        content = content[:place] + new + content[place + length :]
    return content


CUTS = st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 40), st.binary(max_size=20)), max_size=3)


@BOUNDED
@given(fields=st.dictionaries(st.sampled_from(["format", *OPTIONS]), VALUES, max_size=6), cuts=CUTS)
def test_the_recipe_reader_takes_any_json(fields: dict[str, Any], cuts: list[tuple[int, int, bytes]]) -> None:
    text = as_bytes(json.dumps({"format": 1, **fields}))
    fuzzing.recipe(text)
    fuzzing.recipe(damaged(text, cuts))


@BOUNDED
@given(choice=st.integers(0, 10**4), odd=VALUES)
def test_the_recipe_reader_takes_any_value_in_any_place(choice: int, odd: Any) -> None:
    text = (fuzzing.REFERENCE / "recipe.json").read_text()
    fuzzing.recipe(as_bytes(with_odd(text, choice, odd)))


JSON_FILES = [number for number, name in enumerate(fuzzing.FILES) if name.endswith(".json")]


@settings(BOUNDED, max_examples=100)
@given(number=st.sampled_from(JSON_FILES), choice=st.integers(0, 10**4), odd=VALUES)
def test_the_bundle_reader_takes_any_value_in_any_place(number: int, choice: int, odd: Any) -> None:
    text = (fuzzing.REFERENCE / fuzzing.FILES[number]).read_text()
    content = as_bytes(with_odd(text, choice, odd))
    fuzzing.bundle(bytes([number]) + content)
    if fuzzing.FILES[number] in fuzzing.RECORD_FILES:
        fuzzing.record(bytes([fuzzing.RECORD_FILES.index(fuzzing.FILES[number])]) + content)


@settings(BOUNDED, max_examples=100)
@given(number=st.integers(0, len(fuzzing.FILES) - 1), cuts=CUTS)
def test_the_bundle_reader_takes_any_bytes(number: int, cuts: list[tuple[int, int, bytes]]) -> None:
    whole = (fuzzing.REFERENCE / fuzzing.FILES[number]).read_bytes()
    fuzzing.bundle(bytes([number]) + damaged(whole, cuts))


@BOUNDED
@given(text=CSV, cuts=CUTS)
def test_the_readers_of_a_record_s_csv_take_any_text(text: str, cuts: list[tuple[int, int, bytes]]) -> None:
    for seed in fuzzing.seeds("record_csv"):
        header, rows = seed.split(b"\n", 1)
        fuzzing.record_csv(damaged(seed, cuts))
        fuzzing.record_csv(header + b"\n" + as_bytes(text))
        fuzzing.record_csv(header + b"\n" + damaged(rows, cuts))


@BOUNDED
@given(text=CSV, cuts=CUTS)
def test_the_reader_of_a_table_takes_any_text(text: str, cuts: list[tuple[int, int, bytes]]) -> None:
    fuzzing.table(b"\0" + as_bytes(text))
    fuzzing.table(damaged(b"\0a,b,y\n1,2,3\n4,5,7\n8,9,1\n", cuts))


@BOUNDED
@given(cuts=CUTS)
def test_the_reader_of_a_binary_table_takes_any_bytes(cuts: list[tuple[int, int, bytes]]) -> None:
    for seed in fuzzing.binary_tables():
        fuzzing.table(seed[:1] + damaged(seed[1:], cuts))


@BOUNDED
@given(number=st.integers(0, 1), cuts=CUTS)
def test_the_reader_of_a_model_takes_any_bytes(number: int, cuts: list[tuple[int, int, bytes]]) -> None:
    fuzzing.model(damaged(fuzzing.seeds("model")[number], cuts))
    fuzzing.pickled(damaged(fuzzing.seeds("pickled")[number], cuts))


FUZZ = """
import sys, atheris
with atheris.instrument_imports(include=["reproven"]):
    import fuzzing
fuzzing.run(*sys.argv[1:])
"""


def fuzz(reader: str, seconds: int, folder: Path) -> int:
    """Fuzzes a reader with atheris in a process of its own, and returns how many inputs it was given."""
    folder.mkdir()
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, reader, str(folder), str(seconds)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return int(re.findall(r"Done (\d+) runs", done.stderr)[0])


@pytest.mark.slow
def test_readers_stand_five_seconds_of_coverage_guided_fuzzing(tmp_path: Path) -> None:
    assert fuzz("everything", 5, tmp_path / "fuzz") > 500


@pytest.mark.slow
@pytest.mark.parametrize("reader", [name for name in fuzzing.READERS if name != "everything"])
def test_each_reader_stands_a_minute_of_coverage_guided_fuzzing(reader: str, tmp_path: Path) -> None:
    assert fuzz(reader, 60, tmp_path / "fuzz") > 1000
