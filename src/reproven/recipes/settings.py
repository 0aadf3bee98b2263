"""Settings: what each field of a recipe is, for the command line, for checks and for errors."""

from __future__ import annotations

from collections.abc import Mapping

from reproven.arithmetic.profiles import PROFILES
from reproven.recipes import typed
from reproven.recipes.arguments import arguments
from reproven.recipes.choices import (
    DEVICES,
    EPOCH,
    IMPUTES,
    LOSSES,
    MAX_SEED,
    OPTIMIZERS,
    OTHER_OPTIMIZERS,
    PREPROCESSES,
    REFUSED_OPTIMIZERS,
    REFUSED_SCHEDULES,
    SCHEDULES,
    STANDARDISE,
    STEP,
    TASKS,
    UNKNOWNS,
    VARIANTS,
    those_with,
)
from reproven.recipes.options import Option
from reproven.recipes.schemes import INIT_SCHEMES, spell_init


def _seed(help: str) -> Option:
    return typed.whole(help, "12", low=0, high=MAX_SEED, metavar="SEED")


#: The option of each field, in their order.
OPTIONS: Mapping[str, Option] = {
    "data": typed.text(
        "Table to train on: boston, diabetes, or a .csv, .tsv, .txt, .parquet, .feather or .xlsx file; "
        "the first three may be packed (.csv.gz).",
        "boston",
        metavar="NAME|PATH",
    ),
    "data_sha256": typed.digest("Refuse any table but the one with this digest (tag reproven.data.sha256)."),
    "target": typed.text(
        "Column to predict; boston has MEDV, diabetes has target.", "MEDV", metavar="COLUMN"
    ),
    "drop": typed.words("Columns to leave out, with commas or by repeating the option.", "B"),
    "task": typed.choice(
        "What is predicted: numbers, or classes. Told by the target where not given.", TASKS
    ),
    "preprocess": typed.choice(
        "Columns that are no numbers: refuse them, or take texts, booleans, dates and missing values.",
        PREPROCESSES,
    ),
    "categorical": typed.words(
        "Columns that hold categories, as codes may, with commas or by repeating the option.", "zip"
    ),
    "impute": typed.choice(
        "What stands for a missing number, told of the training rows; constant is 0. The median where "
        "--preprocess auto is given alone.",
        IMPUTES,
    ),
    "unknown": typed.choice(
        "Categories that no training row has: count them for none, or refuse them.", UNKNOWNS
    ),
    "sep": typed.separator("What stands between the cells of a text; found out where not given."),
    "decimal": typed.decimal("Decimal mark of the numbers of a text; found out where not given."),
    "standardise_target": typed.flag(
        "Train on the target divided by its standard deviation, around its mean; predictions and errors "
        "keep its unit. True unless the table is boston or diabetes."
    ),
    "standardise": typed.choice(
        "Features with mean 0 and standard deviation 1 over the training rows, or as they are. Features "
        "where not given, but for arrays of more than two dimensions.",
        STANDARDISE,
    ),
    "test_size": typed.number(
        "Share of the rows held out for testing; 0 trains on all rows.", "0.2", low=0, below=1
    ),
    "split_seed": _seed("Seed of the split into training and testing rows; --seed where not given."),
    "fold": typed.fold(
        "Test on one fold of cross-validation, as in 3/10: --split-seed draws all folds of a table, and each "
        "row is tested in one of them. Takes the place of --test-size."
    ),
    "validation_size": typed.number(
        "Share of the rows held out to choose an epoch or a run by; 0 for none.", "0.2", low=0, below=1
    ),
    "network": typed.named(
        "Network: module, sequential, or a class of your own, or a function that returns a network, as "
        "package.module:name.",
        VARIANTS,
        "nets:Net",
    ),
    "network_args": arguments("What your own network takes, by name.", "width=32", each="network_arg"),
    "variant": typed.choice(
        "Built-in network: an nn.Module subclass, or nn.Sequential; module where no network is given.",
        VARIANTS,
    ),
    "hidden": typed.widths("Widths of the built-in networks' hidden layers; 10,10 where not given.", "10,10"),
    "init": Option(
        help=f"Initial weights: {', '.join(INIT_SCHEMES)}; with arguments as in normal:mean=0,std=0.5.",
        read=spell_init,
        holds=lambda value: bool(spell_init(value)),
        cast=spell_init,
        must="an initialisation scheme",
        example="xavier_uniform",
        metavar="SCHEME",
        has_commas=True,
    ),
    "init_bias": typed.number("Value of every bias at the start; the scheme's where not given.", "0.1"),
    "loss": typed.named(
        "Loss, torch's or a function of your own; mse for numbers and cross_entropy for classes where not "
        "given.",
        tuple(LOSSES),
        "huber",
    ),
    "loss_args": arguments("Arguments of the loss, by their names.", "delta=0.5", each="loss_arg"),
    "metrics": typed.functions(
        "Functions of your own that measure predictions too, from observed and predicted values; more is "
        "better where a name ends in score, accuracy, f1, auc or r2, and less else.",
        "metrics:within",
        each="metric",
    ),
    "optimizer": typed.choice(
        "Optimizer: sgd where not given, on your own table with momentum 0.9 and weight decay 0.003.",
        (*OPTIMIZERS, *OTHER_OPTIMIZERS),
        refused=tuple(REFUSED_OPTIMIZERS),
    ),
    "optimizer_args": arguments(
        f"Arguments of an optimizer other than {', '.join(OPTIMIZERS)}, as torch names them.",
        "momentum_decay=0.01",
        each="optimizer_arg",
    ),
    "lr": typed.number(
        "Learning rate: 0.001 for boston and diabetes where not given, 0.003 for your own table.",
        "0.001",
        above=0,
    ),
    "layer_lr": typed.amounts(
        "Learning rates of single layers; --lr for the others.",
        "hidden=0.0001,regression=0.01",
        above=0,
        metavar="LAYER=RATE,…",
    ),
    "momentum": typed.number(f"Momentum ({those_with('momentum')}).", "0.9", low=0),
    "dampening": typed.number(f"Dampening of the momentum ({those_with('dampening')}).", "0"),
    "nesterov": typed.flag(f"Nesterov momentum ({those_with('nesterov')})."),
    "weight_decay": typed.number("Weight decay: L2 penalty, decoupled for adamw (all).", "0.01", low=0),
    "betas": typed.betas(f"Decay rates of both moments ({those_with('betas')}).", "0.9,0.999"),
    "eps": typed.number(f"Term added to the denominator ({those_with('eps')}).", "1e-8", low=0),
    "amsgrad": typed.flag(f"AMSGrad ({those_with('amsgrad')})."),
    "alpha": typed.number(f"Decay of the squared gradient ({those_with('alpha')}).", "0.99", low=0, below=1),
    "centered": typed.flag(f"Divide by the estimated standard deviation ({those_with('centered')})."),
    "schedule": typed.choice(
        "Scheduler of torch.optim.lr_scheduler for the learning rates; they stay where not given.",
        tuple(SCHEDULES),
        refused=tuple(REFUSED_SCHEDULES),
    ),
    "schedule_args": arguments(
        "Its arguments, as torch names them; T_max and total_steps are the whole run where not given.",
        "eta_min=0.0001",
        each="schedule_arg",
    ),
    "schedule_per": typed.choice(
        "What it counts: step for CyclicLR and OneCycleLR, epoch for the others where not given.",
        (EPOCH, STEP),
    ),
    "clip_norm": typed.number("Scale gradients down whose norm, of all together, is larger.", "1.0", above=0),
    "epochs": typed.whole(
        "Passes over the training rows: 30 for boston and diabetes where not given; for your own table "
        "as many as make 1,000 updates, at least 20 and at most 400.",
        "30",
        low=1,
    ),
    "patience": typed.whole(
        "Stop after so many epochs without a better validation error, and keep the best epoch's weights.",
        "10",
        low=1,
    ),
    "batch_size": typed.whole(
        "Rows in a batch: 128 for boston and diabetes where not given, 32 for your own table.",
        "128",
        low=1,
    ),
    "seed": _seed("Seed of the initial weights and of the order of the rows."),
    "device": typed.choice("Where to train; auto takes a GPU where there is one.", DEVICES),
    "allow_nondeterministic": typed.flag(
        "Train with operations of your own network that have no deterministic form; a replay can then say "
        "nothing where it differs."
    ),
    "profile": typed.choice(
        "Arithmetic: the same bits on every machine, or torch as it comes; portable where the device "
        "is cpu and none is given.",
        PROFILES,
    ),
}
