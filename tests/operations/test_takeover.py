"""torch in portable arithmetic: the same functions but for rounding, and nothing that is unproved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from operating import CASES, drawn
from reproven.errors import Unproved
from reproven.operations import takeover
from reproven.operations.exact import is_exact
from reproven.operations.takeover import OURS, as_it_comes, at_hand, in_force
from reproven.operations.tensors import takes_float64

#: Cases whose numbers are drawn from the normal distribution, in another way than torch draws them.
OTHER_DRAWS = ("normal", "orthogonal", "sparse", "init of layers", "draws")


@pytest.fixture(autouse=True)
def own_generator() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def computed(case: str) -> list[Tensor]:
    with in_force():
        return [one.clone() for one in CASES[case]()]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:enable_nested_tensor")
def test_it_is_what_torch_computes_up_to_rounding(case: str) -> None:
    found = computed(case)
    for ours, theirs in zip(found, CASES[case](), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        if not any(word in case for word in OTHER_DRAWS):
            tolerance = 2e-2 if case in ("products", "optimizer Muon") else 2e-5  # bfloat16 is among these
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for ours, again in zip(found, computed(case), strict=True):
        assert torch.equal(ours, again)


@pytest.fixture(scope="module")
def asked() -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """What each operation was first asked for, in all cases together."""
    found: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def noting(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            kept = tuple(one.detach().clone() if isinstance(one, Tensor) else one for one in arguments)
            found.setdefault(name, (kept, options))
            return compute(*arguments, **options)

        return noted

    noted = {name: noting(name, compute) for name, compute in OURS.items()}
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        patch.setattr(takeover, "OURS", noted)
        with in_force():
            for compute in CASES.values():
                compute()
    return found


@pytest.mark.parametrize("name", OURS)
def test_every_operation_that_is_ours_is_torch_s_and_proved_by_a_case(
    name: str, asked: dict[str, tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    assert name in takeover._computed_on_cpu()
    if name in asked:
        return
    base, _, overload = name.partition(".")
    own = base.rstrip("_")
    forms = (
        f"{own}.dim_IntList",
        f"{own}.dim",
        f"{own}.{overload.removesuffix('_out')}",
        f"{own}.Tensor",
        own,
    )
    plain = next(one for one in forms if one in asked)
    arguments, options = asked[plain]
    operation = getattr(getattr(torch.ops.aten, base), overload or "default")
    with in_force():
        expected = OURS[plain](*arguments, **options)
        if "out" in overload:
            found = operation(*arguments, **options, out=torch.empty(0, dtype=expected.dtype))
        else:
            into = arguments[0].to(expected.dtype).expand(expected.shape).clone()
            found = operation(into, *arguments[1:], **options)
            assert found is into
    assert torch.equal(found, expected)


def test_nothing_is_both_ours_and_exact_and_every_exact_name_is_torch_s() -> None:
    known = takeover._computed_on_cpu()
    both = [name for name in OURS if is_exact(name)]
    assert both == []
    bases = {name.partition(".")[0].rstrip("_") for name in known}
    from reproven.operations import exact

    strange = [name for name in exact._BASES if name not in bases and not hasattr(torch.ops.aten, name)]
    assert strange == []


@pytest.mark.parametrize(
    ("operation", "compute"),
    [
        ("hardswish", lambda: functional.hardswish(drawn(3))),
        ("cumsum", lambda: drawn(3).cumsum(0)),
        ("linalg_inv_ex", lambda: torch.linalg.inv(torch.eye(2))),
        ("convolution", lambda: functional.conv_transpose1d(drawn(1, 2, 5), drawn(2, 2, 3))),
        ("scatter", lambda: torch.zeros(3).scatter_(0, torch.tensor([0, 0]), drawn(2), reduce="add")),
        ("mm", lambda: drawn(2, 2).double() @ drawn(2, 2).double()),
        ("sum", lambda: drawn(2).half().sum()),
        ("linalg_vector_norm", lambda: drawn(5).norm(3)),
        ("multinomial", lambda: torch.multinomial(torch.ones(3), 2)),
        ("_fused_sgd", lambda: fused_sgd()),
    ],
)
@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
def test_what_is_unproved_is_refused_by_its_name(operation: str, compute: Callable[[], Any]) -> None:
    with in_force(), pytest.raises(Unproved) as told:
        compute()
    assert told.value.operation == operation
    compute()  # as torch comes, it works


def fused_sgd() -> None:
    parameter = nn.Parameter(drawn(3))
    parameter.grad = drawn(3)
    torch.optim.SGD([parameter], lr=0.1, fused=True).step()


def test_torch_is_as_it_came_afterwards_also_after_an_error_and_within_another() -> None:
    a, b = drawn(64, 300), drawn(300, 64)
    before = a @ b
    with in_force():
        with pytest.raises(Unproved), in_force():
            a.cumsum(0)
        ours = a @ b
    assert torch.equal(a @ b, before)
    assert not torch.equal(ours, before)
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_is_computed_beside_a_training_is_as_it_comes() -> None:
    a, b = drawn(64, 300), drawn(300, 64)
    before = a @ b
    with at_hand("portable"):
        with as_it_comes():
            assert torch.equal(a @ b, before)
            assert a.cumsum(0).shape == a.shape
        assert not torch.equal(a @ b, before)
    with at_hand("native"), as_it_comes():
        assert torch.equal(a @ b, before)
    assert torch.equal(a @ b, before)


def test_threads_may_be_in_force_together() -> None:
    a, b = drawn(64, 300), drawn(300, 64)
    with in_force():
        expected = a @ b
    found: list[Tensor] = []

    def compute() -> None:
        for _ in range(20):
            with in_force():
                found.append(a @ b)

    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(torch.equal(one, expected) for one in found)


def inputs(*shape: int) -> Tensor:
    return drawn(*shape).double().requires_grad_()


SLOPES: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "linear": (functional.linear, (inputs(4, 3), inputs(2, 3), inputs(2))),
    "conv2d": (
        lambda x, w, b: functional.conv2d(x, w, b, stride=2, padding=(1, 2), dilation=(2, 1), groups=2),
        (inputs(2, 4, 7, 6), inputs(6, 2, 3, 2), inputs(6)),
    ),
    "conv1d": (lambda x, w: functional.conv1d(x, w, stride=3), (inputs(2, 2, 11), inputs(3, 2, 2))),
    "avg_pool2d": (
        lambda x: functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        (inputs(2, 2, 6, 5),),
    ),
    "adaptive_avg_pool2d": (lambda x: functional.adaptive_avg_pool2d(x, (2, 3)), (inputs(2, 2, 5, 7),)),
    "batch_norm": (
        lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True),
        (inputs(6, 3, 2), inputs(3), inputs(3)),
    ),
    "batch_norm in evaluation": (
        lambda x, w, b: functional.batch_norm(x, torch.zeros(3).double(), torch.ones(3).double() * 2, w, b),
        (inputs(6, 3, 2), inputs(3), inputs(3)),
    ),
    "layer_norm": (
        lambda x, w, b: functional.layer_norm(x, (3, 2), w, b),
        (inputs(4, 3, 2), inputs(3, 2), inputs(3, 2)),
    ),
    "group_norm": (
        lambda x, w, b: functional.group_norm(x, 2, w, b),
        (inputs(3, 4, 5), inputs(4), inputs(4)),
    ),
    "embedding": (lambda w: functional.embedding(torch.tensor([[0, 2], [2, 2]]), w), (inputs(4, 3),)),
    "softmax": (lambda x: functional.softmax(x, 0), (inputs(4, 3),)),
    "log_softmax": (lambda x: functional.log_softmax(x, 1), (inputs(4, 3),)),
    "logsumexp": (lambda x: x.logsumexp(0), (inputs(4, 3),)),
    "gelu": (functional.gelu, (inputs(9),)),
    "gelu by tanh": (lambda x: functional.gelu(x, approximate="tanh"), (inputs(9),)),
    "silu": (functional.silu, (inputs(9),)),
    "elu": (lambda x: functional.elu(x, 0.7), (inputs(9),)),
    "selu": (functional.selu, (inputs(9),)),
    "softplus": (lambda x: functional.softplus(x, 3, 2), (inputs(9),)),
    "tanh": (torch.tanh, (inputs(9),)),
    "sigmoid": (torch.sigmoid, (inputs(9),)),
    "mse": (functional.mse_loss, (inputs(4, 3), inputs(4, 1).expand(4, 3).contiguous())),
    "huber": (lambda x, y: functional.huber_loss(x, y, delta=0.3), (inputs(9), inputs(9) * 0.3)),
    "smooth_l1": (lambda x, y: functional.smooth_l1_loss(x, y, beta=0.4), (inputs(9), inputs(9) * 0.3)),
    "cross_entropy": (
        lambda x: functional.cross_entropy(
            x, torch.tensor([0, 2, 1, 2]), weight=torch.tensor([1.0, 2, 3]).double()
        ),
        (inputs(4, 3),),
    ),
    "of logits": (
        lambda x: functional.binary_cross_entropy_with_logits(x, torch.ones(9).double() * 0.3),
        (inputs(9),),
    ),
    "of probabilities": (
        lambda x: functional.binary_cross_entropy(x * 0.4 + 0.5, torch.ones(9).double() * 0.3),
        (inputs(9),),
    ),
    "std": (lambda x: x.std(0), (inputs(5, 2),)),
    "norm": (lambda x: x.norm(), (inputs(5, 2),)),
    "attention": (
        lambda q, k: functional.scaled_dot_product_attention(q, k, k, is_causal=True),
        (inputs(1, 2, 4, 3), inputs(1, 2, 4, 3)),
    ),
    "places": (lambda x: x[torch.tensor([0, 0, 2])].square().sum(1), (inputs(3, 2),)),
}


@pytest.mark.parametrize("name", SLOPES)
def test_a_derivative_is_that_of_what_is_computed(name: str) -> None:
    function, arguments = SLOPES[name]
    allowed = takes_float64.set(True)
    try:
        with in_force():
            assert torch.autograd.gradcheck(function, [one.detach().requires_grad_() for one in arguments])
    finally:
        takes_float64.reset(allowed)


def test_memory_of_any_layout_is_read_and_written() -> None:
    a, b = drawn(40, 30), drawn(30, 20)
    with in_force():
        expected = a @ b
        assert torch.equal(a.T.contiguous().T @ b.T.contiguous().T, expected)
        assert torch.equal(a.flip(0).flip(0)[::1] @ b, expected)
        assert torch.equal((a[:1].expand(5, 30) @ b), expected[:1].expand(5, 20))
        into = torch.zeros(20, 40).T
        torch.mm(a, b, out=into)
        assert torch.equal(into, expected)
        part = torch.zeros(6, 6)
        part[::2, 1].add_(drawn(3), alpha=0.5)
    assert np.count_nonzero(part.numpy()) == 3
