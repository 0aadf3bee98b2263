"""The journal: every finding to the bit, in its place and with its time, and a torn line is cut off."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from reproven.errors import RecordError
from reproven.logbooks import journal
from reproven.logbooks.journal import EPOCH, LOSS, STEP, WEIGHTS, Journal
from reproven.values.metrics import Row

#: Float32 numbers that no few decimals tell apart from another one.
LOSSES = [
    *(16.072608947753906, float(np.float32(1e-30)), -0.0, 1.401298464324817e-45, 3.4028234663852886e38),
    float(np.nextafter(np.float32(16.0), np.float32(17.0))),
]


def written(path: Path) -> Journal:
    kept = Journal(path)
    for number, loss in enumerate([*LOSSES, math.inf, math.nan]):
        kept.put(STEP, number, journal.loss_bits(loss), "0123 4567")
    kept.put(EPOCH, 1, "digest", {"test_rmse": 4.360931873321533})
    kept.put(WEIGHTS, 1, {"hidden.weight": [1]})
    return kept


def test_a_loss_comes_back_to_the_bit_and_so_does_its_metric(tmp_path: Path) -> None:
    written(tmp_path / "journal").close()
    lines, end = journal.read(tmp_path / "journal")
    assert end == (tmp_path / "journal").stat().st_size
    assert [journal.loss(line).hex() for line in lines[:6]] == [loss.hex() for loss in LOSSES]
    assert [repr(journal.loss(line)) for line in lines[6:8]] == ["inf", "nan"]
    rows = [Row(LOSS, number, lines[number][2], loss) for number, loss in enumerate(LOSSES)]
    found = list(journal.rows(lines))
    assert found == [*rows, Row("test_rmse", 1, lines[8][2], 4.360931873321533)]
    assert math.copysign(1.0, found[2].value) == -1.0
    assert lines[8:] == [
        [EPOCH, 1, lines[8][2], "digest", {"test_rmse": 4.360931873321533}],
        [WEIGHTS, 1, lines[9][2], {"hidden.weight": [1]}],
    ]


def test_what_is_there_is_retraced_with_its_times(tmp_path: Path) -> None:
    before = written(tmp_path / "journal")
    before.close()
    content = (tmp_path / "journal").read_bytes()
    (tmp_path / "journal").write_bytes(content + b'["step",8,')  # torn
    again = written(tmp_path / "journal")
    again.close()
    assert (tmp_path / "journal").read_bytes() == content
    assert (again.position, again.sha256) == (before.position, before.sha256) == (len(content), again.sha256)


def test_another_finding_than_before_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "journal").close()
    again = Journal(tmp_path / "journal")
    near = float(np.nextafter(np.float32(LOSSES[0]), np.float32(0)))
    with pytest.raises(RecordError, match="step 0 is another one now"):
        again.put(STEP, 0, journal.loss_bits(near), "0123 4567")
    again.close()


def test_steps_are_written_within_moments_and_an_epoch_at_once(tmp_path: Path) -> None:
    def there() -> int:
        return (tmp_path / "journal").read_text().count("\n")

    kept = Journal(tmp_path / "journal")
    kept.put(EPOCH, 1, "digest", {})
    assert there() == 1
    for number in range(100):
        kept.put(STEP, number, journal.loss_bits(0.5), "")
    time.sleep(0.03)
    kept.put(STEP, 100, journal.loss_bits(0.5), "")
    assert there() == 102
    kept.put(STEP, 101, journal.loss_bits(0.5), "")
    kept.sync()
    assert (there(), kept.position) == (103, (tmp_path / "journal").stat().st_size)
    kept.put(STEP, 102, journal.loss_bits(0.5), "")
    kept.close()
    assert there() == 104
