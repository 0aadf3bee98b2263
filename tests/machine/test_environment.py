"""The environment: what a run was made on, as torch itself says it."""

from __future__ import annotations

import hashlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

from reproven.machine import environment


def test_the_threads_that_torch_computes_with_are_told() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            told = environment.describe("portable")["torch"]
            assert (told["threads"], told["interop_threads"]) == (threads, torch.get_num_interop_threads())
    finally:
        torch.set_num_threads(before)


def test_what_ran_at_the_start_and_no_package_brings_is_told_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "beside" not in environment.describe("portable")
    (tmp_path / "usercustomize.py").write_text("import torch\n")
    spec = spec_from_file_location("usercustomize", tmp_path / "usercustomize.py")
    assert spec is not None
    monkeypatch.setitem(sys.modules, "usercustomize", module_from_spec(spec))
    digest = hashlib.sha256(b"import torch\n").hexdigest()
    assert environment.describe("portable")["beside"] == {"usercustomize": digest}
