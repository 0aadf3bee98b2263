"""The certificate of a replay: what it says, in a browser and on paper."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

import browsing
from forging import flip
from reproven import Trained, export, replay
from reproven.pages.certificate import Certificate, machines
from reproven.pages.rendering import POLICY

#: What somebody may call a run, or write into a record.
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
LONG = Certificate(
    verdict="DIVERGED",
    name=MARKUP + "name" * 60,
    asked={"run": "0" * 32, "table " + "t" * 200: "f" * 64, **{f"fact {n}": "a" * 64 for n in range(5)}},
    lines=["A sentence that goes on and on. " * 40, MARKUP, *("Another one." for _ in range(40))],
    compared=[(what, n, 24000) for n, what in enumerate(("losses", "weights", "epochs", "files", "errors"))],
    machines=[
        (name, "recorded " * 8, "now " * 12) for name in ("Python", "torch", "processor", "arithmetic")
    ],
    seal="f" * 64,
    commands=["reproven replay " + "0" * 32, "reproven audit bundle/ --seal " + "f" * 64],
    losses="<svg width='504' height='432' viewBox='0 0 504 432'><rect width='504' height='432'/></svg>",
)


@pytest.fixture(scope="module")
def certificate(trained: Trained, uri: str, client: MlflowClient) -> Path:
    """That of a real replay."""
    told = replay(trained.run_id, tracking_uri=uri)
    return Path(client.download_artifacts(str(told.replay), "certificate.html"))


def test_it_says_what_was_asked_what_is_equal_where_and_how_to_ask_again(
    certificate: Path, trained: Trained, client: MlflowClient, tmp_path: Path
) -> None:
    found = browsing.opened(certificate, tmp_path)
    run = client.get_run(trained.run_id).data
    lines = found["text"].splitlines()
    assert lines[0] == "IDENTICAL"
    for name in ("reproven.recipe.sha256", "reproven.data.sha256", "reproven.seal"):
        assert run.tags[name] in found["text"]
    assert "losses\t12\t12" in lines
    assert f"reproven replay {trained.run_id}" in lines
    assert f"reproven audit {trained.run_id} --seal {run.tags['reproven.seal']}" in lines
    assert any(line.startswith("architecture\t") for line in lines)
    assert (found["scripts"], found["asked"]) == (0, [])


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_narrow_window_on_light_and_on_dark(certificate: Path, tmp_path: Path, dark: bool) -> None:
    found = browsing.opened(certificate, tmp_path, width=360, dark=dark)
    assert found["width"] <= 360
    assert found["paper"] == ("rgb(18, 22, 28)" if dark else "rgb(255, 255, 255)")


def test_it_prints_on_one_sheet(certificate: Path, tmp_path: Path) -> None:
    assert browsing.sheets_of(certificate, tmp_path) == 1


def test_one_that_has_much_to_say_is_one_sheet_and_shows_markup_as_text(tmp_path: Path) -> None:
    page = tmp_path / "long.html"
    page.write_text(LONG.html())
    assert browsing.sheets_of(page, tmp_path) == 1
    found = browsing.opened(page, tmp_path, width=700)
    assert (found["scripts"], found["images"], found["asked"]) == (0, [], [])
    assert MARKUP in found["text"]
    assert "And 35 more; replay.json has all." in found["text"]
    assert found["width"] <= 700


def test_it_forbids_the_browser_to_load_anything() -> None:
    assert POLICY.replace("'", "&#39;") in LONG.html()


def test_one_of_a_record_that_was_touched_says_so_without_a_training(
    trained: Trained, uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    bundle = export(trained.run_id, tmp_path / "bundle", tracking_uri=uri)
    flip(bundle / "losses.csv", 400)
    told = replay(str(bundle), tracking_uri=uri)
    page = Path(client.download_artifacts(str(told.replay), "certificate.html", str(tmp_path)))
    found = browsing.opened(page, tmp_path)
    assert found["text"].splitlines()[0] == "TAMPERED"
    assert "losses.csv has changed" in found["text"]
    assert "reproven replay bundle/" in found["text"]
    assert str(tmp_path) not in page.read_text()
    shutil.rmtree(bundle)


def test_what_an_environment_does_not_say_is_a_dash() -> None:
    rows = machines({"torch": {"threads": 2}, "python": None}, {"machine": "aarch64"})
    assert rows[0] == ("Python", "–", "–")
    assert ("threads", "2", "–") in rows
    assert ("architecture", "–", "aarch64") in rows
