"""Digests: equal for equal bits, other for one bit, whatever the names or the file."""

from __future__ import annotations

import pytest
import torch

from reproven.files.digests import digester, intervals, tensor_digests, tensor_sha256
from reproven.networks import MLPModule
from reproven.training import building
from reproven.values.steps import all_weights_sha256


def mlp(variant: str, seed: int = 12) -> torch.nn.Module:
    return building.build_mlp(variant, 13, (10, 10), init="default", bias=None, seed=seed)


def weight_digests(network: torch.nn.Module) -> dict[str, str]:
    return tensor_digests(network.state_dict())


def weights_sha256(network: torch.nn.Module) -> str:
    return all_weights_sha256(weight_digests(network).values())


def test_both_variants_have_one_digest() -> None:
    assert weights_sha256(mlp("module")) == weights_sha256(mlp("sequential"))
    assert weights_sha256(mlp("module")) != weights_sha256(mlp("module", seed=13))


def test_one_ulp_of_one_weight_changes_its_digest_alone() -> None:
    network = mlp("module")
    before, whole = weight_digests(network), weights_sha256(network)
    with torch.no_grad():
        weight = network.get_parameter("hidden2.weight")
        weight[3, 4] = torch.nextafter(weight[3, 4], torch.tensor(9.0))
    after = weight_digests(network)
    assert {name for name in after if after[name] != before[name]} == {"hidden2.weight"}
    assert weights_sha256(network) != whole


@pytest.mark.parametrize(
    "other",
    [
        torch.zeros(6),
        torch.zeros(3, 2),
        torch.zeros(2, 3, dtype=torch.float64),
        -torch.zeros(2, 3),
        torch.zeros(2, 3, dtype=torch.int32),
    ],
)
def test_type_shape_and_sign_belong_to_the_digest(other: torch.Tensor) -> None:
    assert tensor_sha256(other) != tensor_sha256(torch.zeros(2, 3))


def test_the_place_in_memory_does_not() -> None:
    values = torch.arange(6.0).reshape(2, 3)
    assert tensor_sha256(values.T.contiguous().T) == tensor_sha256(values)
    assert tensor_sha256(torch.zeros(0, 3)) == tensor_sha256(torch.zeros(0, 3))


@pytest.mark.parametrize("variant", ["module", "sequential"])
def test_a_digester_follows_weights_that_are_written_in_place(variant: str) -> None:
    network = mlp(variant)
    digests = digester(network)
    assert digests(None) == list(weight_digests(network).values())
    before = digests(None)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.25)
    assert digests(None) == list(weight_digests(network).values())
    assert not set(digests(None)) & set(before)


def sizes(*hidden: int) -> dict[str, int]:
    with torch.device("meta"):  # draws nothing
        return {name: parameter.numel() for name, parameter in MLPModule(13, hidden).named_parameters()}


def test_a_network_that_is_not_wide_is_digested_whole_after_every_step() -> None:
    assert all(intervals(sizes(*hidden), batch_size=1) == {} for hidden in ((10, 10), (50,), (8, 8, 8, 8)))
    assert intervals(sizes(64, 64), batch_size=128) == {}


def test_the_wide_tensors_of_a_wide_network_are_digested_at_intervals() -> None:
    found = intervals(sizes(512, 512), batch_size=128)
    assert found == {"hidden2.weight": 8}
    assert intervals(sizes(512, 512), batch_size=1)["hidden2.weight"] > 8  # where a step takes less
    assert intervals(sizes(2048, 2048), batch_size=16) == {"hidden2.weight": 32}


def test_a_digester_leaves_out_what_has_not_its_turn() -> None:
    network = mlp("module")
    whole = list(weight_digests(network).values())
    digests = digester(network, {"hidden1.weight": 3})
    assert digests(None) == digests(6) == whole
    assert digests(7) == digests(8) == ["", *whole[1:]]
