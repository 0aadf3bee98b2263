"""Checkpoints: a state comes back to the bit, also one that an earlier version wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

from reproven.files.digests import digester
from reproven.files.disk import read_text
from reproven.logbooks import checkpoint, journal, shelf
from reproven.training.building import build
from reproven.training.loop import State
from reproven.values.record import Inputs
from reproven.values.steps import short

#: A run of the commit e057480, before there were wings, stopped in the middle of an epoch.
EARLIER = Path(__file__).parent / "before-the-wings"


def test_a_logbook_of_the_commit_before_the_wings_is_still_read() -> None:
    run_id = "0123456789abcdef" * 2
    shutil.copytree(EARLIER, shelf.place() / run_id)
    book = shelf.find(run_id)
    assert book is not None
    assert (book.plan.name, book.plan.kind, book.steps_done) == ("before the wings", "train", 9)
    recipe = Inputs.read(lambda name: read_text(book.files / name)).recipe
    state = State.fresh(build(recipe, inputs=13), seed=recipe.seed)
    found = checkpoint.read(book.checkpoints[0])
    found.restore(state)
    assert (state.epoch, state.batch, found.step) == (2, 1, 9)
    lines, position = journal.read(book.journal, limit=found.position)
    assert position == found.position
    (last,) = [line for line in lines if line[:2] == [journal.STEP, 8]]
    assert " ".join(short(digester(state.network)(None))) == last[4]
