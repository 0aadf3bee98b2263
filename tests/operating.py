"""What torch may be asked for in portable arithmetic: cases that return tensors, and their digests as JSON.

python tests/operating.py [--native] [THREADS]
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Case = Callable[[], list[Tensor]]
CASES: dict[str, Case] = {}


def drawn(*shape: int, seed: int = 2) -> Tensor:
    """Numbers from −1 to 1, the same on every machine."""
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(shape, dtype=torch.int64).random_(0, 1 << 24, generator=generator).float() / 2**23 - 1


backward: Callable[[Tensor], None] = Tensor.backward  # which has no types


def case(name: str) -> Callable[[Case], Case]:
    def enter(compute: Case) -> Case:
        CASES[name] = compute
        return compute

    return enter


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 16, padding_idx=0)
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu", dropout=0.0)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(self.words(x)).mean(1)
        return found


class Causal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(x, x, x, is_causal=True)


_2D = drawn(8, 1, 9, 9)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "perceptron": (
        lambda: nn.Sequential(nn.Linear(13, 10), nn.ReLU(), nn.Linear(10, 1, bias=False)),
        drawn(128, 13),
    ),
    "wide": (lambda: nn.Sequential(nn.Linear(300, 130), nn.ReLU(), nn.Linear(130, 3)), drawn(200, 300)),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2, bias=False),
            nn.AvgPool2d(2, stride=1, padding=1),
            nn.AdaptiveAvgPool2d(2),
        ),
        _2D,
    ),
    "convolutions of lines": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3, dilation=2),
            nn.GroupNorm(2, 4),
            nn.GELU(),
            nn.AvgPool1d(2, ceil_mode=True, count_include_pad=False),
            nn.Conv1d(4, 3, 2, stride=3),
            nn.AdaptiveMaxPool1d(2),
        ),
        drawn(8, 2, 20),
    ),
    "overlapping pools": (
        lambda: nn.Sequential(
            nn.MaxPool2d(3, stride=1), nn.AvgPool2d(3, stride=2), nn.AdaptiveAvgPool2d((2, 3))
        ),
        _2D.clone().requires_grad_(),
    ),
    "activations": (
        lambda: nn.Sequential(
            nn.Linear(5, 6),
            nn.SiLU(),
            nn.Linear(6, 6),
            nn.Tanh(),
            nn.LayerNorm(6),
            nn.Sigmoid(),
            nn.Softmax(1),
            nn.LogSoftmax(1),
            nn.LeakyReLU(),
            nn.ELU(inplace=True),
            nn.Softplus(),
            nn.Hardtanh(-1.5, 1.5),
            nn.GELU(approximate="tanh"),
            nn.PReLU(),
            nn.Dropout(0.2),
        ),
        drawn(32, 5),
    ),
    "norm of columns": (
        lambda: nn.Sequential(nn.BatchNorm1d(5), nn.LayerNorm(5, elementwise_affine=False)),
        drawn(32, 5).requires_grad_(),
    ),
    "attention": (Attention, (drawn(8, 7) * 10 + 10).long()),
    "causal attention": (Causal, drawn(2, 3, 6, 4).requires_grad_()),
}


def _trained(make: Callable[[], nn.Module], x: Tensor) -> list[Tensor]:
    """Outputs, gradients and buffers of one step, and outputs in evaluation; the weights are drawn here."""
    torch.manual_seed(0)
    network = make()
    with torch.no_grad():
        for place, parameter in enumerate(network.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=place) / 2)
    x = x.clone().detach().requires_grad_(x.requires_grad)
    outputs = network(x)
    backward(functional.mse_loss(outputs, torch.ones_like(outputs)))
    gradients = [one.grad for one in (x, *network.parameters()) if one.grad is not None]
    buffers = [one.float() for one in network.buffers()]
    network.eval()
    with torch.inference_mode():
        found = network(x.detach()).clone()
    return [outputs.detach(), *gradients, *buffers, found]


for _name, (_make, _x) in NETWORKS.items():
    CASES[f"network {_name}"] = lambda make=_make, x=_x: _trained(make, x)  # type: ignore[misc]

_OF_CLASSES = (drawn(32) * 1.5 + 1.5).long()
LOSSES: dict[str, Callable[[Tensor, str], Tensor]] = {
    "mse": lambda x, how: functional.mse_loss(x, drawn(32, 3), reduction=how),
    "l1": lambda x, how: functional.l1_loss(x, drawn(32, 3), reduction=how),
    "huber": lambda x, how: functional.huber_loss(x, drawn(32, 3), delta=0.3, reduction=how),
    "smooth l1": lambda x, how: functional.smooth_l1_loss(x, drawn(32, 3), beta=0.3, reduction=how),
    "cross entropy": lambda x, how: functional.cross_entropy(x, _OF_CLASSES, reduction=how),
    "smoothed": lambda x, how: functional.cross_entropy(
        x, _OF_CLASSES, label_smoothing=0.1, ignore_index=1, reduction=how
    ),
    "weighted": lambda x, how: functional.cross_entropy(x, _OF_CLASSES, weight=drawn(3).abs(), reduction=how),
    "in two dimensions": lambda x, how: functional.cross_entropy(
        x.reshape(4, 3, 4, 2), _OF_CLASSES.reshape(4, 4, 2), reduction=how
    ),
    "of logits": lambda x, how: functional.binary_cross_entropy_with_logits(
        x, drawn(32, 3).abs(), pos_weight=torch.tensor(2.0), reduction=how
    ),
    "of probabilities": lambda x, how: functional.binary_cross_entropy(
        torch.sigmoid(x), drawn(32, 3).abs(), reduction=how
    ),
}


def _sloped(loss: Callable[[Tensor, str], Tensor], how: str) -> list[Tensor]:
    x = drawn(32, 3, seed=5).requires_grad_()
    value = loss(x, how)
    backward(value.sum())
    assert x.grad is not None
    return [value.detach(), x.grad]


for _name, _loss in LOSSES.items():
    for _how in ("mean", "sum", "none"):
        CASES[f"loss {_name}, {_how}"] = lambda loss=_loss, how=_how: _sloped(loss, how)  # type: ignore[misc]

#: All of torch.optim that take no closure and no sparse gradients, with what makes them do more.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
    "AdamW": {"weight_decay": 0.1},
    "RMSprop": {"momentum": 0.5, "centered": True, "weight_decay": 0.1},
    "ASGD": {},
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {"lr_decay": 0.1},
    "Adamax": {},
    "Muon": {},
    "NAdam": {},
    "RAdam": {},
    "Rprop": {},
}


def _updated(name: str, options: dict[str, Any]) -> list[Tensor]:
    shapes = [(3, 5)] if name == "Muon" else [(3, 5), (3,)]
    parameters = [nn.Parameter(drawn(*shape)) for shape in shapes]
    optimizer = getattr(torch.optim, name)(parameters, lr=0.01, **options)
    for step in range(5):
        for parameter in parameters:
            parameter.grad = drawn(*parameter.shape, seed=step)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


for _name, _options in OPTIMIZERS.items():
    CASES[f"optimizer {_name}"] = lambda name=_name, options=_options: _updated(name, options)  # type: ignore[misc]

SCHEMES: dict[str, dict[str, Any]] = {
    "uniform_": {"a": -0.3, "b": 0.7},
    "normal_": {"mean": 0.1, "std": 0.5},
    "trunc_normal_": {"std": 0.5, "a": -0.6, "b": 0.9},
    "xavier_uniform_": {},
    "xavier_normal_": {},
    "kaiming_uniform_": {},
    "kaiming_normal_": {},
    "orthogonal_": {},
    "eye_": {},
    "sparse_": {"sparsity": 0.5},
    "constant_": {"val": 0.3},
}


def _initialised(scheme: str, options: dict[str, Any]) -> list[Tensor]:
    torch.manual_seed(4)
    tall, broad = torch.empty(40, 6), torch.empty(4, 6)
    for one in (tall, broad):
        getattr(nn.init, scheme)(one, **options)
    return [tall, broad]


for _name, _options in SCHEMES.items():
    CASES[f"init {_name}"] = lambda name=_name, options=_options: _initialised(name, options)  # type: ignore[misc]


@case("init of layers")
def _layers() -> list[Tensor]:
    torch.manual_seed(5)
    layers = nn.Linear(13, 10), nn.Conv2d(3, 4, 3), nn.Embedding(7, 5), nn.MultiheadAttention(8, 2)
    return [parameter.detach() for layer in layers for parameter in layer.parameters()]


@case("draws")
def _draws() -> list[Tensor]:
    torch.manual_seed(6)
    x = drawn(40).requires_grad_()
    dropped = functional.dropout(x, 0.3)
    backward((dropped * dropped).sum())
    assert x.grad is not None
    return [dropped.detach(), x.grad, torch.rand(5), torch.randn(5), torch.randperm(100), torch.rand_like(x)]


@case("places")
def _places() -> list[Tensor]:
    x = drawn(6, 3).requires_grad_()
    one, several = torch.tensor([0, 2, 2, 5]), torch.tensor([[0], [1], [2], [0], [0], [0]])
    loss = x[one].square().sum() + x[x > 0.5].sum() + x.gather(1, several).sum() + x[:, 1].mean()
    loss = loss + x.index_add(0, one, x[:4]).square().mean() + x.index_select(0, one).exp().sum()
    backward(loss)
    assert x.grad is not None
    counted = torch.zeros(4, dtype=torch.int64).index_put_((one.clamp(max=3),), torch.ones(4).long(), True)
    scattered = torch.zeros(6, 3).scatter_add(0, several, drawn(6, 1))
    put = x.detach().index_put((one,), drawn(4, 3))
    return [
        loss.detach(),
        x.grad,
        counted,
        scattered,
        put,
        torch.zeros(4).index_put((one[:2],), drawn(2), True),
    ]


@case("sums")
def _sums() -> list[Tensor]:
    x = drawn(7, 9, 5)
    return [
        *(x.sum(), x.sum(1), x.sum((0, 2), keepdim=True), x.mean(), x.mean((0, 1)), (x > 0).sum(0)),
        *(x.var(), x.var(1, correction=0), x.std((0, 2)), *torch.var_mean(x, 2), x.logsumexp(1)),
        *(x.norm(), x.norm(1), x.abs().norm(float("inf"), 2), x.sum(()).clone()),
    ]


@case("orthogonal columns")
def _columns() -> list[Tensor]:
    return [*torch.linalg.qr(drawn(9, 5))]


@case("products")
def _products() -> list[Tensor]:
    a, b, c = drawn(7, 5), drawn(5, 6), drawn(7, 6)
    return [
        *(a @ b, a @ b[:, 0], a[0] @ b[:, 0], torch.bmm(a[None], b[None]), torch.addmm(c, a, b)),
        *(
            torch.addmm(c, a, b, beta=0.3, alpha=0.7),
            torch.addmm(c, a, b, beta=0),
            torch.einsum("ij,jk->ki", a, b),
        ),
        *(torch.baddbmm(c[None], a[None], b[None]), torch.addmv(c[:, 0], a, b[:, 0])),
        (a.bfloat16() @ b.bfloat16()).float(),
    ]


@case("functions")
def _functions() -> list[Tensor]:
    x = drawn(200) * 5
    y = x.abs() + 0.01
    return [
        *(x.exp(), x.expm1(), y.log(), y.log1p(), x.sin(), x.cos(), x.erf(), (x / 6).erfinv(), x.tanh()),
        *(
            y.sqrt(),
            y.rsqrt(),
            y**2,
            y**3,
            y**-1.7,
            y**0.5,
            y**0,
            y**1,
            y**-1,
            x.sigmoid(),
            torch.arange(3).exp(),
            functional.elu(x, 0.7),
        ),
    ]


@case("additions")
def _additions() -> list[Tensor]:
    x, y, z = drawn(6, 5), drawn(5, seed=3), drawn(6, 1, seed=4) + 2
    whole = torch.arange(5)
    return [
        *(x + y, x.add(y, alpha=0.3), x - z, x.sub(z, alpha=-0.7), 1 - x, x + 1.5, x + whole, whole + whole),
        *(torch.lerp(x, y, 0.3), torch.lerp(x, y, 0.7), torch.lerp(x, y.expand(6, 5), z.expand(6, 5))),
        *(x.addcmul(y, z, value=0.3), x.addcdiv(y, z, value=-0.3), (x > 0) + (y > 0), torch.rsub(x, y)),
        *(x.double() + y, x.clone().add_(whole), x.clone().add_(y, alpha=2.0)),
    ]


def digest(found: list[Tensor]) -> str:
    """A digest of shapes, types and every bit."""
    sha256 = hashlib.sha256()
    for one in found:
        values = np.ascontiguousarray(one.detach().numpy())
        sha256.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())
    return sha256.hexdigest()[:16]


def main() -> None:
    from reproven.operations.takeover import in_force

    warnings.simplefilter("ignore")
    options = sys.argv[1:]
    if options and options[-1].isdigit():
        torch.set_num_threads(int(options[-1]))
    with nullcontext() if "--native" in options else in_force():
        found = {name: digest(compute()) for name, compute in CASES.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
