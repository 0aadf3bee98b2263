"""The networks, and the regressor and the classifier that put encoding and standardisation in front of one.

Pickles name this module and its classes, so neither is ever renamed or moved. Each network starts with
the weights of `torch.manual_seed(seed); Network()`. Nothing here trains, reads or writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from reproven.arithmetic.profiles import usual
from reproven.blocks import in_blocks, is_followed
from reproven.errors import Unproved
from reproven.operations.takeover import computing

#: What an encoding's `code` says: the number itself; and what its `fill` and `code` say of what is missing,
#: a number that no float32 and no place of a level is.
ITSELF, MISSING = -1.0, 1e300


class MLPModule(nn.Module):
    """A multilayer perceptron as an nn.Module subclass: hidden1, active1, hidden2, …, regression.

    Args:
        inputs: Number of features.
        hidden: Width of each hidden layer.
        outputs: Number of targets, or of classes.
    """

    is_perceptron = True

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int = 1) -> None:
        super().__init__()
        for number, (width_in, width_out) in enumerate(pairwise((inputs, *hidden)), start=1):
            self.add_module(f"hidden{number}", nn.Linear(width_in, width_out))
            self.add_module(f"active{number}", nn.ReLU())
        self.regression = nn.Linear(hidden[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, (rows, outputs) float32, for standardised features, (rows, inputs) float32."""
        for layer in self.children():
            x = layer(x)
        return x


class MLPSequential(nn.Module):
    """The same perceptron with its hidden layers in one nn.Sequential: hidden, regression.

    Args:
        inputs: Number of features.
        hidden: Width of each hidden layer.
        outputs: Number of targets, or of classes.
    """

    is_perceptron = True

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int = 1) -> None:
        super().__init__()
        layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise((inputs, *hidden))]
        self.hidden = nn.Sequential(*(layer for pair in layers for layer in pair))
        self.regression = nn.Linear(hidden[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, (rows, outputs) float32, for standardised features, (rows, inputs) float32."""
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
    """A trained network that takes a table's raw columns: encoded and standardised first, then the network.

    The standardisation is float64 and its result float32, so a row here is the row that was trained on,
    bit for bit. It belongs to the pickled model and to the state_dict of the regressor; the network's
    own state_dict has the notebook's keys.

    Args:
        network: Takes standardised features.
        mean: Mean of each number over the training rows, (numbers,) float64; None where features are
            taken as they are.
        scale: Standard deviation of each, (numbers,) float64; None likewise.
        features: The features' names, in the order of the columns.
        target: The name of what is predicted; of several, with commas.
        target_mean: Mean of the target over the training rows, () float64, or (targets,), where the network
            was trained on the standardised target; None where on the target as it is.
        target_scale: Likewise its standard deviation.
        schema: What the columns hold, as the text of a `columns.Schema`; None where all are plain numbers.
        made_of: A network of the user's own by its name and arguments, as JSON; None for others.
        source: As `encoded` has it, (numbers,) float64; None where the table's numbers are taken as they are.
        fill: Likewise.
        code: Likewise.
    """

    mean: Tensor
    scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Tensor | None,
        scale: Tensor | None,
        features: tuple[str, ...],
        target: str,
        target_mean: Tensor | None = None,
        target_scale: Tensor | None = None,
        *,
        schema: str | None = None,
        made_of: str | None = None,
        source: Tensor | None = None,
        fill: Tensor | None = None,
        code: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        unit = {"target_mean": target_mean, "target_scale": target_scale}
        encoding = {"source": source, "fill": fill, "code": code}
        _hold(self, {"mean": mean, "scale": scale, **unit, **encoding})
        self.features = features
        self.target = target
        if schema is not None:
            self.schema = schema
        if made_of is not None:
            self.made_of = made_of

    def standardise(self, raw: Tensor) -> Tensor:
        """Standardised features, (rows, numbers) float32, of raw ones, (rows, features) float64.

        They lie in memory row by row whatever `raw` does: a matrix product of a transposed table (as
        pandas keeps it) ends in other bits.
        """
        return _standardised(self, raw)

    def forward(self, raw: Tensor) -> Tensor:
        """Predictions in the target's unit, float32, for raw features, (rows, features) float64.

        They are (rows,), or (rows, targets) where there are several. Of columns that are no plain numbers,
        `columns.Schema.numbers` makes raw features.
        """

        def predicted(raw: Tensor) -> Tensor:
            found = in_blocks(self.network, self.standardise(raw)).squeeze(1)
            if "target_mean" not in self._buffers:
                return found
            return in_unit(found, self.target_mean, self.target_scale)

        return _as_usual(predicted, raw)


class Classifier(nn.Module):
    """A trained network that takes a table's raw columns and says how probable each class is.

    Args:
        network: Takes standardised features; it has an output for each class, or one for the second of two.
        mean: As for `Regressor`; likewise all that follow.
        scale: Standard deviation of each number.
        features: The features' names.
        target: The name of what is predicted.
        schema: It names the classes.
        made_of: As for `Regressor`.
        source: As for `Regressor`.
        fill: Likewise.
        code: Likewise.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Tensor | None,
        scale: Tensor | None,
        features: tuple[str, ...],
        target: str,
        *,
        schema: str,
        made_of: str | None = None,
        source: Tensor | None = None,
        fill: Tensor | None = None,
        code: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        _hold(self, {"mean": mean, "scale": scale, "source": source, "fill": fill, "code": code})
        self.features = features
        self.target = target
        self.schema = schema
        if made_of is not None:
            self.made_of = made_of

    def standardise(self, raw: Tensor) -> Tensor:
        """As `Regressor.standardise`."""
        return _standardised(self, raw)

    def forward(self, raw: Tensor) -> Tensor:
        """The probability of each class, (rows, classes) float32, for raw features as for a regressor."""
        return _as_usual(lambda raw: probabilities(in_blocks(self.network, self.standardise(raw))), raw)


def _as_usual(compute: Callable[[Tensor], Tensor], raw: Tensor) -> Tensor:
    """In the arithmetic that is usual in this process, so that whoever asks has the same bits.

    A network that asks for what portable arithmetic does not have was trained in torch's own, and predicts in
    it; so does what torch follows to export it.
    """
    if is_followed(raw) or raw.device.type != "cpu":
        return compute(raw)
    try:
        with computing(usual()):
            return compute(raw)
    except Unproved:
        return compute(raw)


def _hold(model: nn.Module, numbers: Mapping[str, Tensor | None]) -> None:
    """Registers the buffers that there are: else a saved model is what it was before there were such."""
    for name, tensor in numbers.items():
        if tensor is not None:
            model.register_buffer(name, tensor)


def _standardised(model: Any, raw: Tensor) -> Tensor:
    if "mean" not in model._buffers and "source" not in model._buffers:  # an array's
        return raw.float().contiguous() if raw.is_floating_point() else raw.contiguous()
    raw = raw.double().contiguous()
    if "source" in model._buffers:
        raw = encoded(raw, model.source, model.fill, model.code)
    if "mean" in model._buffers:
        raw = (raw - model.mean) / model.scale
    return raw.float()


def encoded(raw: Tensor, source: Tensor, fill: Tensor, code: Tensor) -> Tensor:
    """The numbers that a network sees, (rows, numbers) float64, before they are standardised.

    Each comes from one number of a row. Where that is missing, `fill` stands for it. Then it is taken itself,
    or becomes 1 where it is `code`, and 0 else.

    Args:
        raw: A table's numbers, (rows, columns) float64, NaN where missing.
        source: The column that each comes from, (numbers,) float64.
        fill: What stands for a missing one, (numbers,) float64.
        code: `ITSELF`, or what is 1, (numbers,) float64.
    """
    taken = raw[:, source.long()]
    taken = torch.where(taken.isnan(), fill, taken)
    return torch.where(code == ITSELF, taken, (taken == code).double())


def probabilities(outputs: Tensor) -> Tensor:
    """The probability of each class, (rows, classes) float32.

    Args:
        outputs: The network's, (rows, classes); or (rows, 1), of the second of two classes.
    """
    if outputs.shape[1] > 1:
        return outputs.softmax(dim=1)
    second = outputs.sigmoid()
    return torch.cat([1 - second, second], dim=1)


def in_unit(found: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Values in the target's own unit, float32, of standardised ones, float32, of the same shape.

    Args:
        found: Standardised values.
        mean: Mean of the target over the training rows, () float64.
        scale: Its standard deviation, () float64.
    """
    return (found.double() * scale + mean).float()


VARIANTS: Mapping[str, type[MLPModule | MLPSequential]] = {
    "module": MLPModule,
    "sequential": MLPSequential,
}


def unset(
    kind: type[MLPModule | MLPSequential], inputs: int, hidden: tuple[int, ...], outputs: int = 1
) -> nn.Module:
    """A network whose weights mean nothing yet, for whoever has them already.

    Args:
        kind: One of `VARIANTS`.
        inputs: Number of features.
        hidden: Width of each hidden layer.
        outputs: Number of targets, or of classes.
    """
    with torch.random.fork_rng(devices=[]):  # torch draws some all the same
        return kind(inputs, hidden, outputs)


#: Every class that a whole pickled model may name; reading refuses all others.
CLASSES: tuple[type, ...] = (
    MLPModule,
    MLPSequential,
    ConvTestNet,
    Regressor,
    Classifier,
    nn.Linear,
    nn.Conv2d,
    nn.ReLU,
    nn.Sequential,
)
