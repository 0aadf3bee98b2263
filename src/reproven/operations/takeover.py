"""Takeover: torch computes in portable arithmetic for a while, whatever calls it.

torch asks for its kernels by name, so ours stand in for its own below autograd: modules, losses, optimizers
and gradients stay as they are. What has not been proved is refused by its name, and never passes silently.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from reproven.arithmetic.profiles import PORTABLE
from reproven.errors import Unproved
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
_held = ExitStack()


def computing(profile: str | None) -> AbstractContextManager[None]:
    """Inside of it, torch computes in a profile: portable as `in_force` says, native as it comes."""
    return in_force() if profile == PORTABLE else nullcontext()


def at_hand(profile: str | None) -> AbstractContextManager[None]:
    """Inside of it, `computing` costs next to nothing; other code may run inside too, portable or not."""
    return _registered() if profile == PORTABLE else nullcontext()


@contextmanager
def in_force() -> Iterator[None]:
    """Inside of it, torch computes in portable arithmetic on the CPU, in every thread.

    Raises:
        Unproved: From within, where an operation is asked for that has not been proved.
    """
    with _registered(), np.errstate(all="ignore"):
        yield


@contextmanager
def as_it_comes() -> Iterator[None]:
    """Inside of it, torch is as it comes, though it is `at_hand` around: for what a user computes beside."""
    with _lock:
        is_taken = _depth > 0
        if is_taken:
            _held.close()
        try:
            yield
        finally:
            if is_taken:
                _held.push(_taken_over().pop_all())


@contextmanager
def _registered() -> Iterator[None]:
    global _depth, _held
    with _lock:
        if _depth == 0:
            _held = _taken_over()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _held.close()


def _taken_over() -> ExitStack:
    """Takes torch's kernels over, and returns what gives them back."""
    held = ExitStack()
    held.callback(_kernels()._destroy)
    # in one way what torch's versions, or training and evaluation, do in several
    held.enter_context(sdpa_kernel(SDPBackend.MATH))
    held.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
    torch.backends.mha.set_fastpath_enabled(False)
    own: Any = torch.nn.init
    held.callback(setattr, own, "_no_grad_trunc_normal_", own._no_grad_trunc_normal_)
    own._no_grad_trunc_normal_ = chance.truncate
    return held


def _kernels() -> Any:
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
