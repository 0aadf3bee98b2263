"""Tensors: how an operation on arrays becomes one on torch's tensors, in its forms that write too."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
#: An operation of torch's, on the CPU, with its arguments in torch's order.
Operation = Callable[..., Any]
#: Whether float64 may be summed, in an order that shows: for checks of gradients by finite differences alone.
takes_float64: ContextVar[bool] = ContextVar("takes_float64", default=False)


class UnprovedForm(Exception):
    """An operation that is asked for in a way whose bits nobody has proved; says in which."""


class Operations(dict[str, Operation]):
    """Operations by torch's names for them, such as `add_.Tensor`."""

    def named(self, *names: str) -> Callable[[Operation], Operation]:
        """Enters what it decorates under some names."""

        def enter(compute: Operation) -> Operation:
            self.update(dict.fromkeys(names, compute))
            return compute

        return enter

    def enter(self, name: str, compute: Operation, overload: str = "") -> None:
        """Enters an operation with its forms that write into its first argument, and into `out`."""
        ending = f".{overload}" if overload else ""
        self[f"{name}{ending}"] = compute
        self[f"{name}_{ending}"] = in_place(compute)
        self[f"{name}.{overload}_out" if overload not in ("", "Tensor") else f"{name}.out"] = into(compute)


def array(x: Tensor) -> Array:
    """The tensor's own memory as an array."""
    found: Array = x.detach().numpy()
    return found


def floats(x: Tensor) -> Array:
    """The tensor's own memory, of float32.

    Raises:
        UnprovedForm: It holds others: sums of float64 are not rounded to anything coarser, so order shows.
    """
    if x.dtype != torch.float32 and not (x.dtype == torch.float64 and takes_float64.get()):
        raise UnprovedForm(f"of {str(x.dtype).removeprefix('torch.')}, where float32 is proved")
    return array(x)


def floats_or_none(x: Tensor | None) -> Array | None:
    """`floats` of what may be left out."""
    return None if x is None else floats(x)


def tensor(x: Any) -> Tensor:
    """A tensor that shares an array's memory."""
    return torch.from_numpy(np.asarray(x))


def tensor_or_none(x: Array | None) -> Tensor | None:
    """`tensor` of what may be left out."""
    return None if x is None else tensor(x)


def put(into: Tensor, x: Any) -> Tensor:
    """Writes into a tensor, and returns it."""
    array(into)[...] = x
    return into


def in_place(compute: Operation) -> Operation:
    """The form of an operation that writes its result into its first argument."""
    return lambda x, *arguments, **options: put(x, array(compute(x, *arguments, **options)))


def into(compute: Operation) -> Operation:
    """The form of an operation that writes its result into `out`."""

    def found(*arguments: Any, out: Tensor, **options: Any) -> Tensor:
        made = compute(*arguments, **options)
        return put(out.resize_(made.shape), array(made))

    return found


def on_arrays(compute: Callable[..., Array]) -> Operation:
    """An operation by a formula on arrays and numbers, in the order of torch's arguments."""
    return lambda *arguments, **options: tensor(
        compute(*(floats(one) if isinstance(one, Tensor) else one for one in arguments), **options)
    )


def in_bfloat16_too(compute: Operation) -> Operation:
    """An operation whose float32 result is rounded once more where its first argument is bfloat16."""

    def found(*arguments: Any, **options: Any) -> Any:
        if arguments[0].dtype != torch.bfloat16:
            return compute(*arguments, **options)
        wider = [one.float() if isinstance(one, Tensor) else one for one in arguments]
        return compute(*wider, **options).bfloat16()

    return found
