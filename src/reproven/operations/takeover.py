"""Takeover: torch computes in portable arithmetic for a while, whatever calls it.

torch asks for its kernels by name, so ours stand in for its own below autograd: modules, losses, optimizers
and gradients stay as they are. What has not been proved is refused by its name, and never passes silently.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from reproven.operations import algebra, chance, criteria, indexing, layers, pointwise
from reproven.operations.exact import is_exact
from reproven.operations.tensors import Operation, UnprovedForm

#: Operations that are computed here, by torch's names.
OURS: Mapping[str, Operation] = {
    name: compute
    for table in (algebra.TABLE, pointwise.TABLE, criteria.TABLE, layers.TABLE, indexing.TABLE, chance.TABLE)
    for name, compute in table.items()
}
_lock, _depth = RLock(), 0
_library: Any = None


class Unproved(Exception):
    """An operation whose bits nobody has proved.

    Attributes:
        operation: Its name in torch.
        how: In which form it is asked for, where other forms are proved.
    """

    def __init__(self, operation: str, how: str = "") -> None:
        super().__init__(f"{operation} {how}".strip())
        self.operation, self.how = operation, how


@contextmanager
def in_force() -> Iterator[None]:
    """Inside of it, torch computes in portable arithmetic on the CPU, in every thread.

    Raises:
        Unproved: From within, where an operation is asked for that has not been proved.
    """
    global _depth, _library
    with _lock:
        if _depth == 0:
            _library = _taken_over()
        _depth += 1
    try:
        with np.errstate(all="ignore"), sdpa_kernel(SDPBackend.MATH), _in_one_way():
            yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _library._destroy()
                _library = None


@contextmanager
def _in_one_way() -> Iterator[None]:
    """Has torch do in one way what its versions, or training and evaluation, do in several."""
    own: Any = torch.nn.init
    was = torch.backends.mha.get_fastpath_enabled(), own._no_grad_trunc_normal_
    torch.backends.mha.set_fastpath_enabled(False)
    own._no_grad_trunc_normal_ = chance.truncate
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was[0])
        own._no_grad_trunc_normal_ = was[1]


def _taken_over() -> Any:
    torch_library: Any = torch.library  # which has no types
    found = torch_library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that kernels are overridden, as they are meant to be
        for name in _computed_on_cpu():
            if name in OURS:
                found.impl(name, _naming(name, OURS[name]), "CPU")
            elif not is_exact(name):
                found.impl(name, _refusing(name), "CPU")
    return found


@cache
def _computed_on_cpu() -> tuple[str, ...]:
    """All of torch's operations that compute something themselves, by name and overload."""
    has: Callable[[str, str], bool] = torch._C._dispatch_has_kernel_for_dispatch_key
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    return tuple(
        name.removeprefix("aten::")
        for name in names
        if has(name, "CPU") or has(name, "CompositeExplicitAutograd")
    )


def _base(name: str) -> str:
    """An operation's name without its overload, and without the mark of what is done in place."""
    return name.partition(".")[0].rstrip("_")


def _naming(name: str, compute: Operation) -> Operation:
    """An operation that says its name where it is asked for in another form than is proved."""

    def found(*arguments: Any, **options: Any) -> Any:
        try:
            return compute(*arguments, **options)
        except UnprovedForm as error:
            raise Unproved(_base(name), str(error)) from None

    return found


def _refusing(name: str) -> Operation:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise Unproved(_base(name))

    return refuse
