"""The notebook that is shipped: it runs from top to bottom, offline, and what it shows is what came out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
#: What is another in every run: ids, folders, rates, seconds.
_OTHER = (
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"\b[0-9a-f]{64}\b", "SEAL"),
    (r"m-ID|m-[0-9a-f]{32}", "MODEL"),
    (r"[\w/.-]*notebook-\w+", "FOLDER"),
    (
        r"audit: 100%\|([█▏▎▍▌▋▊▉ ]*)\| \d+/\d+|\d+ files with their tensors",
        "files",
    ),  # a patch, where there is one
    (r"\|[█▏▎▍▌▋▊▉ ]*\|", "|"),
    (r"\[\d\d:\d\d<\d\d:\d\d, +[\d.]+ \w+/s", "["),
    (r"seconds=[\d.]+", "seconds"),
    (r"(>seconds</span><span [^>]*>)[\d.]+", r"\1"),
)


def shown(notebook: Any) -> list[tuple[int, str]]:
    """What each cell shows as text or as a card, without its figures and what is another in every run."""
    found = []
    for place, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            text = data.get("text/html") or data.get("text/plain") or output.get("text", "")
            text = re.sub(r"<img [^>]*>", "", text)
            for pattern, name in _OTHER:
                text = re.sub(pattern, name, text)
            found.append((place, text))
    return found


@pytest.mark.slow
def test_it_runs_from_top_to_bottom_and_shows_what_is_shipped(tmp_path: Path) -> None:
    shipped = nbformat.read(NOTEBOOK, as_version=4)
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(fresh, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert shown(fresh) == shown(shipped)


def test_it_is_shipped_with_its_outputs_and_none_is_an_error() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result", "stream"}
    assert all(output.get("name") != "stderr" for output in outputs)


def test_it_teaches_the_chapters_of_its_origin_and_what_is_new() -> None:
    text = NOTEBOOK.read_text()
    for idea in (
        *("layer_lr", "by_layer", "normal:mean=0,std=1", "state_dict", "module.losses", "sequential.losses"),
        *("reproven.replay", "reproven.audit", "reproven.resume", "reproven.sweep", "reproven.compare"),
    ):
        assert idea in text, idea
    for word in ("IDENTICAL", "FOUND", "interrupted", "COMPARED"):
        assert word in text, word
