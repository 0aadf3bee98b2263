"""Files as an attacker would make them, and a watch over what happens while they are read."""

from __future__ import annotations

import encodings.cp437  # noqa: F401 (zipfile imports it for names that are not UTF-8)
import io
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from reproven.files import archive
from reproven.networks import Regressor
from reproven.training import building

#: What nothing may do while a file is read: start, import, run, connect or write something.
_FORBIDDEN = (
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile"),
    *("subprocess.Popen", "pty.spawn", "socket.", "ctypes.", "exec", "compile", "code.__new__", "import"),
    *("pickle.find_class", "marshal.", "webbrowser.open", "urllib.Request", "shutil.", "os.remove"),
    *("os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.truncate", "os.kill"),
)
_seen: list[list[tuple[str, Any]]] = []


def _hook(event: str, arguments: Any) -> None:
    is_write = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if _seen and (is_write or event.startswith(_FORBIDDEN)):
        _seen[-1].append((event, arguments[0] if arguments else None))


sys.addaudithook(_hook)  # for good; it looks only while something is watched


@contextmanager
def watched() -> Iterator[None]:
    """Fails where the block starts a process, imports, runs code, connects, or writes a file."""
    _seen.append([])
    try:
        yield
    finally:
        found = _seen.pop()
    assert not found


class Calls:
    """Pickles as a call of a function by its name, which need not exist here."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.module, _, self.function = name.partition(" ")
        self.arguments = arguments


def _text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def by_global(call: Calls) -> bytes:
    return b"\x80\x02c" + f"{call.module}\n{call.function}\n".encode() + dumped(call.arguments) + b"R."


def by_stack_global(call: Calls) -> bytes:
    return b"\x80\x04" + _text(call.module) + _text(call.function) + b"\x93" + dumped(call.arguments) + b"R."


def by_memo(call: Calls) -> bytes:
    """Both names are put away and fetched again, with a harmless pair between."""
    away = b"".join(_text(text) + b"\x94" + b"0" for text in (call.module, call.function))
    harmless = _text("collections") + _text("OrderedDict") + b"00"
    return b"\x80\x04" + away + harmless + b"h\x00h\x01\x93" + dumped(call.arguments) + b"R."


def by_inst(call: Calls) -> bytes:
    return b"(" + pickle.dumps("x", protocol=0)[:-1] + f"i{call.module}\n{call.function}\n.".encode()


def by_obj(call: Calls) -> bytes:
    return b"(c" + f"{call.module}\n{call.function}\n".encode() + b"S'x'\no."


def by_newobj(call: Calls) -> bytes:
    return b"\x80\x02c" + f"{call.module}\n{call.function}\n".encode() + dumped(call.arguments) + b"\x81."


def by_build(call: Calls) -> bytes:
    """The named thing is handed over as the state of something that is allowed."""
    inner = f"c{call.module}\n{call.function}\n".encode()
    return b"\x80\x02ccollections\nOrderedDict\n)R}U\x05itemsq\x00" + inner + b"sb."


def behind_another(call: Calls) -> bytes:
    """A harmless pickle, and the other one after its end."""
    return pickle.dumps(["a"], protocol=2) + by_global(call)


def in_a_pickle(call: Calls) -> bytes:
    return by_global(Calls("_pickle loads", by_global(call)))


SPELLINGS: tuple[Callable[[Calls], bytes], ...] = (
    *(by_global, by_stack_global, by_memo, by_inst, by_obj, by_newobj, by_build, behind_another),
    in_a_pickle,
)


def torch_archive(content: bytes, **more: bytes) -> bytes:
    """A pickle in an archive that is torch.save's to the last bit."""
    records = {
        "archive/data.pkl": content,
        "archive/.format_version": b"1",
        "archive/.storage_alignment": b"64",
        "archive/byteorder": b"little",
        **{f"archive/{name}": record for name, record in more.items()},
        "archive/version": b"3\n",
        "archive/.data/serialization_id": b"0" * 40,
    }
    return archive._spelled(records)


def records_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(records: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Records in an archive of Python's zipfile."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as opened:
        for name, record in records.items():
            opened.writestr(name, record)
    return buffer.getvalue()


def edited(content: bytes, signature: bytes, offset: int, form: str, value: int) -> bytes:
    """An archive with one field of its first such header replaced."""
    place = content.index(signature) + offset
    field = struct.pack(form, value)
    return content[:place] + field + content[place + len(field) :]


def saved(value: Any) -> bytes:
    """What torch.save writes of a value."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def dumped(value: Any) -> bytes:
    """The instructions that make a value, without a pickle's first and last."""
    return pickle.dumps(value, protocol=2)[2:-1]


ORDERED = b"ccollections\nOrderedDict\n)R"


def rebuilt(
    *,
    hooks: bytes = ORDERED,
    parameter: bytes | None = None,
    storage: bytes | None = None,
    end: bytes = b"tR",
    more: bytes = b"",
    **changed: Any,
) -> bytes:
    """The pickle of one tensor's rebuilding, with some of its arguments replaced.

    Args:
        hooks: The tensor's, as instructions.
        parameter: Those of a parameter that it is then the data of.
        storage: The tensor's, as instructions.
        end: Those that end the tensor.
        more: A second storage.
        changed: Other arguments.
    """
    numbers = {
        "key": "0",
        "count": 2,
        "kind": "FloatStorage",
        "offset": 0,
        "shape": (2,),
        "stride": (1,),
    } | changed
    if storage is None:
        key, count = dumped(numbers["key"]), dumped(numbers["count"])
        named = f"ctorch\n{numbers['kind']}\n".encode()
        storage = b"(" + dumped("storage") + named + key + dumped("cpu") + count + b"tQ"
    where = b"".join(dumped(numbers[name]) for name in ("offset", "shape", "stride"))
    content = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + where + b"\x89" + hooks + end
    if parameter is not None:
        content = b"ctorch._utils\n_rebuild_parameter\n(" + content + b"\x88" + parameter + b"tR"
    records = {"data/0": bytes(8), **({"data/1": more} if more else {})}
    return torch_archive(b"\x80\x02}" + dumped("w") + content + b"s.", **records)


def regressor(variant: str = "module", hidden: tuple[int, ...] = (1,)) -> Regressor:
    """A model of one feature."""
    network = building.build_mlp(variant, 1, hidden, init="default", bias=None, seed=0)
    one = torch.ones(1, dtype=torch.float64)
    return Regressor(network, one, one.clone(), ("x",), "y").eval()


def tampered(change: Callable[[Regressor], Any], variant: str = "module") -> Callable[[], bytes]:
    """What makes the file of a model of which something was changed before."""

    def make() -> bytes:
        value = regressor(variant, (2, 3))
        change(value)
        return saved(value)

    return make


def put(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda module: module.__dict__.__setitem__(name, value)


def inner(name: str, key: str, value: Any) -> Callable[[Regressor], Any]:
    return lambda model: model.get_submodule(name).__dict__.__setitem__(key, value)


def child(name: str, key: str, value: nn.Module) -> Callable[[Regressor], Any]:
    return lambda model: model.get_submodule(name)._modules.__setitem__(key, value)
