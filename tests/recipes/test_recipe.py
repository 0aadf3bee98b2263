"""The recipe: checked, canonical, and the same whatever spelling it came in."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from reproven.errors import InvalidInput
from reproven.recipes.arguments import read_arguments
from reproven.recipes.choices import (
    OPTIMIZERS,
    OTHER_OPTIMIZERS,
    REFUSED_OPTIMIZERS,
    REFUSED_SCHEDULES,
    SCHEDULES,
    layer_names,
    usual_epochs,
)
from reproven.recipes.options import spell
from reproven.recipes.recipe import Recipe
from reproven.recipes.settings import OPTIONS


def problems(**texts: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        Recipe.parse(texts)
    return str(caught.value)


def test_json_reads_back_as_the_same_recipe() -> None:
    recipe = Recipe(
        variant="sequential",
        optimizer="adam",
        layer_lr=(("regression", 0.01), ("hidden", 1e-4)),
        betas=(0.8, 0.99),
        drop=("B", "AGE"),
        init="normal:std=0.5",
        lr=1 / 3,
    )
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(recipe.to_json()).sha256 == recipe.sha256


def test_spelling_does_not_change_the_recipe() -> None:
    plain = Recipe(optimizer="adam", init="normal", hidden=(10,), lr=0.001)
    spelt = Recipe.parse(
        {
            "optimizer": "adam",
            "betas": "0.9, 0.999",
            "eps": "1e-08",
            "amsgrad": "no",
            "weight_decay": "0",
            "init": "normal:std=1.0,mean=0",
            "hidden": "10",
            "lr": "1e-3",
            "split_seed": "12",
        }
    )
    assert spelt == plain
    assert spelt.sha256 == plain.sha256


def test_a_separator_is_kept_as_it_is_typed_and_is_not_the_decimal_mark() -> None:
    assert Recipe(data="t.csv", sep="\t") == Recipe.parse({"data": "t.csv", "sep": "tab"})
    assert '"sep":"tab"' in Recipe(data="t.csv", sep="\t").to_json()
    assert "sep" not in Recipe(data="t.csv").to_json()
    assert "sep and decimal are both ','. Try --sep ';'" in problems(data="t.csv", sep=",", decimal=",")


def test_a_recipe_without_validation_is_written_as_before_there_was_any() -> None:
    plain = Recipe()
    assert {"validation_size", "patience"}.isdisjoint(plain.to_dict())
    assert Recipe.parse({"validation_size": "0"}) == plain
    patient = Recipe(validation_size=0.25, patience=3)
    assert patient.to_dict() == plain.to_dict() | {"validation_size": 0.25, "patience": 3}
    assert Recipe.from_json(patient.to_json()) == patient


def test_split_seed_follows_the_seed() -> None:
    assert Recipe(seed=5).split_seed == 5
    assert Recipe(seed=5, split_seed=7).split_seed == 7


def test_a_fold_says_what_share_is_tested() -> None:
    recipe = Recipe.parse({"fold": "3/10", "test_size": "0.2"})  # as `mlflow run` gives it
    assert (recipe.fold, recipe.test_size) == ("3/10", 0.1)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert "fold" not in Recipe().to_dict()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "fold",
            "6/5",
            "fold is '6/5', but must be a fold and how many there are, two at least, as in 3/10.",
        ),
        ("data", " ", "data is ' ', but must be text, not blank. Try --data boston."),
        ("data_sha256", "abc", "data_sha256 is 'abc', but must be a sha256 of 64 hexadecimal digits."),
        ("target", "", "target is '', but must be text, not blank. Try --target MEDV."),
        ("drop", "B,,", "drop is ['B', '', ''], but must be names, separated by commas. Try --drop B."),
        ("sep", "ab", "sep is 'ab', but must be tab, or one character other than letters, digits, quotes"),
        ("sep", ";", "sep is given, but boston has no such thing: texts have it. Leave it out."),
        ("decimal", ";", "decimal is ';', but must be a point or a comma. Try --decimal ','."),
        (
            "standardise_target",
            "perhaps",
            "standardise_target is 'perhaps', but must be true or false. Try --standardise-target true.",
        ),
        ("task", "classify", "task is 'classify', but must be one of regression, classification."),
        ("preprocess", "yes", "preprocess is 'yes', but must be one of none, auto."),
        ("categorical", "a,,", "categorical is ['a', '', ''], but must be names, separated by commas."),
        ("impute", "0", "impute is '0', but must be one of median, mean, most_frequent, constant."),
        ("unknown", "drop", "unknown is 'drop', but must be one of ignore, refuse. Try --unknown ignore."),
        ("loss", "mae", "loss is 'mae', but must be one of mse, l1, huber, smooth_l1, cross_entropy"),
        ("loss", "cross_entropy", "for which there are mse, l1, huber, smooth_l1. Try --loss mse."),
        ("loss_args", "delta", "loss_args is 'delta', but must be NAME=VALUE pairs, separated by commas,"),
        ("loss_args", "delta=1", "loss_args names 'delta', but no loss is given. Try --loss huber."),
        ("standardise", "all", "standardise is 'all', but must be one of features, none."),
        (
            "network",
            "Net",
            "network is 'Net', but must be one of module, sequential, or ",
        ),
        ("network", "__main__:Net", "Put Net into a file of its own, such as nets.py (in a notebook:"),
        ("network", "nets:Outer.Net", "It must stand at the top of its module, but Outer.Net stands inside"),
        ("network", "nets:__class__", "none may begin with two underscores"),
        ("network", "os.__dict__:system", "none may begin with two underscores"),
        ("network_args", "width", "There is no = after 'width'. Try --network-arg width=32."),
        ("network_args", 'width={"a":1}', "must be NAME=VALUE pairs, separated by commas, of numbers, texts"),
        ("network_args", "width=3", "network_args is given, but the network is module, which takes --hidden"),
        ("metrics", "within", "metrics is ['within'], but must be package.module:name, separated by commas."),
        ("metrics", "measures:rmse", "metrics names rmse, but there is one of that name already."),
        ("test_size", "1", "test_size is 1.0, but must be at least 0 and less than 1. Try --test-size 0.2."),
        ("test_size", "nan", "test_size is nan, but must be at least 0 and less than 1."),
        (
            "validation_size",
            "1",
            "validation_size is 1.0, but must be at least 0 and less than 1. Try --validation-size 0.2.",
        ),
        ("split_seed", "-1", "split_seed is -1, but must be a whole number from 0 to 4294967295."),
        ("variant", "modul", "variant is 'modul', but must be one of module, sequential."),
        (
            "hidden",
            "10,0",
            "hidden is [10, 0], but must be whole numbers of at least 1, separated by commas.",
        ),
        ("hidden", "9" * 30, "but must be whole numbers of at least 1, separated by commas."),
        ("hidden", "", "hidden is '', but must be whole numbers of at least 1, separated by commas."),
        ("init", "xavier", "must be an initialisation scheme. Did you mean xavier_normal?"),
        ("init", "normal:std=-1", "std of normal is -1, but must be greater than 0."),
        ("init", "normal:mu=1", "normal has no argument 'mu'. There is mean, std."),
        ("init", "sparse", "sparse needs sparsity, as in sparse:sparsity=0.1."),
        ("init", "sparse:sparsity=2", "sparsity of sparse is 2, but must be from 0 to 1."),
        ("init", "uniform:a=1,b=0", "uniform needs a less than b, not 1.0 and 0.0."),
        ("init", "uniform:a=x", "a of uniform is 'x', but must be a number."),
        ("init", "kaiming_normal:mode=fan", "mode is 'fan'. Did you mean fan_in?"),
        ("init", "dirac", "init is dirac, but that is for convolutions alone. Try --init eye."),
        ("init_bias", "inf", "init_bias is inf, but must be a finite number. Try --init-bias 0.1."),
        ("optimizer", "lion", "optimizer is 'lion', but must be one of sgd, adam, adamw, rmsprop, adadelta,"),
        ("optimizer", "LBFGS", "optimizer is lbfgs, which evaluates the loss several times for one update,"),
        ("optimizer", "SparseAdam", "optimizer is sparseadam, which takes sparse gradients alone,"),
        ("optimizer_args", "foo", "There is no = after 'foo'. Try --optimizer-arg momentum_decay=0.01."),
        ("optimizer_args", "eps=1", "optimizer_args is given, but sgd has options of its own: --momentum,"),
        ("schedule", "warm", "schedule is 'warm', but must be one of ConstantLR, CosineAnnealingLR,"),
        (
            "schedule",
            "lambdalr",
            "schedule is LambdaLR, which takes a function, and no recipe",
        ),
        ("schedule", "ReduceLROnPlateau", "but validation_size is 0: there is no row to see a plateau by."),
        ("schedule_args", "T_max=3", "schedule_args is given, but no schedule is."),
        ("schedule_args", "scale_fn=f", "schedule_args names scale_fn, which is a function,"),
        ("schedule_per", "batch", "schedule_per is 'batch', but must be one of epoch, step."),
        ("clip_norm", "0", "clip_norm is 0.0, but must be greater than 0. Try --clip-norm 1.0."),
        ("allow_nondeterministic", "maybe", "allow_nondeterministic is 'maybe', but must be true or false."),
        ("lr", "-0.1", "lr is -0.1, but must be greater than 0. Try --lr 0.001."),
        ("lr", "fast", "lr is 'fast', but must be greater than 0. Try --lr 0.001."),
        ("layer_lr", "hidden1", "layer_lr is 'hidden1', but must be LAYER=RATE pairs with"),
        ("layer_lr", "hidden1=0", "layer_lr is [('hidden1', 0.0)], but must be LAYER=RATE pairs"),
        ("momentum", "-1", "momentum is -1.0, but must be at least 0. Try --momentum 0.9."),
        ("dampening", "x", "dampening is 'x', but must be a finite number. Try --dampening 0."),
        ("nesterov", "perhaps", "nesterov is 'perhaps', but must be true or false. Try --nesterov true."),
        ("nesterov", "true", "nesterov is true, but needs momentum greater than 0 and dampening 0."),
        ("weight_decay", "-1", "weight_decay is -1.0, but must be at least 0."),
        ("betas", "0.9", "betas is [0.9], but must be two numbers, each at least 0 and less than 1"),
        ("eps", "-1e-8", "eps is -1e-08, but must be at least 0. Try --eps 1e-8."),
        ("amsgrad", "2", "amsgrad is '2', but must be true or false."),
        ("alpha", "1", "alpha is 1.0, but must be at least 0 and less than 1. Try --alpha 0.99."),
        ("centered", "", "centered is '', but must be true or false."),
        ("epochs", "0", "epochs is 0, but must be a whole number from 1 to 2147483647. Try --epochs 30."),
        ("epochs", "1.5", "epochs is '1.5', but must be a whole number from 1 to 2147483647."),
        (
            "patience",
            "0",
            "patience is 0, but must be a whole number from 1 to 2147483647. Try --patience 10.",
        ),
        (
            "patience",
            "3",
            "patience is 3, but validation_size is 0: there is no row to tell a better epoch by. "
            "Try --validation-size 0.2.",
        ),
        ("batch_size", "many", "batch_size is 'many', but must be a whole number from 1 to 2147483647."),
        ("seed", "4294967296", "seed is 4294967296, but must be a whole number from 0 to 4294967295."),
        ("profile", "exact", "profile is 'exact', but must be one of portable, native."),
        ("device", "tpu", "device is 'tpu', but must be one of cpu, cuda, auto. Try --device cpu."),
    ],
)
def test_a_bad_value_is_named(name: str, text: str, words: str) -> None:
    assert words in problems(**{name: text})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hidden": "5"}, "hidden is given, but the network is nets:Net, which has no such option."),
        ({"variant": "module"}, "variant is given, but the network is nets:Net, which has no such option."),
        ({"optimizer": "nadam", "momentum": "0.9"}, "given by --optimizer-arg momentum=VALUE."),
        (
            {"optimizer": "nadam", "optimizer_args": "lr=1"},
            "names lr, which has an option of its own.",
        ),
        (
            {"schedule": "ReduceLROnPlateau", "schedule_per": "step", "validation_size": "0.2"},
            "schedule is ReduceLROnPlateau, which counts epochs, but schedule_per is step. Leave it out.",
        ),
    ],
)
def test_what_does_not_go_with_a_network_of_ones_own_is_named(given: dict[str, str], words: str) -> None:
    assert words in problems(network="nets:Net", **given)


def test_a_network_is_named_by_its_variant_or_by_its_module() -> None:
    assert Recipe(network="sequential") == Recipe(variant="sequential")
    assert Recipe(network="sequential").network_name == "sequential"
    assert "network is sequential, but variant is module" in problems(network="sequential", variant="module")
    own = Recipe(
        network="nets:Net", network_args={"width": 32, "widths": [8, 4], "act": "relu", "bias": None}
    )
    assert own.variant is None
    assert own.network_name == "nets:Net"
    assert own.network_args == (("act", "relu"), ("bias", None), ("width", 32), ("widths", (8, 4)))
    assert Recipe.from_json(own.to_json()) == own
    typed = "width=32,widths=[8,4],act=relu,bias=null"
    assert Recipe.parse({"network": "nets:Net", "network_args": typed}) == own
    assert Recipe.parse({"network": "nets:Net", "network_args": spell(own.to_dict()["network_args"])}) == own
    assert own.own == {"network": "nets:Net"}


class InTest:
    """Stands for a network of the user's own."""


def test_a_class_or_a_function_is_kept_by_its_name() -> None:
    here = f"{__name__}:InTest"
    recipe = Recipe(network=InTest, loss=problems, metrics=(problems,))  # type: ignore[arg-type]
    assert (recipe.network, recipe.loss) == (here, f"{__name__}:problems")
    assert recipe.metrics == (f"{__name__}:problems",)

    class Inner:
        pass

    with pytest.raises(InvalidInput, match=r"at the top of its module, but .*Inner stands inside"):
        Recipe(network=Inner)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a=1", [("a", 1)]),
        (" a = 1.5 , b=x y ", [("a", 1.5), ("b", "x y")]),
        ('a="1,2",b=[1,[2,3]]', [("a", "1,2"), ("b", [1, [2, 3]])]),
        ("a=1e-3,b=true,c=null,d=True", [("a", 1e-3), ("b", True), ("c", None), ("d", "True")]),
    ],
)
def test_arguments_are_json_or_words(text: str, pairs: list[tuple[str, object]]) -> None:
    assert read_arguments(text) == pairs


def test_the_optimizers_and_schedules_are_those_of_torch() -> None:
    from torch import optim
    from torch.optim import lr_scheduler

    names = {one.lower() for one in dir(optim) if inspect.isclass(getattr(optim, one)) and one != "Optimizer"}
    assert names - {*OPTIMIZERS, *REFUSED_OPTIMIZERS} <= {*OTHER_OPTIMIZERS}
    assert set(OTHER_OPTIMIZERS) - names <= {"muon"}  # which torch 2.9 has not under this name everywhere
    base = lr_scheduler.LRScheduler
    kinds = {one for one in dir(lr_scheduler) if _is_kind_of(getattr(lr_scheduler, one), base)}
    assert kinds - {"LRScheduler", "_LRScheduler"} == {*SCHEDULES, *REFUSED_SCHEDULES}


def _is_kind_of(value: object, base: type) -> bool:
    return inspect.isclass(value) and issubclass(value, base)


def test_every_option_has_a_test_of_its_error() -> None:
    (marker,) = test_a_bad_value_is_named.pytestmark  # type: ignore[attr-defined]
    assert {name for name, _, _ in marker.args[1]} == set(OPTIONS)


def test_all_problems_come_in_one_error() -> None:
    found = problems(lr="-1", epochs="none", optimizer="adam", momentum="0.9").splitlines()
    assert len(found) == 3
    assert found[2] == (
        "momentum is given, but adam has no such option; it belongs to sgd, rmsprop. "
        "Leave it out, or use --optimizer sgd."
    )


def test_unknown_layers_list_the_layers_there_are() -> None:
    assert "Did you mean hidden1? There is hidden1, hidden2, regression." in problems(layer_lr="hiden1=1")
    assert "There is hidden, hidden.0, hidden.2, regression." in problems(
        variant="sequential", layer_lr="x=1"
    )


def test_layers_may_be_named_once_and_not_within_another() -> None:
    assert "layer_lr names regression 2 times." in problems(layer_lr="regression=1,regression=2")
    assert "layer_lr names hidden.0 and hidden, which holds it." in problems(
        variant="sequential", layer_lr="hidden=1,hidden.0=2"
    )


def test_python_values_are_checked_as_text_is() -> None:
    wrong: dict[str, Any] = {"lr": "0.1", "epochs": True, "hidden": 10, "nesterov": 1, "drop": "B"}
    with pytest.raises(InvalidInput) as caught:
        Recipe(**wrong)
    assert len(caught.value.problems) == len(wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"hidden": "20,20"}, "In Python its type is tuple. Try hidden=(10, 10)."),
        ({"drop": "B"}, "drop is 'B', but must be names, separated by commas. In Python its type is tuple."),
        (
            {"lr": "1e-2"},
            "lr is '1e-2', but must be greater than 0. In Python its type is float. Try lr=0.001",
        ),
        ({"epochs": 3.0}, "In Python its type is int. Try epochs=30."),
        ({"nesterov": 1}, "In Python its type is bool. Try nesterov=True."),
        ({"data": 3}, "In Python its type is str. Try data='boston'."),
        ({"lr": -1}, "lr is -1, but must be greater than 0. Try lr=0.001."),
        (
            {"hidden": [0]},
            "hidden is [0], but must be whole numbers of at least 1, separated by commas. Try ",
        ),
        ({"init": "xavier"}, "Did you mean xavier_normal?"),
        ({"layer_lr": {"hidden1": "fast"}}, "but must be LAYER=RATE pairs with values greater than 0"),
    ],
)
def test_a_python_value_of_a_wrong_type_is_told_the_type(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Recipe(**wrong)
    (problem,) = caught.value.problems
    assert words in problem


def test_python_values_that_mean_the_same_make_the_same_recipe() -> None:
    numbers: dict[str, Any] = {"seed": np.int64(3), "lr": np.float64(0.25), "hidden": [np.int64(8), 4]}
    rates: dict[str, Any] = {"layer_lr": {"hidden2": 0.5, "hidden1": 1}}
    plain = Recipe(seed=3, lr=0.25, hidden=(8, 4), layer_lr=(("hidden1", 1.0), ("hidden2", 0.5)))
    assert Recipe(**numbers, **rates).sha256 == plain.sha256
    assert Recipe(**plain.to_dict()) == plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "The recipe is not JSON"),
        ("[]", "The recipe is not of format 1"),
        ('{"format": 2}', "The recipe is not of format 1"),
        ('{"format": 1, "lrs": 1}', "The recipe has unknown fields: lrs."),
        ('{"format": 1, "lr": "1"}', "lr is '1', but must be greater than 0."),
        ('{"format": 1, "hidden": {"a": 1}}', "hidden is {'a': 1}, but must be"),
        ('{"format": 1, "optimizer": ["sgd"]}', "optimizer is ['sgd'], but must be one of"),
    ],
)
def test_a_broken_recipe_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Recipe.from_json(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_defaults_are_those_of_torch(optimizer: str) -> None:
    names = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
    parameters = inspect.signature(getattr(torch.optim, names[optimizer])).parameters
    for name, default in OPTIMIZERS[optimizer].items():
        assert parameters[name].default == default


def test_layer_names_are_those_of_the_networks() -> None:
    from reproven.training.building import build_mlp

    for variant in ("module", "sequential"):
        network = build_mlp(variant, 4, (3, 2, 5), init="default", bias=None, seed=0)
        named = {name for name, module in network.named_modules() if name and list(module.parameters())}
        assert set(layer_names(variant, (3, 2, 5))) == named


def test_a_table_of_one_s_own_is_trained_by_other_settings_than_the_notebook_s() -> None:
    notebook, own = Recipe(), Recipe(data="houses.csv")
    assert (notebook.optimizer, notebook.lr, notebook.batch_size, notebook.epochs) == ("sgd", 0.001, 128, 30)
    assert (notebook.momentum, notebook.weight_decay) == (0, 0)
    assert (own.optimizer, own.lr, own.batch_size) == ("sgd", 0.003, 32)
    assert (own.momentum, own.weight_decay) == (0.9, 0.003)
    assert own.epochs is None  # until its rows are known
    chosen = Recipe(data="houses.csv", optimizer="sgd", lr=0.1)
    assert (chosen.momentum, chosen.weight_decay, chosen.lr) == (0, 0, 0.1)


@pytest.mark.parametrize(("rows", "epochs"), [(1, 400), (80, 334), (800, 40), (1600, 20), (10**6, 20)])
def test_a_table_of_one_s_own_is_gone_through_for_a_thousand_updates(rows: int, epochs: int) -> None:
    assert usual_epochs(rows, 32) == epochs
