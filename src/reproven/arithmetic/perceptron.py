"""Perceptrons, forwards and backwards, on arrays: what torch comes to in portable arithmetic, bit for bit.

A step of a small network takes longer to be asked for, operation by operation, than to be computed.

Source: Rumelhart, Hinton & Williams (1986), "Learning representations by back-propagating errors",
    Nature 323.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reproven.arithmetic.sums import product

Array = np.ndarray
#: A layer's weight, (outputs, inputs), and bias, (outputs,).
Layer = tuple[Array, Array]


def forwards(layers: Sequence[Layer], x: Array) -> list[Array]:
    """What enters each layer, and what the last puts out, each (rows, width); hidden ones are rectified.

    Args:
        layers: From the first to the last.
        x: (rows, inputs) float32.
    """
    passed = [x]
    for number, (weight, bias) in enumerate(layers, start=1):
        found = product(passed[-1], weight.T) + bias
        passed.append(np.maximum(found, 0, out=found) if number < len(layers) else found)
    return passed


def backwards(layers: Sequence[Layer], passed: Sequence[Array], grad: Array) -> list[Array]:
    """The gradients of each layer's weight and bias, in the layers' order.

    Args:
        layers: As for `forwards`.
        passed: What that returned.
        grad: The derivative by what the last layer puts out, (rows, outputs).
    """
    found: list[Array] = []
    for number in reversed(range(len(layers))):
        x = passed[number]
        both = product(grad.T, np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1))
        found[:0] = [both[:, :-1], both[:, -1]]
        if number:
            grad = np.where(x > 0, product(grad, layers[number][0]), np.float32(0))
    return found
