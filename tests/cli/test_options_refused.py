"""Every option of every command with every kind of bad value: exit code 2, all problems told, nothing made.

It walks over the commands that there are, so a new one is checked by what its options' metavars promise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from reproven.cli import main

HUGE = "9" * 5000
WORDS = ["", " ", "\t", "x", "ß", "1,2,3,x", "\x1b[2J", "😀", "None", "true;false", HUGE]
NUMBERS = ["", " ", "x", "1,5", "1.2.3", "0x10", "nan", "-nan", "inf", "-inf", "1e999", "½", "--", HUGE + "x"]
COUNTS = [
    "",
    " ",
    "x",
    "0",
    "-1",
    "1.5",
    "1e3",
    "nan",
    "2147483648",
    "99999999999999999999",
    HUGE,
    "½",
    "0x10",
]
#: What no option with such a metavar can be.
BAD: dict[str, list[str]] = {
    "NUMBER": NUMBERS,
    "COUNT": COUNTS,
    "SEED": [*(count for count in COUNTS if count not in ("0", "2147483648")), "4294967296"],
    "WIDTH,…": [*COUNTS, "10,", ",10", "10,0", "10,-1", "10;10", "10 10", "10,x", "10,,10"],
    "BETA1,BETA2": [*NUMBERS, "0.9", "0.9,1", "0.9,0.9,0.9", "-0.1,0.9", "0.9,nan", "1e999,0"],
    "LAYER=RATE,…": [
        "",
        " ",
        "x",
        "=",
        "x=",
        "=1",
        "hidden=0",
        "hidden=-1",
        "hidden=nan",
        "ß=1",
        "x=1,",
        HUGE,
    ],
    "SHA256": ["", " ", "x", "0" * 63, "0" * 65, "g" * 64, "０" * 64, HUGE],
    "SCHEME": ["", " ", "x", "normal:x=1", "normal:std=x", "normal:std=nan", "ß", ":", "x" * 999],
    "COLUMN": ["", " ", "\t", "\x1b[2J", "a\nb"],
    "COLUMN,…": ["", " ", ",", "a,,b", "a\nb"],
    "FIELD,…": ["", " ", ",", "lr,,init", "optimizer,", "seed", "split_seed", "optimiser", "ß", "a\nb", HUGE],
    "SIZE": ["x", "-1", "nan", "inf", "%", "-2%", HUGE],
    "FOLD/FOLDS": ["", " ", "x", "3", "0/5", "6/5", "1/1", "1/", "/5", "１/５", "1.0/5", HUGE],
    "FOLDS": ["", " ", "x", "0", "1", "5x", "x5", "0x5", "5x1", "-5", "2x3x4", HUGE],
    "NAME|PATH": ["", " ", "\t", "a\nb"],
    "NAME": ["", " ", "a/b", "a:b", "a@b", "a\nb"],
    "ALIAS": ["", " ", "champion"],
    "PATH": ["", " ", "\t"],
    "CHARACTER": ["", "\x1b", "ab", "\n", '"', "1", "x", ".", "-", "ß", ",;", HUGE],
}
#: Options whose values a command looks at late, or that may be empty, as `mlflow run` gives them.
LATE = {("predict", "output"), ("replay", "more"), ("sweep", "axes"), ("compare", "more")}


def options(command: click.Command) -> list[click.Option]:
    return [p for p in command.params if isinstance(p, click.Option) and not _is_switch(p)]


def _is_switch(option: click.Option) -> bool:
    return option.is_flag and isinstance(option.type, click.types.BoolParamType)


def bad_values(option: click.Option) -> list[str]:
    metavar = option.metavar or ""
    if metavar.startswith("["):
        return [word for word in WORDS if word not in metavar]
    return BAD.get(metavar, ["", " ", "\t"])


def arguments(command: click.Command) -> list[str]:
    return ["x" for p in command.params if isinstance(p, click.Argument) and p.required]


def all_cases() -> Iterator[tuple[str, str, list[str]]]:
    """Command, option's name, command line: one bad value each."""
    for name, command in main.commands.items():
        for option in options(command):
            if (name, option.name) not in LATE:
                for value in bad_values(option):
                    line = [name, *arguments(command), f"{option.opts[0]}={value}"]
                    yield name, str(option.name), line


#: In one process that cannot import what a run needs: its answer to each command line.
LOOP = """
import json, sys
from click.testing import CliRunner
for heavy in ("torch", "mlflow", "numpy", "pandas", "scipy", "matplotlib", "jinja2"):
    sys.modules[heavy] = None
from reproven.cli import main
for line in json.load(sys.stdin):
    done = CliRunner().invoke(main, line, prog_name="reproven")
    print(json.dumps([done.exit_code, done.stdout, done.stderr]))
"""


def answers(lines: list[list[str]]) -> list[tuple[int, str, str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", LOOP],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(lines)
    return found


def test_every_bad_value_of_every_option_is_refused_before_anything_heavy_is_imported() -> None:
    cases = list(all_cases())
    assert len(cases) > 500
    for (command, name, line), (code, out, err) in zip(cases, answers([c[2] for c in cases]), strict=True):
        shown = [part[:80] for part in line]
        assert (code, out) == (2, ""), (shown, code, out[:200], err[:500])
        assert f"Error: {name} " in err or f"Invalid value for '--{name.replace('_', '-')}'" in err, (
            shown,
            err,
        )
        for sign in ("Traceback", "bug of reproven", "is missing in", "\x1b"):
            assert sign not in err, (command, shown, err[:500])
        assert len(err) < 2000, shown
    assert list(Path().iterdir()) == []


def test_all_bad_options_of_a_command_are_told_in_one_error() -> None:
    """A bad value for each of its options at once; each is named once."""
    lines, names = [], []
    for name, command in main.commands.items():
        asked = [option for option in options(command) if (name, option.name) not in LATE]
        if not asked:
            continue
        given = [f"{option.opts[0]}={bad_values(option)[1]}" for option in asked]
        lines.append([name, *arguments(command), *given])
        names.append([str(option.name) for option in asked])
    for line, asked_names, (code, out, err) in zip(lines, names, answers(lines), strict=True):
        assert (code, out) == (2, ""), (line, err)
        told = [problem.split()[1] for problem in err.splitlines() if problem.startswith("Error: ")]
        assert sorted(told) == sorted(asked_names), (line, err)


CONFLICTS: list[tuple[list[str], list[str]]] = [
    (["train", "--betas", "0.9,0.99"], ["betas is given, but sgd has no such option; it belongs to adam"]),
    (["train", "--optimizer", "adam", "--momentum", "0.9"], ["momentum is given, but adam has no such"]),
    (["train", "--optimizer", "rmsprop", "--nesterov"], ["nesterov is given, but rmsprop has no such"]),
    (["train", "--nesterov"], ["nesterov is true, but needs momentum greater than 0"]),
    (
        ["train", "--nesterov", "--momentum", "0.9", "--dampening", "0.1"],
        ["nesterov is true, but needs momentum greater than 0 and dampening 0"],
    ),
    (["train", "--layer-lr", "hidden3=0.1"], ["layer_lr names 'hidden3', but no layer is called so"]),
    (["train", "--layer-lr", "hidden1=0.1,hidden1=0.2"], ["layer_lr names hidden1 2 times"]),
    (
        ["train", "--variant", "sequential", "--layer-lr", "hidden=0.1,hidden.0=0.2"],
        ["layer_lr names hidden.0 and hidden, which holds it"],
    ),
    (["train", "--hidden", "3", "--layer-lr", "hidden2=1"], ["layer_lr names 'hidden2'"]),
    (["train", "--device", "cuda", "--profile", "portable"], ["profile is portable, but device is cuda"]),
    (["train", "--init", "dirac"], ["init is dirac, but that is for convolutions alone"]),
    (["train", "--alias", "champion"], ["alias is 'champion', but no model is registered"]),
    (["train", "--alias", "v1", "--register-model", "a"], ["alias is 'v1', but must be"]),
    (["weights", "--network", "conv", "--hidden", "3"], ["hidden is given, but the network conv has"]),
    (["weights", "--network", "testnet", "--inputs", "3"], ["inputs is given, but the network testnet"]),
    (["train", "--fold", "1/5", "--test-size", "0.3"], ["test_size is 0.3, but fold is 1/5"]),
    (["sweep", "--cv", "2x5", "--seeds", "1,2"], ["cv says how many seeds, and seeds are given too"]),
    (["sweep", "--cv", "5", "--search", "random"], ["cv is given, but folds are for a grid"]),
    # as `mlflow run` gives the seeds where nobody did
    (["sweep", "--cv", "2x5", "--seeds", "12", "--trials", "3"], ["trials is given, but a grid takes"]),
    (["replay"], ["run is not given"]),
    (["compare"], ["run is not given"]),
    (["compare", "--experiment", "x", "--csv", "--json"], ["csv and json are both given"]),
    (["compare", "--by", "optimiser,seed"], ["by names 'optimiser'", "by names seed", "run is not given"]),
    (
        ["train", "--betas", "0.9,0.99", "--eps", "1", "--alias", "a", "--nesterov", "--init", "dirac"],
        ["betas is given", "eps is given", "alias is 'a'", "nesterov is true", "init is dirac"],
    ),
    (
        ["train", "--epochs=0", "--optimizer=adam", "--momentum=1", "--layer-lr=x=1", "--seed=y"],
        ["epochs is 0", "seed is 'y'", "momentum is given", "layer_lr names 'x'"],
    ),
]  # fmt: skip


def test_options_that_contradict_each_other_are_told_together() -> None:
    for (line, words), (code, out, err) in zip(CONFLICTS, answers([c[0] for c in CONFLICTS]), strict=True):
        assert (code, out) == (2, ""), (line, err)
        assert err.count("Error: ") == len(words), (line, err)
        for word in words:
            assert f"Error: {word}" in err, (line, err)


def test_what_is_no_option_and_what_lacks_an_argument_is_told() -> None:
    lines = [["nothing"], ["--nothing"], [""], ["ß"], ["\x1b"]]
    for name, command in main.commands.items():
        lines += [[name, *arguments(command), option] for option in ("--nothing", "--nothing=1", "-x", "--ß")]
        lines += [
            [name, *arguments(command), option.opts[0]] for option in options(command) if not option.is_flag
        ]
        if arguments(command):
            lines.append([name])
        if not any(p.nargs == -1 for p in command.params):
            lines.append([name, *arguments(command), "one too many"])
    for line, (code, out, err) in zip(lines, answers(lines), strict=True):
        optional = len(line) > 1 and line[-1] in ("--nesterov", "--amsgrad", "--centered", "--require-clean")
        if not optional:  # these may stand without a value
            assert (code, out) == (2, ""), (line, code, err)
            assert "Error: " in err, line
        assert "Traceback" not in err, line


SOURCES = [
    "",
    " ",
    "x",
    "ß",
    "..",
    "/",
    "runs:/",
    "runs:/x",
    "models:/",
    "models:/x",
    "models:/x@y",
    "0" * 32,
]
SOURCES += [
    "x" * 5000,
    "/" + "x/" * 3000,
    "\x1b[2J",
    "a\nb",
    "file:///etc/passwd",
    "http://127.0.0.1:9/x",
    "-",
    "g" * 32,
]


def made(uri: str) -> list[Any]:
    client = MlflowClient(tracking_uri=uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return sorted(run.info.run_id for run in client.search_runs(ids, max_results=5000)) + sorted(ids)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_an_argument_that_names_nothing_is_refused_and_nothing_is_made(name: str, uri: str) -> None:
    command = main.commands[name]
    places = [p for p in command.params if isinstance(p, click.Argument)]
    before = made(uri)
    for place in range(len(places)):
        for value in SOURCES:
            if (name, place) == ("export", 1):
                continue  # any name may become a folder
            given = ["x"] * place + [value] + ["x"] * (len(places) - place - 1)
            done = CliRunner(env={"MLFLOW_TRACKING_URI": uri}).invoke(
                main, [name, "--", *given], prog_name="reproven"
            )
            assert (done.exit_code, done.stdout) == (2, ""), (given, done.exit_code, done.output[:300])
            assert done.stderr.startswith(("Error: ", "Usage: ")), (given, done.stderr[:300])
            assert "Traceback" not in done.stderr, given
            assert "bug of reproven" not in done.stderr, (given, done.stderr[:300])
    assert made(uri) == before
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "folder", ["", ".", "..", "/", "x" * 5000, "a\0b", "/proc/x", "/dev/null", "/dev/null/x"]
)
def test_a_folder_that_cannot_be_made_is_refused(folder: str, trained: Any, uri: str) -> None:
    done = CliRunner().invoke(
        main, ["export", "--tracking-uri", uri, "--", trained.run_id, folder], prog_name="reproven"
    )
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert done.stderr.startswith("Error: dir is "), done.stderr
    assert "bug of reproven" not in done.stderr
