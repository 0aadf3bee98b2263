"""What came with the package besides its code: bundles of recorded runs. It reads names alone."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "reference"


def shipped() -> list[str]:
    """The folders of the recorded runs that came with this package, to be replayed, audited or imported.

    Returns:
        Bundles of the notebook's experiments, by their names; `README.md` beside them says what each is.
    """
    return sorted(str(path) for path in FOLDER.iterdir() if path.is_dir())
