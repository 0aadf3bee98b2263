"""A real browser for the tests: Debian's chromium, without a window, that may ask nothing but the machine."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
#: A page that holds another in a frame, and tells what became of it once it is loaded.
_AROUND = """<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre>
<iframe id="page" width="{width}" height="900" src="{source}"></iframe>
<script>
addEventListener("load", () => {{
  const {{contentDocument: page, contentWindow: inside}} = document.getElementById("page");
  document.getElementById("found").textContent = JSON.stringify({{
    text: page.body.innerText,
    title: page.title,
    images: [...page.images].map((image) => image.naturalWidth),
    alternatives: [...page.images].map((image) => image.alt),
    scripts: page.scripts.length,
    asked: inside.performance.getEntriesByType("resource").map((entry) => entry.name),
    width: page.documentElement.scrollWidth,
    paper: inside.getComputedStyle(page.documentElement).backgroundColor,
  }});
}});
</script>
"""


def chromium() -> str:
    """The browser; skips the test where there is none."""
    found = shutil.which("chromium")
    if found is None:
        assert "CI" not in os.environ, "CI installs chromium"
        pytest.skip("needs chromium (Debian: chromium)")
    return found


def opened(page: Path, folder: Path, *, width: int = 1000, dark: bool = False) -> dict[str, Any]:
    """What a browser makes of a page: its text, its pictures' widths, what it asked for.

    Args:
        page: The HTML file.
        folder: An empty one, for the browser's own files.
        width: Of its window, in CSS pixels.
        dark: Whether the reader prefers dark pages.
    """
    around = folder / "around.html"
    around.write_text(_AROUND.format(source=page.resolve().as_uri(), width=width))
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [
            *(chromium(), *_QUIET, *scheme, f"--user-data-dir={folder / 'profile'}"),
            *("--allow-file-access-from-files", "--dump-dom", around.resolve().as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stdout[:2000] + done.stderr[-2000:]
    value: dict[str, Any] = json.loads(html.unescape(found[1]))
    return value


def sheets_of(page: Path, folder: Path) -> int:
    """How many sheets of A4 a page prints on.

    Args:
        page: The HTML file.
        folder: An empty one, for the browser's own files.
    """
    sheets = folder / "printed.pdf"
    command = [chromium(), *_QUIET, f"--user-data-dir={folder / 'profile'}", "--no-pdf-header-footer"]
    subprocess.run(
        [*command, f"--print-to-pdf={sheets}", page.resolve().as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    content = sheets.read_bytes()
    (size,) = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+ [\d.]+)\]", content))
    assert [round(float(side)) for side in size.split()] == [595, 842]  # points
    return len(re.findall(rb"/Type /Page\b", content))
