"""The environment: what a run was made on, as torch itself says it."""

from __future__ import annotations

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
