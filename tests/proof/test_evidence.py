"""Evidence: a text of a record is read only where it is a plain file, of a size that a record's text has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reproven.errors import RecordError
from reproven.proof import evidence
from reproven.proof.evidence import Evidence


@pytest.fixture
def found(tmp_path: Path) -> Evidence:
    (tmp_path / "whole.csv").write_text("1,×")
    (tmp_path / "long.csv").write_text("1,2,3")
    (tmp_path / "latin.csv").write_bytes(b"1,\xd7")
    (tmp_path / "link.csv").symlink_to("whole.csv")
    return Evidence("", tmp_path, None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.csv", "gone.csv is not there."),
        ("link.csv", "link.csv is a symbolic link or lies behind one, which no record has."),
        ("long.csv", "long.csv has 5 bytes, but no text of a record has over 4."),
        ("latin.csv", "latin.csv cannot be read: 'utf-8' codec can't decode byte 0xd7 in position 2: "),
    ],
)
def test_what_is_no_text_of_a_record_is_refused(
    name: str, words: str, found: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_LONGEST_TEXT", 4)
    assert found.text("whole.csv") == "1,×"
    with pytest.raises(RecordError, match=f"^{re.escape(words)}"):
        found.text(name)
