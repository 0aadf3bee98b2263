"""What a pickle says of an object: which buffers of a network of one's own its state_dict leaves out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hostile import saved
from reproven.files import archive, pickles
from reproven.files.described import SET, not_kept, state_of
from reproven.files.pickles import Made, Named


def test_buffers_that_are_not_kept_are_those_that_torch_leaves_out() -> None:
    model = nn.Module()
    for name, kept in {"mean": True, "scratch": False, "mask": False}.items():
        model.register_buffer(name, torch.zeros(2), persistent=kept)
    state = state_of(pickles.read(archive.records(saved(model))["data.pkl"]), "the model")
    assert not_kept(state) == {"scratch", "mask"} == {*dict(model.named_buffers())} - {*model.state_dict()}


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (Made(SET, (["scratch", 3, None],)), {"scratch"}),
        (Made(SET, ()), set()),
        (Made(SET, ("scratch",)), set()),
        (Made("builtins list", (["scratch"],)), set()),
        (Named(SET), set()),
        (["scratch"], set()),
        (None, set()),
    ],
    ids=str,
)
def test_what_is_no_set_of_names_names_no_buffers(said: Any, names: set[str]) -> None:
    assert not_kept({"_non_persistent_buffers_set": said}) == names


def test_a_state_without_the_set_names_no_buffers() -> None:
    assert not_kept({}) == set()
