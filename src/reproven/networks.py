"""The networks, and the regressor that puts the standardisation in front of one.

Pickles name this module and its classes, so neither is ever renamed or moved. Each network starts with
the weights of `torch.manual_seed(seed); Network()`. Nothing here trains, reads or writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_JIT: Any = torch.jit  # which has no types
BLOCK = 256  # rows; part of what predictions are, like the weights


class MLPModule(nn.Module):
    """A multilayer perceptron as an nn.Module subclass: hidden1, active1, hidden2, …, regression.

    Args:
        inputs: Number of features.
        hidden: Width of each hidden layer.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        for number, (width_in, width_out) in enumerate(pairwise((inputs, *hidden)), start=1):
            self.add_module(f"hidden{number}", nn.Linear(width_in, width_out))
            self.add_module(f"active{number}", nn.ReLU())
        self.regression = nn.Linear(hidden[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions, (rows, 1) float32, for standardised features, (rows, inputs) float32."""
        for layer in self.children():
            x = layer(x)
        return x


class MLPSequential(nn.Module):
    """The same perceptron with its hidden layers in one nn.Sequential: hidden, regression.

    Args:
        inputs: Number of features.
        hidden: Width of each hidden layer.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise((inputs, *hidden))]
        self.hidden = nn.Sequential(*(layer for pair in layers for layer in pair))
        self.regression = nn.Linear(hidden[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions, (rows, 1) float32, for standardised features, (rows, inputs) float32."""
        output: Tensor = self.regression(self.hidden(x))
        return output


class ConvTestNet(nn.Module):
    """The notebook's convolutional TestNet, there to be initialised: conv1's output never fits hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3)
        self.hidden = nn.Sequential(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU())
        self.cla = nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ten classes, (images, 10), as the notebook writes it."""
        x = self.conv1(x)
        x = x.view(x.shape[0], -1)
        output: Tensor = self.cla(self.hidden(x))
        return output


class Regressor(nn.Module):
    """A trained network that takes a table's raw columns: standardisation first, then the network.

    The standardisation is float64 and its result float32, so a row here is the row that was trained on,
    bit for bit. It belongs to the pickled model and to the state_dict of the regressor; the network's
    own state_dict has the notebook's keys.

    Args:
        network: Takes standardised features.
        mean: Mean of each feature over the training rows, (features,) float64.
        scale: Standard deviation of each, (features,) float64.
        features: The features' names, in the order of the columns.
        target: The name of what is predicted.
        target_mean: Mean of the target over the training rows, () float64, where the network was trained on
            the standardised target; None where on the target as it is.
        target_scale: Likewise its standard deviation.
    """

    mean: Tensor
    scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Tensor,
        scale: Tensor,
        features: tuple[str, ...],
        target: str,
        target_mean: Tensor | None = None,
        target_scale: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        if target_mean is not None:  # else a saved model is what it was before there was such a thing
            self.register_buffer("target_mean", target_mean)
            self.register_buffer("target_scale", target_scale)
        self.features = features
        self.target = target

    def standardise(self, raw: Tensor) -> Tensor:
        """Standardised features, (rows, features) float32, of raw ones, (rows, features) float64.

        They lie in memory row by row whatever `raw` does: a matrix product of a transposed table (as
        pandas keeps it) ends in other bits.
        """
        return ((raw.double().contiguous() - self.mean) / self.scale).float()

    def forward(self, raw: Tensor) -> Tensor:
        """Predictions, (rows,) float32 in the target's unit, for raw features, (rows, features) float64."""
        found = in_blocks(self.network, self.standardise(raw))
        if "target_mean" not in self._buffers:
            return found
        return in_unit(found, self.target_mean, self.target_scale)


def in_unit(found: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Values in the target's own unit, float32, of standardised ones, float32, of the same shape.

    Args:
        found: Standardised values.
        mean: Mean of the target over the training rows, () float64.
        scale: Its standard deviation, () float64.
    """
    return (found.double() * scale + mean).float()


def in_blocks(network: nn.Module, X: Tensor) -> Tensor:
    """What a network predicts, (rows,), a row's bits not depending on how many rows stand beside it.

    Matrix products take other paths for other numbers of rows, and end in other bits: a row alone would
    differ from the same row in its table. So all go through in blocks of one size, the last one padded.
    (With MKL_CBWR=COMPATIBLE that is all; without it MKL may also round by a row's place in its block.)

    Args:
        network: Takes (rows, features) and returns (rows, 1).
        X: Features, (rows, features).
    """
    if _JIT.is_tracing():
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        return _traced(X, [layer.weight for layer in layers], [layer.bias for layer in layers], BLOCK)
    if isinstance(X.shape[0], torch.SymInt):
        return _exported(network, X)
    padded = functional.pad(X, (0, 0, 0, -len(X) % BLOCK))
    return torch.cat([network(block) for block in torch.split(padded, BLOCK)]).flatten()[: len(X)]


def _exported(network: nn.Module, X: Tensor) -> Tensor:
    """`in_blocks` for `torch.export`: how many rows and blocks there are stays open; at least one row.

    What is padded here is the last row, up to two blocks more than are full: torch must see from the numbers
    alone that there are several blocks, and that nothing is asked of X that it does not have.
    """
    from torch._higher_order_ops.map import map as each

    rows = X.shape[0]
    starts = BLOCK * torch.arange(rows // BLOCK + 2, device=X.device).unsqueeze(1)
    numbers = starts + torch.arange(BLOCK, device=X.device)  # (blocks, BLOCK)
    found: Tensor = each(network, X[numbers.clamp(max=rows - 1)])
    return found.flatten()[torch.arange(rows, device=X.device)]


def _by_layers(X: Tensor, weights: list[Tensor], biases: list[Tensor], size: int) -> Tensor:
    """`in_blocks` for `torch.jit.trace`, which keeps a loop only where it is compiled: of a perceptron alone.

    Args:
        X: Features, (rows, features).
        weights: Of each layer, (width, inputs).
        biases: Of each layer, (width,).
        size: Rows of a block.
    """
    found = []
    for block in torch.split(functional.pad(X, [0, 0, 0, -X.shape[0] % size]), size):
        x = block
        for number, (weight, bias) in enumerate(zip(weights, biases)):  # noqa: B905 (TorchScript's zip)
            x = functional.linear(torch.relu(x) if number else x, weight, bias)
        found.append(x)
    return torch.cat(found).flatten()[: X.shape[0]]


_traced: Callable[[Tensor, list[Tensor], list[Tensor], int], Tensor] = _JIT.script_if_tracing(_by_layers)


VARIANTS: Mapping[str, type[MLPModule | MLPSequential]] = {
    "module": MLPModule,
    "sequential": MLPSequential,
}


def unset(kind: type[MLPModule | MLPSequential], inputs: int, hidden: tuple[int, ...]) -> nn.Module:
    """A network whose weights mean nothing yet, for whoever has them already.

    Args:
        kind: One of `VARIANTS`.
        inputs: Number of features.
        hidden: Width of each hidden layer.
    """
    with torch.random.fork_rng(devices=[]):  # torch draws some all the same
        return kind(inputs, hidden)


#: Every class that a whole pickled model may name; reading refuses all others.
CLASSES: tuple[type, ...] = (
    MLPModule,
    MLPSequential,
    ConvTestNet,
    Regressor,
    nn.Linear,
    nn.Conv2d,
    nn.ReLU,
    nn.Sequential,
)
