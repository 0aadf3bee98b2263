"""Hostile and broken files of models: each is refused by what was found, and nothing in it runs."""

from __future__ import annotations

import io
import math
import os
import pickle
import shutil
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fickling.fickle
import numpy as np
import pandas as pd
import pytest
import torch
from fickling.analysis import Severity, check_safety
from picklescan.scanner import SafetyLevel, scan_pickle_bytes
from torch import nn

from hostile import (
    ORDERED,
    SPELLINGS,
    Calls,
    by_global,
    child,
    edited,
    inner,
    put,
    rebuilt,
    records_of,
    regressor,
    saved,
    tampered,
    torch_archive,
    watched,
    zipped,
)
from reproven import Trained, audit, networks, predict, revive
from reproven.errors import RevivalError
from reproven.files import archive
from reproven.files.models import read_torch
from reproven.networks import Regressor
from reproven.store.registry import Registry
from reproven.store.store import Store

CODE = "open('ran', 'w').close()"
#: What the tests of picklescan (tests/test_scanner.py, tests/init_data_files.py) and of fickling
#: (test_attack_vectors.py, test_bypasses.py, test_cve_patterns.py, test_crashes.py) have pickles call.
CALLS = [
    Calls("posix system", "touch ran"),
    Calls("nt system", "touch ran"),
    Calls("os system", "touch ran"),
    Calls("os popen", "touch ran"),
    Calls("os execv", "/bin/touch", ["touch", "ran"]),
    Calls("os spawnlp", 0, "touch", "touch", "ran"),
    Calls("subprocess run", ["touch", "ran"]),
    Calls("subprocess call", ["touch", "ran"]),
    Calls("subprocess Popen", ["touch", "ran"]),
    Calls("subprocess check_output", ["touch", "ran"]),
    Calls("commands getoutput", "touch ran"),
    Calls("pty spawn", ["touch", "ran"]),
    Calls("shutil rmtree", "."),
    Calls("__builtin__ eval", CODE),
    Calls("__builtin__ apply", len, ("",)),
    Calls("builtins eval", CODE),
    Calls("builtins exec", CODE),
    Calls("builtins compile", CODE, "x", "exec"),
    Calls("builtins open", "ran", "w"),
    Calls("builtins getattr", "", "join"),
    Calls("builtins __import__", "antigravity"),
    Calls("builtins breakpoint"),
    Calls("builtins globals"),
    Calls("importlib import_module", "antigravity"),
    Calls("importlib.util find_spec", "antigravity"),
    Calls("pkgutil resolve_name", "os:system"),
    Calls("runpy run_path", "ran.py"),
    Calls("runpy run_module", "antigravity"),
    Calls("runpy _run_code", CODE, {}),
    Calls("code InteractiveInterpreter"),
    Calls("code InteractiveInterpreter.runcode", {}, CODE),
    Calls("code InteractiveConsole"),
    Calls("cProfile run", CODE),
    Calls("cProfile runctx", CODE, None, None),
    Calls("profile Profile.run", {}, CODE),
    Calls("profile Profile.runctx", {}, CODE, {}, {}),
    Calls("bdb Bdb.run", None, CODE),
    Calls("pdb run", CODE),
    Calls("timeit timeit", "", CODE),
    Calls("trace Trace.run", {}, CODE),
    Calls("trace Trace.runctx", {}, CODE, {}, {}),
    Calls("doctest debug_script", CODE, True),
    Calls("marshal loads", b"N"),
    Calls("types FunctionType"),
    Calls("types CodeType"),
    Calls("ctypes CDLL", None),
    Calls("ctypes.util find_library", "c"),
    Calls("operator attrgetter", "system"),
    Calls("operator itemgetter", 0),
    Calls("operator methodcaller", "system", "touch ran"),
    Calls("_operator methodcaller", "system", "touch ran"),
    Calls("functools partial", len),
    Calls("sys exit", 0),
    Calls("sys modules"),
    Calls("socket socket"),
    Calls("socket create_connection", ("example.invalid", 80)),
    Calls("ssl get_server_certificate", ("example.invalid", 443)),
    Calls("httplib HTTPSConnection", "example.invalid"),
    Calls("requests.api get", "https://example.invalid"),
    Calls("aiohttp.client ClientSession"),
    Calls("urllib.request urlopen", "https://example.invalid"),
    Calls("webbrowser open", "https://example.invalid"),
    Calls("imaplib IMAP4_stream", "touch ran"),
    Calls("asyncio.unix_events _UnixSubprocessTransport._start", {}, "touch ran", True, None, None, None, 0),
    Calls("multiprocessing.util spawnv_passfds", b"/bin/touch", [b"touch", b"ran"], ()),
    Calls("pydoc locate", "os.system"),
    Calls("pydoc pipepager", "", "touch ran"),
    Calls("pip main", ["install", "nothing"]),
    Calls("ensurepip _run_pip", ["install", "nothing"]),
    Calls("venv create", "ran"),
    Calls("uuid _get_command_stdout", "touch", "ran"),
    Calls("distutils.file_util write_file", "ran", ["x"]),
    Calls("logging FileHandler", "ran"),
    Calls("_io FileIO", "ran", "w"),
    Calls("_osx_support _read_output", "touch ran"),
    Calls("lib2to3.pgen2.grammar Grammar.loads", {}, b""),
    Calls("lib2to3.pgen2.pgen ParserGenerator.make_label", None, {}, CODE),
    Calls("idlelib.autocomplete AutoComplete.get_entity", {}, CODE),
    Calls("idlelib.autocomplete AutoComplete.fetch_completions", {}, CODE, 1),
    Calls("idlelib.calltip get_entity", CODE),
    Calls("idlelib.calltip Calltip.fetch_tip", {}, CODE),
    Calls("idlelib.debugobj ObjectTreeItem.SetText", {}, CODE),
    Calls("idlelib.pyshell ModifiedInterpreter.runcode", {}, CODE),
    Calls("idlelib.pyshell ModifiedInterpreter.runcommand", {}, CODE),
    Calls("idlelib.run Executive.runcode", {}, CODE),
    Calls("test.support.script_helper assert_python_ok", "-c", CODE),
    Calls("cloudpickle.cloudpickle subimport", "antigravity"),
    Calls("cloudpickle.cloudpickle _make_function", None),
    Calls("_pickle loads", b"N."),
    Calls("pickle loads", b"N."),
    Calls("numpy poly1d", [1]),
    Calls("numpy.f2py.crackfortran getlincoef", CODE, []),
    Calls("numpy.testing._private.utils runstring", CODE, {}),
    Calls("torch.serialization load", "ran.pth"),
    Calls("torch.hub load", "somebody/something"),
    Calls("torch._inductor.codecache compile_file", "", "", ["touch", "ran"]),
    Calls("torch._dynamo.guards GuardBuilder.get", {}, CODE),
    Calls("torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression", {}, CODE, []),
    Calls("torch.jit.unsupported_tensor_ops execWrapper", CODE, {}, {}),
    Calls("torch.utils._config_module ConfigModule.load_config", {}, b""),
    Calls("torch.utils.bottleneck.__main__ run_cprofile", CODE, {}),
    Calls("torch.utils.bottleneck.__main__ run_autograd_prof", CODE, {}),
    Calls("torch.utils.collect_env run", "touch ran"),
    Calls("torch.utils.collect_env run_and_read_all", None, "touch ran"),
    Calls("torch.utils.data.datapipes.utils.decoder basichandlers", "pickle", b""),
]
NAMES = [f"{call.module}.{call.function}" for call in CALLS]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def small(scratch: Path) -> Path:
    """A whole model with one feature and three weights."""
    path = scratch / "small.pth"
    torch.save(regressor(), path)
    revive(path)  # imports what it imports
    return path


def refusal(content: bytes | Path, name: str = "model.pth") -> str:
    """What is said of a file; nothing may happen while it is read."""
    path = content if isinstance(content, Path) else Path(name)
    if isinstance(content, bytes):
        path.write_bytes(content)
    before = sorted(Path().rglob("*"))
    with watched(), pytest.raises(RevivalError) as caught:
        revive(path)
    assert sorted(Path().rglob("*")) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


def is_called_dangerous(content: bytes) -> bool:
    """Whether picklescan or fickling says so too."""
    scanned = scan_pickle_bytes(io.BytesIO(content), "model.pkl")
    if any(found.safety is SafetyLevel.Dangerous for found in scanned.globals):
        return True
    pickles = fickling.fickle.StackedPickle.load(io.BytesIO(content), fail_on_decode_error=False)
    return any(check_safety(found).severity > Severity.LIKELY_SAFE for found in pickles)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_whatever_a_pickle_calls_is_refused_by_its_name(call: Calls) -> None:
    """Spelled in nine ways, bare and in torch's archive; the scanners agree that it is hostile."""
    assert is_called_dangerous(by_global(call)), call
    for spell in SPELLINGS:
        content = spell(call)
        wanted = "_pickle.loads" if spell.__name__ == "in_a_pickle" else f"{call.module}.{call.function}"
        for hidden in (content, torch_archive(content)):
            assert wanted in refusal(hidden).partition("it names ")[2], spell


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["model.pth", "model.pt", "model.bin", "model.pkl", "model.txt", "model"])
def test_neither_protocol_nor_suffix_matters(protocol: int, name: str) -> None:
    class RunsCommand:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch ran",)

    content = pickle.dumps({"weight": RunsCommand()}, protocol=protocol)
    assert is_called_dangerous(content)
    assert "posix.system" in refusal(content, name)
    assert "posix.system" in refusal(torch_archive(content), name)


def tarred(name: str, content: bytes, form: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=form) as opened:  # type: ignore[call-overload]
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        opened.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


EVIL = by_global(Calls("posix system", "touch ran"))
SOUND = torch_archive(pickle.dumps({"a": 1}, protocol=2))
NO_ARCHIVE: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "it is empty"),
    ("text", b"not a model", "it is no archive of torch.save"),
    ("html", b"<html>404</html>", "it is no archive of torch.save"),
    ("png", b"\x89PNG\r\n\x1a\n", "it is no archive of torch.save"),
    ("7z", b"7z\xbc\xaf\x27\x1c\x00\x04" + EVIL, "it is no archive of torch.save"),
    ("gzip", b"\x1f\x8b\x08" + bytes(50), "it is no archive of torch.save"),
    ("a name that is not UTF-8", b"cmod\n\xf8\n", "it is no archive of torch.save"),
    ("a pickle of bare numbers", pickle.dumps([1, 2], protocol=4), "it is no archive of torch.save"),
    ("numpy's pickle", npy(), "it is no archive of torch.save"),
    ("the old tar", tarred("pickle", EVIL, "w"), "it is no archive of torch.save"),
    ("tar.gz", tarred("data.pkl", EVIL, "w:gz"), "it is no archive of torch.save"),
    ("tar.bz2", tarred("data.pkl", EVIL, "w:bz2"), "it is no archive of torch.save"),
    ("a prefix", b"#!/bin/sh\n" + SOUND, "it is no archive of torch.save"),
    ("an empty zip", b"PK\x05\x06" + bytes(18), "it is no archive of torch.save"),
    ("half a zip", b"PK\x03\x04", "its ZIP archive is broken"),
    ("trailing bytes", SOUND + b"\n", "the bytes around them are not those of torch.save"),
    ("a pickle behind the zip", SOUND + EVIL, "the bytes around them are not those"),
]


def with_records(**records: bytes) -> bytes:
    return zipped(
        {"archive/data.pkl": b"\x80\x02}.", **{k.replace("__", "/"): v for k, v in records.items()}}
    )


def with_byteorder(order: bytes) -> bytes:
    return archive._spelled({**records_of(SOUND), "archive/byteorder": order})


LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
ODD_ARCHIVE: list[tuple[str, Callable[[], bytes], str]] = [
    ("another program's zip", lambda: zipped(records_of(SOUND)), "are not those of torch.save"),
    ("a bare pickle in a zip", lambda: zipped({"data.pkl": EVIL}), "'data.pkl', which torch.save does not"),
    ("nothing but a text", lambda: zipped({"readme.txt": b"hello"}), "which torch.save does not write"),
    ("no pickle", lambda: zipped({"archive/version": b"3\n"}), "are not those of torch.save"),
    ("deflated", lambda: zipped(records_of(SOUND), zipfile.ZIP_DEFLATED), "is compressed, from"),
    ("lzma", lambda: zipped(records_of(SOUND), zipfile.ZIP_LZMA), "is compressed, from"),
    (
        "a bomb",
        lambda: zipped({"archive/data/0": bytes(1 << 27)}, 8),
        "'archive/data/0' is compressed, from 134217728 bytes",
    ),
    (
        "a bomb in a bomb",
        lambda: zipped({"archive/data/0": zipped({"a": bytes(1 << 25)}, 8)}, 8),
        "is compressed, from",
    ),
    (
        "code",
        lambda: with_records(archive__code____torch__=b"open('ran', 'w')"),
        "torch.save does not",
    ),
    (
        "TorchScript",
        lambda: with_records(**{"archive/constants.pkl": EVIL}),
        "'archive/constants.pkl', which",
    ),
    ("a second pickle", lambda: with_records(**{"archive/more.pkl": EVIL}), "'archive/more.pkl', which"),
    ("two folders", lambda: with_records(**{"other/data.pkl": EVIL}), "'other/data.pkl', which torch.save"),
    ("deep", lambda: zipped({"a/b/c/d/data.pkl": EVIL}), "'a/b/c/d/data.pkl', which torch.save does not"),
    ("..", lambda: with_records(**{"archive/../../ran": b"x"}), "'archive/../../ran', a path that leads"),
    ("absolute", lambda: with_records(**{"/ran": b"x"}), "'/ran', a path that leads out"),
    ("backslash", lambda: with_records(**{"archive\\..\\ran": b"x"}), "a path that leads out"),
    ("data/00", lambda: with_records(**{"archive/data/00": b"x"}), "'archive/data/00', which torch.save"),
    ("an empty record", lambda: with_records(**{"archive/data/0": b""}), "'archive/data/0' is empty"),
    ("an archive inside", lambda: with_records(**{"archive/in.zip": SOUND}), "'archive/in.zip', which"),
    ("a wrong CRC", lambda: edited(SOUND, CENTRAL, 16, "<I", 7), "Bad CRC-32"),
    ("encrypted", lambda: edited(SOUND, CENTRAL, 8, "<H", 0x809), "'archive/data.pkl' is encrypted"),
    ("patched data", lambda: edited(SOUND, CENTRAL, 8, "<H", 0x828), "is broken: compressed patched data"),
    ("strongly encrypted", lambda: edited(SOUND, CENTRAL, 8, "<H", 0x848), "is broken: strong encryption"),
    ("two names", lambda: SOUND.replace(b"data.pkl", b"datap.kl", 1), "in directory 'archive/data.pkl' and"),
    ("a wrong size", lambda: edited(SOUND, CENTRAL, 24, "<I", 9), "is compressed, from 9 bytes to"),
    (
        "both sizes wrong",
        lambda: edited(edited(SOUND, CENTRAL, 24, "<I", 9), CENTRAL, 20, "<I", 9),
        "Bad CRC",
    ),
    (
        "absurd sizes",
        lambda: edited(edited(SOUND, CENTRAL, 24, "<I", 2**31), CENTRAL, 20, "<I", 2**31),
        "its records overlap, or are longer than the file",
    ),
    ("a wrong offset", lambda: edited(SOUND, CENTRAL, 42, "<I", 100), "Bad magic number for file header"),
    ("a date", lambda: edited(SOUND, LOCAL, 12, "<H", 33), "the bytes around them are not those"),
    ("a link", lambda: edited(SOUND, CENTRAL, 38, "<I", 0o120777 << 16), "the bytes around them are not"),
    ("a comment", lambda: SOUND[:-2] + b"\x04\x00evil", "the bytes around them are not those of torch.save"),
    ("big endian", lambda: with_byteorder(b"big"), "its record byteorder is b'big'"),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("content", "words"), [c[1:] for c in NO_ARCHIVE], ids=[c[0] for c in NO_ARCHIVE])
def test_what_is_no_archive_is_refused(content: bytes, words: str) -> None:
    assert words in refusal(content)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("make", "words"), [c[1:] for c in ODD_ARCHIVE], ids=[c[0] for c in ODD_ARCHIVE])
def test_an_archive_that_torch_did_not_write_is_refused_by_what_is_odd(
    make: Callable[[], bytes], words: str
) -> None:
    assert words in refusal(make())


def test_records_that_overlap_are_not_read_a_thousand_times() -> None:
    """A list that names one record's bytes over and over: a bomb without any compression."""
    content = torch_archive(b"\x80\x02}.", **{"data/0": bytes(1 << 20)})
    start = content.index(CENTRAL)
    place = content.index(b"archive/data/0", start) - 46
    entry = content[place : place + 46 + len("archive/data/0")]
    more = b"".join(
        entry.replace(b"data/0", b"data/%d" % n)[:46] + b"archive/data/%d" % n for n in range(1, 10)
    )
    end = content.index(b"PK\x06\x06")
    grown = edited(content[:end] + more + content[end:], b"PK\x05\x06", 12, "<I", end - start + len(more))
    for form, offset in (("<H", 8), ("<H", 10)):
        grown = edited(grown, b"PK\x05\x06", offset, form, 16)
    tail = grown.index(b"PK\x06\x06")
    grown = grown[:tail] + grown[tail + 56 + 20 :]  # without the 64-bit form of the same
    assert "its records overlap" in refusal(grown)


@pytest.mark.usefixtures("small")
def test_twice_the_same_record_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("archive/data.pkl", b"\x80\x02}.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("archive/data.pkl", EVIL)
    assert "two records named 'archive/data.pkl'" in refusal(buffer.getvalue())


ODD_PICKLE: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is empty"),
    ("no end", b"\x80\x02}", "its pickle is broken"),
    ("two ends", b"\x80\x02}.}.", "more follows after its end"),
    ("left over", b"\x80\x02}}.", "is left over"),
    ("nothing", b"\x80\x02.", "its pickle is broken"),
    ("protocol 4", pickle.dumps({"a": 1}, protocol=4), "its pickle has protocol 4"),
    ("protocol 5", pickle.dumps({"a": 1}, protocol=5), "its pickle has protocol 5"),
    ("no dict", b"\x80\x02K\x01.", "it holds a int"),
    ("a list", b"\x80\x02].", "it holds a list"),
    ("a text", b"\x80\x02X\x01\x00\x00\x00a.", "it holds a str"),
    ("a set", b"\x80\x02c__builtin__\nset\n]\x85R.", "it holds a set"),
    ("an empty dict", b"\x80\x02}.", "it holds an empty dict"),
    ("a class", b"\x80\x02creproven.networks\nRegressor\n.", "it holds a Regressor"),
    ("numbers for tensors", b"\x80\x02}X\x01\x00\x00\x00aK\x01s.", "its 'a' is a int, but must be a tensor"),
    ("keys that are no texts", b"\x80\x02}K\x01K\x01s.", "only texts are keys"),
    ("DUP, of a billion laughs", b"\x80\x02]2222.", "has the instruction DUP"),
    ("a list in itself", b"\x80\x02]q\x00h\x00a.", "it holds a list"),
    ("a dict in itself", b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", "its 'a' is a dict"),
    (
        "laughs by memo",
        b"\x80\x02"
        + b"".join(b"(" for _ in "12345678")
        + b"]"
        + b"".join(b"q%ch%ch%ch%c" % (n, n, n, n) + b"t" for n in range(8))
        + b".",
        "it holds a tuple",
    ),
    (
        "nested a hundred thousand times",
        b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
        "holds a list",
    ),
    ("a memo that is not there", b"\x80\x02h\x05.", "its pickle is broken"),
    ("a memo of 64 GiB", b"\x80\x02}r\xff\xff\xff\xff.", "it holds an empty dict"),
    ("a text of 4 GiB", b"\x80\x02X\xff\xff\xff\xff.", "its pickle is broken"),
    ("bytes of 16 EiB", b"\x80\x02\x8e" + b"\xff" * 8 + b".", "its pickle is broken"),
    ("a number of 2 GiB", b"\x80\x02\x8b\xff\xff\xff\x7f.", "its pickle is broken"),
    ("an extension", b"\x80\x02\x82\x01.", "has the instruction EXT1"),
    ("a persistent id", b"\x80\x02K\x01Q.", "the arguments of a call are no tuple"),
    ("a persistent id by text", b"P../../ran\n.", "has the instruction PERSID"),
    ("a call of a text", b"\x80\x02X\x01\x00\x00\x00a)R.", "what is called has no name"),
    ("a second state", b"\x80\x02ccollections\nOrderedDict\n)R}b}b.", "what gets a state cannot have one"),
    ("a state for a dict", b"\x80\x02}}b.", "what gets a state cannot have one"),
    ("only a mark", b"\x80\x02(.", "it holds a object"),
    ("a mark as a key", b"\x80\x02}((s.", "its pickle is broken"),
    (
        "a layer of a trillion weights",
        by_global(Calls("torch.nn.modules.linear Linear", 10**6, 10**6)),
        "it holds a Linear",
    ),
    (
        "a dict of such layers",
        b"\x80\x02}X\x01\x00\x00\x00a"
        + by_global(Calls("torch.nn.modules.linear Linear", 10**6, 10**6))[2:-1]
        + b"s.",
        "its 'a' is a Linear, but must be a tensor",
    ),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("content", "words"), [c[1:] for c in ODD_PICKLE], ids=[c[0] for c in ODD_PICKLE])
def test_a_pickle_that_describes_no_model_is_refused(content: bytes, words: str) -> None:
    assert words in refusal(torch_archive(content) if content else zipped({"archive/data.pkl": b""}))


ITEM, KEPT = b"X\x01\x00\x00\x00aK\x01s", b"}X\x01\x00\x00\x00aK\x01sb"
HOOKS = {
    "an item": ORDERED + ITEM,
    "a state": ORDERED + KEPT,
    "pairs": b"ccollections\nOrderedDict\n]\x85R",
    "a class": b"ccollections\nOrderedDict\n",
    "nothing": b"N",
    "another call": b"c__builtin__\nset\n)R",
}


@pytest.mark.parametrize("parameter", [None, ORDERED])
def test_the_pickle_that_the_odd_ones_are_made_from_is_sound(parameter: bytes | None, tmp_path: Path) -> None:
    (tmp_path / "sound.pth").write_bytes(rebuilt(parameter=parameter))
    read = read_torch(tmp_path / "sound.pth")
    assert isinstance(read, dict)
    assert torch.equal(read["w"], torch.zeros(2))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("hooks", HOOKS.values(), ids=HOOKS)
def test_hooks_of_a_tensor_and_of_a_parameter_are_refused(hooks: bytes) -> None:
    for content in (rebuilt(hooks=hooks), rebuilt(hooks=hooks, parameter=ORDERED), rebuilt(parameter=hooks)):
        assert "its tensor 'w' has hooks" in refusal(content)


def test_a_pickle_without_tensors_that_is_absurdly_large_is_refused_unread() -> None:
    assert "its pickle has 67108865 bytes, and at most 67108864 are read" in refusal(
        torch_archive(b"\x80" + bytes(1 << 26))
    )
    assert "its pickle has protocol 0" in refusal(torch_archive(b"\x80" + bytes((1 << 26) - 1)))


wide = torch.zeros(4, 4)
ODD_TENSOR: list[tuple[str, Callable[[], bytes], str]] = [
    (
        "a trillion from two",
        lambda: rebuilt(shape=(10**12,), stride=(0,)),
        "(1000000000000,), but its storage",
    ),
    (
        "expanded",
        lambda: saved({"w": torch.zeros(1).expand(1000)}),
        "the shape (1000,), but its storage holds 1",
    ),
    ("expanded to what fits", lambda: rebuilt(stride=(0,)), "has the strides (0,), not those of"),
    ("too large", lambda: rebuilt(shape=(3,)), "has the shape (3,), but its storage holds 2 numbers"),
    ("too small", lambda: rebuilt(shape=(1,)), "has the shape (1,), but its storage holds 2 numbers"),
    ("overflowing", lambda: rebuilt(shape=(2**33, 2**33)), "but its storage holds 2 numbers"),
    ("larger than any number", lambda: rebuilt(shape=(2**200,)), "has the shape a tuple, but its storage"),
    ("negative", lambda: rebuilt(shape=(-2, -1)), "has the shape a tuple, but its storage"),
    ("by texts", lambda: rebuilt(shape=("2",)), "has the shape a tuple, but its storage"),
    ("true by false", lambda: rebuilt(shape=(True, 2)), "has the shape a tuple, but its storage"),
    ("a number as shape", lambda: rebuilt(shape=2), "has the shape 2, but its storage"),
    ("of a thousand dimensions", lambda: rebuilt(shape=(1,) * 999 + (2,)), "has the shape a tuple"),
    ("an offset", lambda: rebuilt(offset=1), "has the shape (2,), but its storage holds 2 numbers"),
    ("a negative offset", lambda: rebuilt(offset=-1), "has the shape (2,), but its storage"),
    ("a storage that lies", lambda: rebuilt(count=10**15), "has a storage of 1000000000000000 numbers in 8"),
    ("a storage that is not there", lambda: rebuilt(key="1"), "has the storage '1', which is not there"),
    (
        "a path as storage",
        lambda: rebuilt(key="../../ran"),
        "has the storage '../../ran', which is not there",
    ),
    ("a storage of no tensor", lambda: rebuilt(more=b"x"), "its record data/1 belongs to no tensor"),
    ("a number as storage", lambda: rebuilt(key=0), "has the storage 0, which is not there"),
    ("a wrong type", lambda: rebuilt(kind="DoubleStorage"), "has a storage of 2 numbers in 8 bytes"),
    ("transposed", lambda: saved({"w": torch.zeros(2, 3).t()}), "has the strides (1, 3), not those of"),
    ("a part", lambda: saved({"w": wide[:2]}), "has the shape (2, 4), but its storage holds 16 numbers"),
    ("shared", lambda: saved({"w": wide, "v": wide.view(16)}), "which is not there or another tensor's"),
    ("int16", lambda: saved({"w": torch.zeros(2, dtype=torch.int16)}), "it names torch.ShortStorage"),
    ("int8", lambda: saved({"w": torch.zeros(2, dtype=torch.int8)}), "it names torch.CharStorage"),
    ("half", lambda: saved({"w": torch.zeros(2).half()}), "it names torch.HalfStorage"),
    ("bfloat16", lambda: saved({"w": torch.zeros(2).bfloat16()}), "it names torch.BFloat16Storage"),
    ("complex", lambda: saved({"w": torch.zeros(2) * 1j}), "it names torch.ComplexFloatStorage"),
    ("float8", lambda: saved({"w": torch.zeros(2).to(torch.float8_e5m2)}), "it names torch"),
    (
        "quantized",
        lambda: saved({"w": torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)}),
        "_rebuild_qtensor",
    ),
    ("sparse", lambda: saved({"w": torch.eye(2).to_sparse()}), "it names torch"),
    ("meta", lambda: saved({"w": torch.zeros(10**12, device="meta")}), "it names torch"),
    ("a bare tensor", lambda: saved(torch.zeros(2)), "it holds a _rebuild_tensor_v2"),
    ("a list of tensors", lambda: saved([torch.zeros(2)]), "it holds a list"),
    ("another tensor's numbers", lambda: saved({"w": {"v": torch.zeros(2)}}), "its 'w' is a dict"),
    ("numpy's", lambda: saved({"w": np.zeros(2)}), ".multiarray._reconstruct"),
]


@pytest.mark.usefixtures("small")
@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # torch, of what it is asked to save
@pytest.mark.parametrize(("make", "words"), [c[1:] for c in ODD_TENSOR], ids=[c[0] for c in ODD_TENSOR])
def test_a_tensor_that_is_not_the_whole_of_its_own_storage_is_refused(
    make: Callable[[], bytes], words: str
) -> None:
    assert words in refusal(make())


def turned(model: Regressor) -> None:
    model.network._modules["active1"] = model.network._modules.pop("active1")


def repeated(model: Regressor) -> None:
    model.network._modules["active2"] = model.network._modules["active1"]


def cyclic(model: Regressor) -> None:
    model.network._modules["active1"] = model.network


def itself(model: Regressor) -> None:
    model._modules["network"] = model


double = torch.zeros(1, dtype=torch.float64)
linear = nn.Linear
ODD_MODEL: list[tuple[str, Callable[[Regressor], Any], str]] = [
    ("forward", put("forward", "x"), "the regressor has or lacks the attribute 'forward'"),
    ("forward, a class", put("forward", networks.MLPModule), "attribute 'forward'"),
    ("standardise", put("standardise", None), "attribute 'standardise'"),
    ("__class__", put("__class__", networks.MLPModule), "attribute '__class__'"),
    ("__setstate__", put("__setstate__", linear), "attribute '__setstate__'"),
    ("forward of a layer", inner("network.hidden1", "forward", linear), "hidden1 has or lacks the attribute"),
    ("a hook", put("_forward_hooks", OrderedDict(a=linear)), "the attribute _forward_hooks of the regressor"),
    ("a pre-hook", put("_forward_pre_hooks", {"a": linear}), "the attribute _forward_pre_hooks"),
    ("a numbered hook", put("_backward_hooks", OrderedDict({0: linear})), "only texts are keys"),
    ("a hook of a layer", inner("network.hidden1", "_forward_hooks", {"a": 1}), "_forward_hooks of hidden1"),
    ("hooks as a list", put("_state_dict_hooks", [linear]), "the attribute _state_dict_hooks"),
    ("a backward hook's kind", put("_is_full_backward_hook", 1), "the attribute _is_full_backward_hook"),
    ("training, a tensor", put("training", torch.zeros(1)), "whether the regressor is training is a"),
    ("training, a text", inner("network", "training", "yes"), "whether network is training is a str"),
    ("no training", lambda model: model.__dict__.pop("training"), "attribute 'training'"),
    ("features, a list", put("features", ["x"]), "its features are no tuple of names"),
    ("features, a text", put("features", "x"), "its features are no tuple of names"),
    ("features, numbers", put("features", (1,)), "its features are no tuple of names"),
    ("no features", put("features", ()), "its features are no tuple of names"),
    ("two features", put("features", ("x", "z")), "its mean is not one float64 number for each of its 2"),
    ("target, a number", put("target", 1), "its target is no name"),
    ("target, None", put("target", None), "its target is no name"),
    ("no target", lambda model: model.__dict__.pop("target"), "its target is no name"),
    ("mean of float32", put("_buffers", {"mean": torch.ones(1), "scale": double}), "its mean is not one"),
    ("mean, a scalar", put("_buffers", {"mean": double[0].clone(), "scale": double}), "its mean is not one"),
    ("mean, a number", put("_buffers", {"mean": 1.5, "scale": double}), "its 'mean' is a float, but"),
    ("no scale", put("_buffers", {"mean": double}), "its scale is not one float64 number"),
    ("a third buffer", lambda model: model.register_buffer("more", torch.zeros(2)), "the _buffers of the"),
    ("buffers, a list", put("_buffers", [double]), "the _buffers of a module is a list"),
    ("buffers that are not kept", put("_non_persistent_buffers_set", {"mean"}), "_non_persistent_buffers"),
    ("a parameter", put("_parameters", {"w": torch.zeros(2)}), "the _parameters of the regressor"),
    ("no network", put("_modules", {}), "its network is a NoneType"),
    ("a second network", child("", "more", nn.ReLU()), "the submodules of the regressor"),
    ("a layer for a network", child("", "network", linear(1, 1)), "its network is a Linear"),
    ("a regressor in a regressor", child("", "network", regressor()), "'network.mean' is torch.float64"),
    ("itself as network", itself, "lies too deep, or is there twice"),
    ("a network in itself", cyclic, "lies too deep, or is there twice"),
    ("one layer in two places", repeated, "lies too deep, or is there twice"),
    ("too deep", child("network.active1", "a", nn.Sequential(nn.Sequential(nn.ReLU()))), "lies too deep"),
    ("an inner layer", child("network.active1", "a", nn.ReLU()), "the submodules of active1 are a"),
    ("a layer more", child("network", "last", linear(1, 1)), "the submodules of network are"),
    ("a layer less", lambda m: m.network._modules.pop("active1"), "the submodules of network are"),
    ("another order", turned, "the submodules of network are"),
    ("another kind of layer", child("network", "active1", linear(1, 1)), "which make no perceptron"),
    ("a layer that is none", child("network", "active1", nn.Sequential()), "'active1' is a Sequential, but"),
    ("a layer of another width", child("network", "hidden2", linear(7, 3)), "which make no perceptron"),
    ("two outputs", child("network", "regression", linear(3, 2)), "which make no perceptron"),
    ("a layer without bias", child("network", "hidden2", linear(2, 3, bias=False)), "bias' is a None"),
    ("a convolution", child("network", "hidden1", nn.Conv2d(1, 1, 1)), "which make no perceptron"),
    ("widths that lie", inner("network.hidden1", "in_features", 10**9), "in_features of hidden1 is 1000000"),
    ("widths that are no numbers", inner("network.hidden1", "out_features", None), "out_features of hidden1"),
    ("in place", inner("network.active1", "inplace", True), "the attribute inplace of active1 is True"),
    ("in place, by number", inner("network.active1", "inplace", 0), "the attribute inplace of active1 is 0"),
    ("float64 weights", lambda model: model.network.double(), "but must be torch.float32"),
    ("a name that is none", put("../../ran", 1), "has or lacks the attribute '../../ran'"),
]  # fmt: skip


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("change", "words"), [c[1:] for c in ODD_MODEL], ids=[c[0] for c in ODD_MODEL])
def test_a_model_with_anything_but_its_own_attributes_is_refused(
    change: Callable[[Regressor], Any], words: str
) -> None:
    assert words in refusal(tampered(change)())


def test_a_module_that_is_there_many_times_is_not_walked_through_again_and_again() -> None:
    """A hundred names for one module, three deep: a million visits of three modules."""
    model, module = regressor(), nn.Sequential()
    for _ in range(3):
        outer = nn.Sequential()
        for number in range(100):
            outer._modules[str(number)] = module
        module = outer
    model._modules["network"] = module
    assert "lies too deep, or is there twice" in refusal(saved(model))


@pytest.mark.parametrize("variant", ["module", "sequential"])
@pytest.mark.parametrize("hidden", [(1,), (10, 10), (300, 2, 5, 7)])
def test_what_is_revived_is_new_and_has_the_same_bits(variant: str, hidden: tuple[int, ...]) -> None:
    original = regressor(variant, hidden)
    last = original.network.get_submodule("regression")
    assert isinstance(last, nn.Linear)
    last.bias.data[0] = math.nan
    torch.save(original, "model.pth")
    torch.save(original.network.state_dict(), "weights.pth")
    with watched():
        model, weights = read_torch(Path("model.pth")), read_torch(Path("weights.pth"))
    assert isinstance(model, Regressor)
    assert isinstance(weights, dict)
    for read, wanted in (
        (model.state_dict(), original.state_dict()),
        (weights, original.network.state_dict()),
    ):
        assert list(read) == list(wanted)
        for name, tensor in read.items():
            assert tensor.numpy().tobytes() == wanted[name].numpy().tobytes()
            assert tensor.dtype == wanted[name].dtype
    assert str(model) == str(original)
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in original.parameters()]


def test_one_flipped_bit_in_any_byte_of_a_model_is_refused(small: Path, tmp_path: Path) -> None:
    content, path = bytearray(small.read_bytes()), tmp_path / "flipped.pth"
    for place in range(len(content)):
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(RevivalError):
            revive(path)
        content[place] ^= 1 << place % 8


@pytest.mark.slow
def test_any_flipped_bit_of_a_model_is_refused(small: Path, tmp_path: Path) -> None:
    content, path = bytearray(small.read_bytes()), tmp_path / "flipped.pth"
    for bit in range(8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(RevivalError):
            revive(path)
        content[bit // 8] ^= 1 << bit % 8


def test_a_model_cut_off_at_any_byte_is_refused(small: Path, tmp_path: Path) -> None:
    content, path = small.read_bytes(), tmp_path / "cut.pth"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(RevivalError):
            revive(path)


def test_a_file_of_a_terabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert "it has 1099511627776 bytes, and only files of less than" in refusal(path)


@pytest.mark.parametrize("kind", ["pipe", "folder", "nowhere"])
def test_what_is_no_file_is_not_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    {"pipe": os.mkfifo, "folder": os.mkdir, "nowhere": lambda path: path.symlink_to("gone")}[kind](path)
    with pytest.raises(RevivalError, match=r"model\.pth is not a file"):
        revive(path)


def test_a_module_that_mlflow_would_import_is_not(trained: Trained, uri: str, tmp_path: Path) -> None:
    """MLflow's own loader imports what pickle_module_info.txt names, and unpickles with it."""
    folder = Registry(Store(uri)).files(str(trained.model_uri), tmp_path)
    attacker, table = tmp_path / "attacker.py", tmp_path / "table.csv"
    attacker.write_text(CODE)
    path, original = folder / "data" / "pickle_module_info.txt", "pickle"
    mean = revive(Path(trained.artifact_uri) / "model.pth").mean.tolist()
    features = revive(Path(trained.artifact_uri) / "model.pth").features
    pd.DataFrame([mean], columns=list(features)).to_csv(table, index=False)
    wanted = predict("models:/shared@champion", table, tracking_uri=uri)[1]
    try:
        path.write_text("attacker")
        assert np.array_equal(predict("models:/shared@champion", table, tracking_uri=uri)[1], wanted)
        findings = audit(trained.run_id, tracking_uri=uri).findings
    finally:
        path.write_text(original)
    assert any("data/pickle_module_info.txt has changed" in finding for finding in findings)
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["recipe.json", "standardisation.json"])
@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 10**5, '{"a":1,"a":2}', '{"mean":NaN}', "\0"])
def test_a_state_dict_beside_a_broken_text_is_refused(
    files: Path, tmp_path: Path, name: str, text: str
) -> None:
    for part in ("state_dict.pth", "recipe.json", "standardisation.json"):
        shutil.copy(files / part, tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(RevivalError, match=name.replace(".", r"\.")):
        revive(tmp_path / "state_dict.pth")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("recipe.json", '"hidden":[10,10]', '"hidden":[1000000,1000000]'),
        ("recipe.json", '"hidden":[10,10]', '"hidden":[10]'),
        ("recipe.json", '"epochs":3', '"epochs":' + "9" * 4000),
        ("recipe.json", '"epochs":3', '"epochs":' + "9" * 9000),
        ("recipe.json", '"lr":0.001', '"lr":' + "9" * 4000),
        ("standardisation.json", '"CRIM",', ""),
        ("standardisation.json", '"CRIM"', "17"),
        ("standardisation.json", '"MEDV"', "null"),
        ("standardisation.json", '"mean": [', '"mean": [1e400,'),
        ("standardisation.json", '"mean": [', '"mean": [1,'),
        ("standardisation.json", '"mean": [', '"mean": ["a",'),
    ],
)
def test_a_state_dict_that_does_not_fit_what_is_beside_it_is_refused(
    files: Path, tmp_path: Path, name: str, old: str, new: str
) -> None:
    for part in ("state_dict.pth", "recipe.json", "standardisation.json"):
        shutil.copy(files / part, tmp_path)
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    with pytest.raises(RevivalError, match=name.replace(".", r"\.")):
        revive(tmp_path / "state_dict.pth")
