"""Cards: what a notebook shows of each result, as a browser shows it."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import browsing
import reproven
from reproven import Audit, Axis, Compared, Recipe, Study, Swept, Trained, Verdict
from reproven.pages.cards import MOST, card

_MARKUP = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def swept(uri: str) -> Swept:
    study = Study(base={"epochs": "2"}, axes=(Axis(name="lr", values=("0.001", "0.003")),), seeds=(1, 2, 3))
    return reproven.sweep(study, tracking_uri=uri, experiment="cards", jobs=1)


@pytest.fixture(scope="module")
def results(trained: Trained, swept: Swept, uri: str) -> list[Any]:
    """One of each kind."""
    return [
        trained,
        reproven.replay(trained.run_id, tracking_uri=uri),
        reproven.audit(trained.run_id, tracking_uri=uri),
        swept,
        reproven.compare([swept.run_id], tracking_uri=uri),
    ]


def test_each_result_has_a_card_with_its_word_and_its_figure(results: list[Any], tmp_path: Path) -> None:
    words = {Trained: "FINISHED", Verdict: "IDENTICAL", Audit: "SOUND", Swept: "6 FINISHED"}
    for result in results:
        page = tmp_path / "card.html"
        shown = result._repr_html_()
        page.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{shown}")
        found = browsing.opened(page, tmp_path, width=1000)
        assert found["text"].startswith(words.get(type(result), "COMPARED"))
        assert (found["scripts"], found["asked"]) == (0, [])
        assert [width > 300 for width in found["images"]] == ([] if type(result) is Audit else [True])
        assert "<svg" not in shown  # which Jupyter takes out of a notebook that it does not trust
        assert "<style" not in shown


def test_a_card_takes_the_colour_of_the_text_around_it(results: list[Any]) -> None:
    """On light and on dark: nothing in it is black or white, and its own colours are between."""
    for result in results:
        shown = result._repr_html_()
        drawn = "".join(b64decode(found).decode() for found in re.findall(r"base64,([^\"]+)", shown))
        assert ("<svg " in drawn) == (type(result) is not Audit)
        assert "currentColor" not in drawn  # an image has no text around it
        shown += re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
        colours = set(re.findall(r"(?:color|fill|stroke): ?(#[0-9a-f]{6})", shown))
        assert not colours & {"#000000", "#ffffff", "#333333"}, type(result)
        assert "currentColor" in shown


def test_what_others_wrote_is_shown_as_text() -> None:
    shown = card(_MARKUP, _MARKUP, lines=[_MARKUP], facts={_MARKUP: _MARKUP}, table=[[_MARKUP], [_MARKUP]])
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 7


def test_what_is_long_is_cut_and_counted() -> None:
    shown = card("many", "FOUND", lines=[f"line {n}" for n in range(MOST + 5)])
    assert f"line {MOST - 1}" in shown
    assert f"line {MOST}" not in shown
    assert "… and 5 more" in shown


def test_a_run_that_failed_says_why(trained: Trained) -> None:
    shown = replace(trained, failure="The loss became inf.", losses=())._repr_html_()
    assert "FAILED" in shown
    assert "The loss became inf." in shown
    assert "<img" not in shown


def test_a_plain_repr_fits_a_screen(results: list[Any]) -> None:
    for result in results:
        assert len(repr(result)) < 24 * 80, type(result)


def test_losses_are_no_part_of_what_is_printed_as_data(trained: Trained, uri: str) -> None:
    assert "losses" not in trained.to_dict()
    assert len(trained.losses) == 12
    told = reproven.replay(trained.run_id, tracking_uri=uri)
    assert "losses" not in told.to_dict()
    assert told.losses == (trained.losses, trained.losses)


def test_groups_without_a_pair_have_a_card_too(trained: Trained, uri: str) -> None:
    found = reproven.compare([trained.run_id], tracking_uri=uri)
    assert isinstance(found, Compared)
    assert "<img" not in found._repr_html_()
    assert Recipe().sha256 not in found._repr_html_()
