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

from reproven.files import archive

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


def _arguments(call: Calls) -> bytes:
    return pickle.dumps(call.arguments, protocol=2)[2:-1]


def by_global(call: Calls) -> bytes:
    return b"\x80\x02c" + f"{call.module}\n{call.function}\n".encode() + _arguments(call) + b"R."


def by_stack_global(call: Calls) -> bytes:
    return b"\x80\x04" + _text(call.module) + _text(call.function) + b"\x93" + _arguments(call) + b"R."


def by_memo(call: Calls) -> bytes:
    """Both names are put away and fetched again, with a harmless pair between."""
    away = b"".join(_text(text) + b"\x94" + b"0" for text in (call.module, call.function))
    harmless = _text("collections") + _text("OrderedDict") + b"00"
    return b"\x80\x04" + away + harmless + b"h\x00h\x01\x93" + _arguments(call) + b"R."


def by_inst(call: Calls) -> bytes:
    return b"(" + pickle.dumps("x", protocol=0)[:-1] + f"i{call.module}\n{call.function}\n.".encode()


def by_obj(call: Calls) -> bytes:
    return b"(c" + f"{call.module}\n{call.function}\n".encode() + b"S'x'\no."


def by_newobj(call: Calls) -> bytes:
    return b"\x80\x02c" + f"{call.module}\n{call.function}\n".encode() + _arguments(call) + b"\x81."


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
