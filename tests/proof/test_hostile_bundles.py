"""Hostile and broken bundles: each is refused by what was found, none hangs, none writes outside."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from forging import copy, edit
from reproven import Recipe, audit, export, import_, replay, seal
from reproven.errors import InvalidInput, RecordError, ReprovenError
from reproven.files import manifest
from reproven.files.manifest import Entry, Manifest
from reproven.files.texts import json_value, read_rows
from reproven.machine.environment import memory
from reproven.training.prepared import prepare
from reproven.values.snapshot import Snapshot


@pytest.fixture
def own(bundle: Path, tmp_path: Path) -> Path:
    """A bundle to be damaged."""
    return copy(bundle, tmp_path / "own")


def fit(bundle: Path, **more: Entry) -> None:
    """Writes a manifest that fits all texts, whatever they are; the models' entries stay as they are."""
    old = Manifest.read((bundle / "manifest.json").read_text()).files
    files = {}
    for path, entry in old.items():
        file = bundle / path
        is_text = file.is_file() and not file.is_symlink() and file.suffix in (".json", ".csv")
        files[path] = Entry(file.stat().st_size, manifest.file_sha256(file), {}) if is_text else entry
    manifest.write(bundle, Manifest({**files, **more}))


def everything(below: Path) -> list[tuple[str, int]]:
    """Every path outside of the bundles, with the time of its last change."""
    found = (path for path in below.rglob("*") if "own" not in path.parts)
    return sorted((str(path), path.lstat().st_mtime_ns) for path in found if not path.is_dir())


def refused(own: Path, words: str, uri: str, client: MlflowClient) -> None:
    """Every reader of a bundle names it; import and export create nothing, and nobody writes outside."""
    before = everything(own.parent)
    findings = audit(str(own)).findings
    assert any(words in finding for finding in findings), findings
    for read in (
        lambda: seal(str(own)),
        lambda: import_(own, experiment="never", tracking_uri=uri),
        lambda: export(str(own), own.parent / "out", tracking_uri=uri),
    ):
        with pytest.raises(RecordError) as caught:
            read()
        assert words in str(caught.value)
    assert client.get_experiment_by_name("never") is None
    assert everything(own.parent) == before


def link(path: Path) -> None:
    path.symlink_to(path.rename(path.parent.parent / f"outside {path.name}"))


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def listener(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's whole path has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    path.unlink()
    try:
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero: it has no end
    except PermissionError:
        pytest.skip("only root makes devices")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def terabyte(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 40)


SPECIAL: list[tuple[Callable[[Path], None], str]] = [
    (link, "is a symbolic link"),
    (loop, "is a symbolic link"),
    (dangling, "is a symbolic link"),
    (pipe, "is a named pipe, but must be a plain file"),
    (listener, "is a socket, but must be a plain file"),
    (device, "is a device, but must be a plain file"),
    (folder, "is a folder, but must be a plain file"),
    (terabyte, "has 1099511627776 bytes, but no file of a record has more than 4294967296"),
]


@pytest.mark.parametrize("name", ["run.json", "recipe.json", "losses.csv", "model.pth", "state_dict.pth"])
@pytest.mark.parametrize(("change", "words"), SPECIAL, ids=[change.__name__ for change, _ in SPECIAL])
def test_what_is_no_plain_file_is_named_and_not_opened(
    change: Callable[[Path], None], words: str, name: str, own: Path, uri: str, client: MlflowClient
) -> None:
    change(own / name)
    refused(own, f"{name} {words}", uri, client)


def test_a_folder_behind_a_link_is_not_looked_into(own: Path, uri: str, client: MlflowClient) -> None:
    link(own / "figures")
    refused(own, "figures/target.png is a symbolic link or lies behind one", uri, client)


@pytest.mark.parametrize("change", [link, pipe, folder], ids=lambda change: change.__name__)
def test_a_manifest_that_is_no_plain_file_is_no_manifest(
    change: Callable[[Path], None], own: Path, uri: str, client: MlflowClient
) -> None:
    change(own / "manifest.json")
    if change is link:
        refused(own, "manifest.json is a symbolic link", uri, client)
    else:
        with pytest.raises(RecordError, match=r"a folder without manifest\.json"):
            audit(str(own))


def test_a_bundle_that_is_a_link_is_refused_by_where_it_leads(own: Path, uri: str, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(own)
    for read in (audit, seal, lambda run: import_(run, tracking_uri=uri)):
        with pytest.raises(RecordError, match=r"latest is a symbolic link\. Give the folder .*own"):
            read(str(tmp_path / "latest"))


def test_what_lies_beside_the_record_is_not_imported(own: Path, uri: str, client: MlflowClient) -> None:
    os.mkfifo(own / "pipe")
    (own / "outside").symlink_to("/etc")
    (own / "new\nline").write_text("x")
    (own / os.fsdecode(b"\xff")).write_text("x")
    found = audit(str(own))
    assert found.findings == ()
    assert all(name in found.notes[0] for name in ("pipe", "outside", "new\\nline", "\\udcff"))
    files = Path(client.get_run(import_(own, experiment="beside", tracking_uri=uri)).info.artifact_uri)
    listed = Manifest.read((own / "manifest.json").read_text()).files
    assert {p.relative_to(files).as_posix() for p in files.rglob("*") if not p.is_dir()} == {
        *listed,
        "manifest.json",
    }


PATHS = [
    *(
        "../ran",
        "a/../../ran",
        "/ran",
        "//ran",
        "./ran",
        "a//b",
        "a/./b",
        "a/",
        "",
        ".",
        "..",
        "a\\b",
        "..\\ran",
    ),
    *("C:\\ran", "\0", "a\0b", "a\nb", "\x1b[2J", "\u202egnp.exe", "\ud800", "a\tb", "x" * 256, "é" * 128),
]


@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_a_manifest_with_a_path_that_is_none_is_refused(
    path: str, own: Path, uri: str, client: MlflowClient
) -> None:
    listed = {"files": {path: {"size": 1, "sha256": "0" * 64}}, "format": 1, "sha256": "0" * 64}
    (own / "manifest.json").write_text(json.dumps(listed))
    refused(own, "manifest.json", uri, client)


@pytest.mark.parametrize(
    "path", ["a" * 255, "/".join("ab" for _ in range(2000)), "$HOME", "~", "-rf", "con", "é"]
)
def test_a_path_that_is_hard_to_handle_is_a_file_like_any_other(
    path: str, own: Path, uri: str, client: MlflowClient
) -> None:
    fit(own, **{path: Entry(1, "0" * 64, {})})
    refused(own, "is missing" if len(path) < 300 else "cannot be read: File name too long", uri, client)


def test_a_tensor_with_a_name_that_is_no_text_is_refused(own: Path) -> None:
    listed = {"files": {"a": {"size": 1, "sha256": "0", "tensors": {"\ud800": "0"}}}, "format": 1}
    (own / "manifest.json").write_text(json.dumps({**listed, "sha256": "0"}))
    assert "manifest.json is not a manifest: UnicodeEncodeError" in audit(str(own)).findings[0]


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


TEXTS: list[tuple[str, str]] = [
    ("nothing", ""),
    ("a list", "[]"),
    ("null", "null"),
    ("nested", nested(10**5)),
    ("nested objects", '{"a":' * 10**5 + "1" + "}" * 10**5),
    ("a key twice", '{"format": 1, "format": 1}'),
    ("NaN", '{"format": NaN}'),
    ("infinite", '{"format": -Infinity}'),
    ("too large for a float", '{"format": 1e999}'),
    ("a number of 10,000 digits", '{"format": ' + "9" * 10**4 + "}"),
    ("half a surrogate", '{"format": 1, "\\ud800": "\\udfff"}'),
    ("a byte order mark", "\ufeff{}"),
    ("a zero", "\0"),
    ("more behind it", '{"format": 1} {}'),
    ("another format", '{"format": 2}'),
    ("true for a format", '{"format": true}'),
    ("a text for a format", '{"format": "1"}'),
]
JSON = ("recipe.json", "inputs.json", "outcome.json", "environment.json", "run.json", "standardisation.json")


@pytest.mark.parametrize("name", [*JSON, "manifest.json"])
def test_a_text_that_is_no_such_json_is_refused_by_its_name(name: str, own: Path) -> None:
    for what, text in TEXTS:
        if (name, what) == ("environment.json", "another format"):
            continue  # any object will do
        (own / name).write_text(text)
        if name != "manifest.json":
            fit(own)
        findings = audit(str(own)).findings
        assert any(name in finding for finding in findings) or name == "environment.json", (what, findings)


def test_a_text_that_is_not_utf_8_or_absurdly_large_is_refused(own: Path) -> None:
    (own / "recipe.json").write_bytes(b"\xff\xfe{}")
    assert any("recipe.json cannot be read: 'utf-8' codec" in finding for finding in audit(str(own)).findings)
    with (own / "recipe.json").open("wb") as file:
        file.truncate((1 << 30) + 1)
    size = (1 << 30) + 1
    findings = audit(str(own)).findings
    assert f"recipe.json has {size} bytes, but no text of a record has over {1 << 30}." in findings


def each(field: str, *values: Any) -> list[tuple[str, Any]]:
    return [(field, value) for value in values]


TIMES = (-1, 2**63, 10**30, True, 1.0, "1")
PAGES = [
    *each("run_id", "", "x", "../../ran", "0" * 31, "g" * 32, 0),
    *each("name", "\0", "\ud800", "x" * 10**5, None),
    *each("experiment", "", " ", "\0", "\ud800", "x" * 501, []),
    *each("start_time", *TIMES),
    *each("end_time", *TIMES),
    *each("params", {"../ran": "1"}, {"/ran": "1"}, {"a" * 251: "1"}, {"": "1"}, {"lr": 1}),
    *each("tags", {"..": "1"}, {"a/../b": "1"}, {"\n": "1"}, {"a": "\ud800"}, {"a": None}),
    *each("tags", {"reproven.data.origin": "/etc/passwd"}),
    *each("datasets", {}, [{}], [{"name": "a"}], [[]], ["a"], None),
    *each("status", "RUNNING", "", None),
    *each("description", "\ud800"),
    *each("more", 1),
]


@pytest.mark.parametrize(("field", "value"), PAGES, ids=lambda value: ascii(value)[:30])
def test_a_page_that_no_store_would_take_is_refused_before_a_run_is_made(
    field: str, value: Any, own: Path, uri: str, client: MlflowClient
) -> None:
    page = json.loads((own / "run.json").read_text())
    page[field] = {**page[field], **value} if field in ("params", "tags") else value
    (own / "run.json").write_text(json.dumps(page))
    fit(own)
    refused(own, "run.json", uri, client)


ROWS = [
    *("../ran,0,1,1.0", "/ran,0,1,1.0", ",0,1,1.0", "x,-1,1,1.0", "x,1,-1,1.0", "x,1_0,1,1.0", "x,１,1,1.0"),
    *("x,9223372036854775808,1,1.0", "x,1,99999999999999999999,1.0", "x,1,1,nan", "x,1,1,inf", "x,1,1,1e999"),
    *(
        "x,1,1,1",
        "x,1,1,1_0.0",
        "x, 1,1,1.0",
        "x,1,1",
        "x,1,1,1.0,",
        "x,,,",
        "x,01,1,1.0",
        "x,1,1,0x1p3",
        "\0,1,1,1.0",
    ),
    *('"x,1,1,1.0', 'x,1,1,"1.0"x', "x" * 300 + ",1,1,1.0", "x," + "9" * 10**5 + ",1,1.0"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row)[:30])
def test_a_metric_that_no_store_would_take_is_refused_before_a_run_is_made(
    row: str, own: Path, uri: str, client: MlflowClient
) -> None:
    with (own / "metrics.csv").open("a") as file:
        file.write(f"{row}\n")
    fit(own)
    refused(own, "metrics.csv", uri, client)


STEPS = [
    *("12,3,0,0.5", "12,3,0,0.5,3f000001", "12,3,0,0.5,3f", "12,3,0,0.5,zz000000", "12,2,4,1e999,7f800001"),
    *(
        "-1,0,0,0.5,3f000000",
        "1٢,3,0,0.5,3f000000",
        "12,99999999999999999999,0,0.5,3f000000",
        ",,,,",
        "12,3,0,,",
    ),
]


@pytest.mark.parametrize("row", STEPS, ids=ascii)
def test_a_step_that_cannot_be_is_refused(row: str, own: Path, uri: str, client: MlflowClient) -> None:
    with (own / "losses.csv").open("a") as file:
        file.write(f"{row}\n")
    fit(own)
    refused(own, "losses.csv", uri, client)


def test_a_cell_of_a_megabyte_and_a_header_of_a_hundred_thousand_are_refused() -> None:
    for text in (
        "step\n" + "1" * (1 << 20) + "\n",
        ",".join(map(str, range(10**5))) + "\n1\n",
        "\r\n\r\n",
        '"',
    ):
        with pytest.raises(RecordError, match=r"weights\.csv"):
            read_rows("weights.csv", text, ("step",))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("epochs", 4, "recipe.json says 4 epochs, but losses.csv has 3 whole ones"),
        ("epochs", 2**31 - 1, "recipe.json says 2147483647 epochs, but losses.csv has 3 whole ones"),
        ("epochs", 10**18, "epochs is 1000000000000000000, but must be a whole number from 1 to 2147483647"),
        ("epochs", int("9" * 4000), "but must be a whole number from 1 to 2147483647"),
        ("lr", int("9" * 4000), "but must be greater than 0"),
        ("hidden", [2**31], "but must be whole numbers of at least 1"),
        ("hidden", [], "but must be whole numbers of at least 1"),
        ("hidden", {"a": 1}, "but must be whole numbers of at least 1"),
        ("data", "../../etc/passwd", "digest"),
        ("data", "/etc/passwd", "digest"),
    ],
)
def test_a_recipe_with_absurd_values_is_tampering_and_nothing_is_trained(
    field: str, value: Any, words: str, own: Path, uri: str, client: MlflowClient
) -> None:
    edit(own / "recipe.json", lambda recipe: recipe.update({field: value}))
    fit(own)
    refused(own, words, uri, client)
    found = replay(str(own), tracking_uri=uri)
    assert (found.verdict, found.exit_code) == ("TAMPERED", 4)


@pytest.mark.parametrize("hidden", [(100_000, 50_000), (2**31 - 1,), (2**31 - 1, 2**31 - 1)])
def test_a_network_larger_than_memory_is_refused_before_it_is_built(hidden: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        prepare(Recipe(hidden=hidden))
    there = memory() / 2**30
    assert f"GiB, but there are {there:.1f} GiB of memory here. Try --hidden 10,10." in str(caught.value)
    assert f"hidden is {','.join(map(str, hidden))}, which makes " in str(caught.value)


def test_a_bundle_whose_network_does_not_fit_into_memory_is_not_replayed(
    own: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is whole, on a machine that is too small for it."""
    monkeypatch.setattr("reproven.machine.environment.memory", lambda: 1000)
    found = replay(str(own), tracking_uri=uri)
    assert (found.verdict, found.exit_code) == ("INCONCLUSIVE", 3)
    assert found.reasons[0].startswith(
        "hidden is 10,10, which makes 261 weights. Training them needs 0.0 GiB"
    )


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "1", '"\\u0000"', "[1e5, -0.0, 1.5]", '{"a": {"a": 1}}'])
def test_a_sound_json_text_has_the_value_that_it_has_everywhere(text: str) -> None:
    assert json_value(text) == json.loads(text)


def bundles(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "a file"
    yield tmp_path / ("x" * 300)
    yield tmp_path / "nul\0"


def test_a_source_that_cannot_be_a_path_is_named(tmp_path: Path, uri: str) -> None:
    (tmp_path / "a file").write_text("x")
    for source in bundles(tmp_path):
        for read in (audit, seal, lambda run: import_(run, tracking_uri=uri)):
            with pytest.raises(ReprovenError):
                read(str(source))


def test_an_import_leaves_the_bundle_as_it_was(own: Path, uri: str) -> None:
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in own.rglob("*") if p.is_file()}
    run = import_(own, experiment="kept", tracking_uri=uri)
    shutil.rmtree(export(run, own.parent / "again", tracking_uri=uri))
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in own.rglob("*") if p.is_file()} == before
    assert Snapshot.read((own / "run.json").read_text()).status == "FINISHED"
