"""Generators: torch's, NumPy's and Python's global generators, lent to own code in states of their own.

A layer such as dropout draws from a global generator, which anything else may draw from too. So while own
code runs, the global ones stand where its last run left them, and afterwards where they stood before.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_NUMPY: Any = np.random  # whose types lack what swaps a generator
NOT_DETERMINISTIC = "does not have a deterministic implementation"


class Draws:
    """Where the generators stand for own code.

    Args:
        seed: Where all of them start, as `torch.manual_seed(seed)` and the like would start them.
        device: Where the network is; a GPU has a generator of its own.
        is_strict: Whether an operation without a deterministic form is an error while they are lent.

    Attributes:
        lends_all: Whether NumPy's and Python's are lent too: it takes long, and few networks draw from them.
    """

    def __init__(self, seed: int, *, device: str = "cpu", is_strict: bool = True) -> None:
        gpu = [torch.cuda.default_generators[torch.cuda.current_device()]] if device == "cuda" else []
        self._generators = [torch.default_generator, *gpu]
        self._states = [torch.Generator(g.device).manual_seed(seed).get_state() for g in self._generators]
        self._numpy: Any = np.random.MT19937()
        np.random.RandomState(self._numpy).seed(seed)
        self._python: Any = random.Random(seed).getstate()
        self._is_strict, self._notes = is_strict, False
        self.lends_all = False

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Own code runs inside of it."""
        outside = [generator.get_state() for generator in self._generators]
        for generator, state in zip(self._generators, self._states, strict=True):
            generator.set_state(state)
        try:
            with _deterministic(is_strict=self._is_strict and not self._notes, is_silent=not self._notes):
                if self.lends_all:
                    with self._others():
                        yield
                else:
                    yield
        finally:
            self._states = [generator.get_state() for generator in self._generators]
            for generator, state in zip(self._generators, outside, strict=True):
                generator.set_state(state)

    @contextmanager
    def _others(self) -> Iterator[None]:
        numpy, python = _NUMPY.get_bit_generator(), random.getstate()
        _NUMPY.set_bit_generator(self._numpy)
        random.setstate(self._python)
        try:
            yield
        finally:
            self._python = random.getstate()
            _NUMPY.set_bit_generator(numpy)
            random.setstate(python)

    @contextmanager
    def noting_others(self) -> Iterator[None]:
        """As `lent`, with NumPy's and Python's, which go on being lent where they were drawn from.

        Operations without a deterministic form are no errors; torch warns of them.
        """
        before = self._told()
        self.lends_all = self._notes = True
        try:
            with self.lent():
                yield
        finally:
            self.lends_all, self._notes = self._told() != before, False

    def _told(self) -> Any:
        state = self._numpy.state
        return self._python, (state["state"]["pos"], state["state"]["key"].tolist())

    def to_dict(self) -> dict[str, Any]:
        """All that the next draws depend on, as JSON values."""
        found: dict[str, Any] = {"torch": [bytes(state.tolist()).hex() for state in self._states]}
        if self.lends_all:
            python, (position, key) = self._told()
            found |= {"python": python, "numpy": {"pos": position, "key": key}}
        return found

    def restore(self, held: Any) -> None:
        """Takes what `to_dict` told.

        Raises:
            ValueError, KeyError, TypeError, RuntimeError: It is something else.
        """
        states = [torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8) for text in held["torch"]]
        for generator, state in zip(self._generators, states, strict=True):
            torch.Generator(generator.device).set_state(state)
        if "python" in held:
            version, numbers, gauss = held["python"]
            python = (version, tuple(numbers), gauss)
            random.Random().setstate(python)
            key = {"pos": held["numpy"]["pos"], "key": np.array(held["numpy"]["key"], dtype=np.uint32)}
            self._numpy.state = {"bit_generator": "MT19937", "state": key}
            self._python, self.lends_all = python, True
        self._states = states


def seed_of(what: str, seed: int) -> int:
    """A seed of its own for what draws beside something else, from 0 to 2³² − 1.

    Args:
        what: What draws.
        seed: A recipe's.
    """
    return int.from_bytes(hashlib.sha256(f"{what} {seed}".encode()).digest()[:4], "big")


@contextmanager
def _deterministic(*, is_strict: bool, is_silent: bool) -> Iterator[None]:
    """Operations take their deterministic form; having none is an error, or a warning, or nothing."""
    was = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=not is_strict)
    try:
        if is_strict or not is_silent:
            yield
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", f".*{NOT_DETERMINISTIC}.*")
                yield
    finally:
        torch.use_deterministic_algorithms(was[0], warn_only=was[1])
