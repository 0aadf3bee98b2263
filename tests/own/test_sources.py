"""Sources: which files and packages a user's modules are made of."""

from __future__ import annotations

from importlib import metadata

import pytest

from reproven.own.sources import bringing


@pytest.mark.parametrize(
    "module", ["sklearn", "PIL", "yaml", "google", "dateutil", "torch", "six", "_cffi_backend"]
)
def test_a_module_s_distributions_are_those_that_python_finds(module: str) -> None:
    found = metadata.packages_distributions()
    assert bringing(module) == set(found.get(module, ()))


def test_what_nobody_brings_has_no_distribution() -> None:
    assert bringing("nowhere") == frozenset()
    assert bringing("skl") == frozenset()
