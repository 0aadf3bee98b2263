"""Networks and their initialisation against torch and the notebook."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from reproven import networks
from reproven.errors import InvalidInput
from reproven.recipes.blueprint import Blueprint
from reproven.recipes.schemes import INIT_SCHEMES
from reproven.training import building
from reproven.training.building import build_blueprint as build


def mlp(variant: str, hidden: tuple[int, ...] = (10, 10), init: str = "default") -> nn.Module:
    return building.build_mlp(variant, 13, hidden, init=init, bias=None, seed=12)


def test_module_has_the_notebook_s_keys_and_shapes() -> None:
    assert {name: tuple(w.shape) for name, w in mlp("module").state_dict().items()} == {
        "hidden1.weight": (10, 13),
        "hidden1.bias": (10,),
        "hidden2.weight": (10, 10),
        "hidden2.bias": (10,),
        "regression.weight": (1, 10),
        "regression.bias": (1,),
    }
    assert [name for name, _ in mlp("module").named_children()] == [
        "hidden1",
        "active1",
        "hidden2",
        "active2",
        "regression",
    ]


def test_sequential_has_the_notebook_s_keys_and_shapes() -> None:
    assert {name: tuple(w.shape) for name, w in mlp("sequential").state_dict().items()} == {
        "hidden.0.weight": (10, 13),
        "hidden.0.bias": (10,),
        "hidden.2.weight": (10, 10),
        "hidden.2.bias": (10,),
        "regression.weight": (1, 10),
        "regression.bias": (1,),
    }


def test_the_testnet_of_one_hidden_layer_is_reachable() -> None:
    assert list(mlp("sequential", (10,)).state_dict()) == [
        "hidden.0.weight",
        "hidden.0.bias",
        "regression.weight",
        "regression.bias",
    ]


@pytest.mark.parametrize("hidden", [(10,), (10, 10), (3, 20, 5, 7)])
def test_both_variants_hold_the_same_tensors_in_one_order(hidden: tuple[int, ...]) -> None:
    module, sequential = mlp("module", hidden), mlp("sequential", hidden)
    weights = module.state_dict().values()
    sequential.load_state_dict(dict(zip(sequential.state_dict(), weights, strict=True)))
    X = torch.randn(5, 13, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module(X), sequential(X))


def notebook_init(module: nn.Module) -> None:
    """The notebook's init_weights, in today's names."""
    if type(module) is nn.Conv2d:
        nn.init.normal_(module.weight, mean=0, std=0.5)
    if type(module) is nn.Linear:
        nn.init.uniform_(module.weight, a=-0.1, b=0.1)
        module.bias.data.fill_(0.01)


def test_by_layer_is_the_notebook_s_init_weights() -> None:
    found = build(Blueprint(network="testnet", init="by_layer", seed=13))
    with torch.random.fork_rng():
        expected = networks.ConvTestNet()
        torch.manual_seed(13)
        expected.apply(notebook_init)
    for name, weight in expected.named_parameters():
        if name != "conv1.bias":  # the notebook leaves it as it was drawn before the seed was set
            assert torch.equal(found.get_parameter(name), weight)


def test_the_notebook_s_convolution_is_reachable() -> None:
    blueprint = Blueprint(network="conv", init="normal:mean=0.0,std=1.0", init_bias=0.1, seed=12)
    found: Any = build(blueprint)
    with torch.random.fork_rng():
        expected = nn.Conv2d(3, 16, 3)
        torch.manual_seed(12)
        nn.init.normal_(expected.weight, mean=0, std=1)
    assert torch.equal(found.weight, expected.weight)
    assert torch.equal(found.bias, torch.full((16,), 0.1))


@pytest.mark.parametrize("scheme", [s for s in INIT_SCHEMES if s not in ("default", "by_layer")])
def test_schemes_are_those_of_torch(scheme: str) -> None:
    parameters = inspect.signature(getattr(nn.init, f"{scheme}_")).parameters
    empty = inspect.Parameter.empty
    for name, default in INIT_SCHEMES[scheme].items():
        assert parameters[name].default == (empty if default is None else default)
    assert set(parameters) - {"tensor", "generator"} == set(INIT_SCHEMES[scheme])


@pytest.mark.parametrize("scheme", [s for s in INIT_SCHEMES if s not in ("default", "dirac")])
def test_every_scheme_draws_what_torch_draws(scheme: str) -> None:
    given = {"constant": ":val=0.3", "sparse": ":sparsity=0.5"}.get(scheme, "")
    found = mlp("module", init=scheme + given)
    if scheme == "by_layer":
        return
    values = {n: v for n, v in INIT_SCHEMES[scheme].items() if v is not None}
    values |= {"constant": {"val": 0.3}, "sparse": {"sparsity": 0.5}}.get(scheme, {})
    expected = mlp("module")
    with torch.random.fork_rng():
        torch.manual_seed(12)
        for layer in expected.children():
            if isinstance(layer, nn.Linear):
                getattr(nn.init, f"{scheme}_")(layer.weight, **values)
    for name, weight in expected.named_parameters():
        assert torch.equal(found.get_parameter(name), weight), name


def test_a_scheme_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="init is dirac:groups=1, which does not fit testnet"):
        build(Blueprint(network="testnet", init="dirac:groups=1"))


def test_predictions_do_not_depend_on_how_the_table_lies_in_memory() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(300, 13, generator=generator, dtype=torch.float64)
    ones = torch.ones(13, dtype=torch.float64)
    regressor = networks.Regressor(mlp("module"), 0 * ones, ones, tuple("abcdefghijklm"), "y")
    by_columns = raw.T.contiguous().T
    assert torch.equal(regressor(raw), regressor(by_columns))
    assert torch.equal(regressor(raw[:1]), regressor(raw)[:1])


#: In which MKL rounds a row as it does in any other block.
COMPATIBLE = {"MKL_CBWR": "COMPATIBLE", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("variant", "arithmetic"),
    [
        pytest.param("module", COMPATIBLE, id="module-compatible"),
        pytest.param("sequential", {}, id="sequential", marks=pytest.mark.slow),
        pytest.param("module", {}, id="module", marks=pytest.mark.slow),
        pytest.param("sequential", COMPATIBLE, id="sequential-compatible", marks=pytest.mark.slow),
    ],
)
def test_an_exported_or_traced_regressor_takes_any_number_of_rows(
    variant: str, arithmetic: dict[str, str]
) -> None:
    code = (
        "import reproven, torch\n"
        "from reproven import networks\n"
        "reproven.enter('native')\n"  # in which what torch follows computes
        f"network = networks.unset(networks.VARIANTS[{variant!r}], 13, (10, 7))\n"
        "draw = torch.Generator().manual_seed(0)\n"
        "mean, scale = torch.rand(2, 13, generator=draw, dtype=torch.float64)\n"
        "regressor = networks.Regressor(network, mean, scale, tuple('abcdefghijklm'), 'y').eval()\n"
        "tables = [torch.randn(rows, 13, generator=draw, dtype=torch.float64)\n"
        "          for rows in (4, 1, 2, 255, 256, 257, 600)]\n"
        "rows = torch.export.Dim('rows')\n"
        "exported = torch.export.export(regressor, (tables[0],), dynamic_shapes=({0: rows},))\n"
        "torch.export.save(exported, 'regressor.pt2')\n"
        "torch.jit.save(torch.jit.trace(regressor, (tables[0],)), 'regressor.pt')\n"
        "loaded = [torch.export.load('regressor.pt2').module(), torch.jit.load('regressor.pt')]\n"
        "for taken in [exported.module(), *loaded]:\n"
        "    for with_gradients in (True, False, True):\n"  # TorchScript compiles anew after it has looked on
        "        with torch.set_grad_enabled(with_gradients):\n"
        "            for table in tables:\n"
        "                assert torch.equal(taken(table), regressor(table)), (taken, table.shape)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in COMPATIBLE}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**environment, **arithmetic},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
