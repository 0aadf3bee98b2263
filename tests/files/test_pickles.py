"""A pickle as a description: each instruction of torch.save is taken down, and any other is refused."""

from __future__ import annotations

from typing import Any

import pytest

from hostile import dumped
from reproven.files import pickles
from reproven.files.pickles import PERSISTENT, Made, Named, OddPickle

CALL = b"cmod\nname\n"
A, B = dumped("a")[:-2], dumped("b")[:-2]  # without the memo's instruction

VALUES: dict[bytes, Any] = {
    A: "a",
    b"M\x01\x02": 513,
    b"K\x07": 7,
    b"J\xff\xff\xff\xff": -1,
    b"\x8a\x05\x00\x00\x00\x00\x01": 1 << 32,
    b"G\x3f\xf8" + bytes(6): 1.5,
    b"N": None,
    b"\x88": True,
    b"\x89": False,
    b")": (),
    b"}": {},
    b"]": [],
    b"N\x85": (None,),
    b"NK\x01\x86": (None, 1),
    b"NK\x01K\x02\x87": (None, 1, 2),
    b"(NK\x01K\x02K\x03t": (None, 1, 2, 3),
    b"]K\x01a": [1],
    b"]K\x01a(K\x02K\x03e": [1, 2, 3],
    b"}" + A + b"K\x01s": {"a": 1},
    b"}(" + A + b"K\x01" + B + b"K\x02u": {"a": 1, "b": 2},
    b"K\x01K\x02q\x05h\x05\x87": (1, 2, 2),
    b"K\x01K\x02r\x05\x00\x00\x00j\x05\x00\x00\x00\x87": (1, 2, 2),
    CALL: Named("mod name"),
    b"K\x01\x85Q": Made(PERSISTENT, (1,)),
    CALL + b"K\x01\x85R": Made("mod name", (1,)),
    CALL + b"K\x01\x85\x81": Made("mod name", (1,)),
    CALL + b")R" + A + b"K\x01s": Made("mod name", (), {"a": 1}),
    CALL + b")RK\x01b": Made("mod name", (), {}, 1),
}


@pytest.mark.parametrize(("content", "value"), VALUES.items())
def test_each_instruction_of_torch_is_taken_down(content: bytes, value: Any) -> None:
    for begun in (b"", b"\x80\x02"):
        found = pickles.read(begun + content + b".")
        assert found == value
        assert type(found) is type(value)


BROKEN = "its pickle is broken: "
ODD: dict[bytes, str] = {
    b"\x80\x04N.": "its pickle has protocol 4, but torch.save writes 2",
    b"N2.": "its pickle has the instruction DUP, which torch.save does not write",
    b"Ni.": BROKEN + "no newline found when trying to read stringnl",
    b"N": BROKEN + "pickle exhausted before seeing STOP",
    b"I" + b"x" * 300 + b"\n.": BROKEN + ("invalid literal for int() with base 10: b'" + "x" * 300)[:200],
    b"N.N": BROKEN + "more follows after its end, or is left over",
    b"N.N.": BROKEN + "more follows after its end, or is left over",
    b"NN.": BROKEN + "more follows after its end, or is left over",
    b".": BROKEN + "more follows after its end, or is left over",
    b"h\x05.": BROKEN + "5",
    b"K\x01\x86.": BROKEN + "the stack is too short",
    b")K\x01a.": BROKEN + "only a list is appended to",
    b"K\x01Q.": BROKEN + "the arguments of a call are no tuple",
    CALL + b"]R.": BROKEN + "the arguments of a call are no tuple",
    A + b")R.": BROKEN + "what is called has no name",
    b"}}b.": BROKEN + "what gets a state cannot have one",
    CALL + b")R}b}b.": BROKEN + "what gets a state cannot have one",
    b"]" + A + b"Ns.": BROKEN + "only texts are keys, and only of a dict",
    b"}(" + A + b"NK\x01Nu.": BROKEN + "only texts are keys, and only of a dict",
    b"}(" + A + b"N" + B + b"u.": BROKEN + "zip() argument 2 is shorter than argument 1",
}


@pytest.mark.parametrize(("content", "words"), ODD.items())
def test_an_odd_pickle_is_refused_by_what_is_odd(content: bytes, words: str) -> None:
    with pytest.raises(OddPickle) as caught:
        pickles.read(content)
    assert str(caught.value) == words


def test_a_pickle_is_read_up_to_a_limit() -> None:
    for size, words in (
        (1 << 26, f"{BROKEN}at position 0, opcode b'\\x00' unknown"),
        ((1 << 26) + 1, "its pickle has 67108865 bytes, and at most 67108864 are read"),
    ):
        with pytest.raises(OddPickle) as caught:
            pickles.read(bytes(size))
        assert str(caught.value) == words


OS, SYSTEM, MORE = dumped("os")[:-2], dumped("system")[:-2], dumped("x")[:-2] + dumped("y")[:-2]
NAMED: dict[bytes, list[str]] = {
    b"": [],
    b"no pickle": [],
    b"N.": [],
    CALL + b".": ["mod.name"],
    b"(imod\nname\n.": ["mod.name"],
    CALL + b"2": ["mod.name"],
    CALL + CALL + b"ca\nb\n.": ["a.b", "mod.name"],
    CALL + b".ca\nb\n.": ["a.b", "mod.name"],
    MORE + OS + SYSTEM + b"\x93.": ["os.system"],
    b"S'\\z'" + b"\n" + CALL + b".": ["mod.name"],
    OS + b"\x94" + SYSTEM + b"\x94" + MORE + b"h\x00h\x01\x93.": ["os.system"],
    b"]\x94" + OS + b"\x94" + SYSTEM + b"\x94" + MORE + b"h\x01h\x02\x93.": ["os.system"],
    b"]q\x00" + OS + b"q\x01" + SYSTEM + b"q\x02" + MORE + b"h\x01h\x02\x93.": ["os.system"],
    OS + b"q\x00" + SYSTEM + b"q\x01" + MORE + b"h\x00h\x01\x93.": ["os.system"],
    OS + b"p0\n" + SYSTEM + b"p1\n" + MORE + b"g0\ng1\n\x93.": ["os.system"],
    OS + b"r\0\0\0\0" + SYSTEM + b"r\1\0\0\0" + MORE + b"j\0\0\0\0j\1\0\0\0\x93.": ["os.system"],
}


@pytest.mark.parametrize(("content", "named"), NAMED.items())
def test_what_a_pickle_names_is_told_as_far_as_it_can_be_read(content: bytes, named: list[str]) -> None:
    assert pickles.names(content) == named
