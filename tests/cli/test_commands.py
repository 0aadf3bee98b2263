"""The command line as a user meets it: real processes, their output and their exit codes."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import json
import os
import platform
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from conftest import QUICK, ROOT, Cli
from programs import SOURCE, start
from reproven import Trained, __version__, train
from reproven.errors import near_miss
from reproven.logbooks import shelf
from reproven.recipes.blueprint import OPTIONS as BLUEPRINT_OPTIONS
from reproven.recipes.settings import OPTIONS
from reproven.tables import data

MAIN = """
import sys, reproven.cli
try:
    reproven.cli.main({arguments})
except SystemExit as end:
    print(end.code)
print(sorted({{'torch', 'mlflow', 'numpy', 'pandas', 'yaml'}} & set(sys.modules)))
"""


def test_help_imports_nothing_heavy() -> None:
    code = MAIN.format(arguments=["train", "--help"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_bad_option_is_refused_before_anything_heavy_is_imported() -> None:
    code = MAIN.format(arguments=["train", "--lr", "0"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["2", "[]"]


@pytest.mark.parametrize(
    "program",
    [[str(ROOT / "src")], ["-m", "reproven"], [str(Path(sys.executable).parent / "reproven")]],
)
def test_every_way_to_start_is_the_same_program(program: list[str]) -> None:
    command = program if program[0].endswith("/reproven") else [sys.executable, *program]
    done = subprocess.run([*command, "train", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: reproven train [OPTIONS]")


def test_help_names_every_option(cli: Cli) -> None:
    shown = cli("train", "--help").stdout
    for name in (*OPTIONS, "histogram_every", "register_model", "alias", "experiment", "json"):
        assert f"--{name.replace('_', '-')} " in shown
    shown = cli("weights", "--help").stdout
    for name in BLUEPRINT_OPTIONS:
        assert f"--{name.replace('_', '-')} " in shown


def test_train_prints_one_json_object(cli: Cli, uri: str, client: MlflowClient) -> None:
    done = cli("train", "--epochs", "2", "--json", "--experiment", "cli", "--run-name", "first")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["tracking_uri"] == uri
    run = client.get_run(found["run_id"])
    assert run.info.experiment_id == found["experiment_id"]
    assert run.info.artifact_uri == found["artifact_uri"]
    assert run.info.run_name == "first"
    assert run.data.metrics == pytest.approx(found["metrics"])


def test_train_tells_what_happened(cli: Cli) -> None:
    done = cli("train", "--epochs", "2", "--experiment", "cli")
    lines = done.stdout.splitlines()
    assert lines[0] == "module, sgd, seed 12: FINISHED"
    assert lines[1].startswith("  Worse than predicting the mean of the test rows (test_r2 is -")
    assert lines[2].startswith("  train_loss ")
    assert "test_rmse" in done.stdout
    assert "artifacts" in done.stdout


def test_all_problems_are_told_at_once_without_a_stack_trace(cli: Cli, client: MlflowClient) -> None:
    done = cli(
        *("train", "--lr", "0", "--device", "x", "--histogram-every", "0", "--alias", "v1"),
        *("--run-name", " ", "--experiment", "nothing"),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "Error: lr is 0.0, but must be greater than 0. Try --lr 0.001.",
        "Error: device is 'x', but must be one of cpu, cuda, auto. Try --device cpu.",
        "Error: histogram_every is 0, but must be a whole number from 1 to 2147483647. "
        "Try --histogram-every 10.",
        "Error: alias is 'v1', but no model is registered. Add --register-model NAME.",
        "Error: run_name is ' ', but must not be blank. Give a name, or leave the option out.",
    ]
    assert client.get_experiment_by_name("nothing") is None


def test_an_unknown_option_is_told_its_near_miss(cli: Cli) -> None:
    done = cli("train", "--epoch", "3")
    assert done.returncode == 2
    assert "No such option '--epoch'" in done.stderr
    assert "--epochs" in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["train", "--dropout", "0.1"], "No such option '--dropout'. `reproven train --help` shows all that"),
        (["train", "--droop", "B"], "'--droop'. Did you mean --drop? `reproven train --help` shows all"),
        (["--tracking", "x"], "No such option '--tracking'. `reproven --help` shows all that there are."),
        (["trian"], "No such command 'trian'. Did you mean train? There is compare, "),
        (["tune"], "No such command 'tune'. There is compare, "),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(line: list[str], told: str, cli: Cli) -> None:
    assert told in cli(*line).stderr


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("dropout", None),
        ("learning_rate", None),
        ("droop", "drop"),
        ("Epoch", "epochs"),
        ("batch", "batch_size"),
        ("optimiser", "optimizer"),
        ("b", None),
    ],
)
def test_only_what_is_near_is_a_near_miss(wanted: str, meant: str | None) -> None:
    assert near_miss(wanted, OPTIONS) == meant


def test_debug_shows_the_stack_trace(cli: Cli) -> None:
    assert "Traceback" not in cli("train", "--data", "gone.csv").stderr
    done = cli("--debug", "train", "--data", "gone.csv")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_missing_package_is_named_without_a_stack_trace() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from reproven.cli import main; main(['train'], prog_name='reproven')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The package torch is missing in the Python that runs this")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--register-model", "a/b"], "register_model is 'a/b', but must be a name without /, : and @."),
        (["--register-model", "a", "--alias", "latest"], "alias is 'latest', but must be letters"),
        (["--register-model", "a", "--alias", "7"], "alias is '7', but must be letters"),
        (["--register-model", "a", "--alias", "a b"], "alias is 'a b', but must be letters"),
        (["--tracking-uri", ""], "tracking_uri is '', but must not be blank."),
        (["--hidden", "3000000,2000000000"], "of memory here. Try --hidden 10,10."),
        (["--experiment", ""], "experiment is '', but must not be blank."),
        (["--tracking-uri", "ftp://nowhere"], "Cannot open anything in the store ftp://nowhere"),
        (["--data", "boston", "--target", "PRICE"], "boston has no column 'PRICE'."),
        (["--data", "boston", "--drop", "b"], "boston has no column 'b'. Did you mean B?"),
    ],
)
def test_a_bad_option_beside_the_recipe_is_named(cli: Cli, arguments: list[str], words: str) -> None:
    done = cli("train", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_loss_that_becomes_infinite_is_a_finding(cli: Cli) -> None:
    done = cli("train", "--lr", "10", "--experiment", "cli", "--json")
    assert done.returncode == 1
    assert "The loss became inf at step 2" in json.loads(done.stdout)["failure"]


def test_options_may_be_repeated_and_flags_stand_alone(cli: Cli, client: MlflowClient) -> None:
    done = cli(
        *("train", "--epochs", "1", "--drop", "B", "--drop", "AGE,TAX", "--momentum", "0.9"),
        *("--nesterov", "--json", "--experiment", "cli"),
    )
    params = client.get_run(json.loads(done.stdout)["run_id"]).data.params
    assert params["drop"] == "AGE,B,TAX"
    assert params["nesterov"] == "true"


def test_weights_logs_the_notebook_s_convolution(cli: Cli, client: MlflowClient) -> None:
    done = cli(
        *("weights", "--network", "conv", "--init", "normal:mean=0,std=1", "--init-bias", "0.1"),
        *("--seed", "12", "--bins", "30", "--json", "--experiment", "cli"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["parameters"] == {"weight": [16, 3, 3, 3], "bias": [16]}
    files = Path(found["artifact_uri"])
    histogram = json.loads((files / "histograms.json").read_text())["0"]["weight"]
    assert len(histogram["counts"]) == 30
    assert sum(histogram["counts"]) == 432
    assert (files / "figures" / "weights.png").is_file()
    run = client.get_run(found["run_id"])
    assert run.info.status == "FINISHED"
    assert "Conv2d(3, 16, kernel_size=(3, 3)" in run.data.tags["mlflow.note.content"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "cnn"], "network is 'cnn', but must be one of mlp, testnet, conv."),
        (["--network", "conv", "--hidden", "3"], "hidden is given, but the network conv has no such option"),
        (["--inputs", "0"], "inputs is 0, but must be a whole number from 1 to 2147483647."),
        (["--bins", "0", "--seed", "x"], "seed is 'x', but must be a whole number from 0"),
        (["--bins", "0", "--seed", "x"], "bins is 0, but must be a whole number from 1 to 10000."),
        (["--init", "dirac"], "init is dirac:groups=1, which does not fit mlp"),
    ],
)
def test_a_bad_blueprint_is_named(cli: Cli, arguments: list[str], words: str) -> None:
    done = cli("weights", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_predictions_are_csv_or_json_and_exact(cli: Cli, files: Path) -> None:
    boston = data.load("boston")
    lines = [",".join(boston.features), *(",".join(map(repr, row)) for row in boston.X[:4].tolist())]
    Path("four.csv").write_text("\n".join(lines) + "\n")
    as_csv = cli("predict", str(files / "model.pth"), "four.csv")
    assert as_csv.returncode == 0, as_csv.stderr
    header, *values = as_csv.stdout.splitlines()
    found = json.loads(cli("predict", str(files / "model.pth"), "four.csv", "--json").stdout)
    assert header == found["target"] == "MEDV"
    assert [np.float32(v) for v in values] == [np.float32(v) for v in found["predictions"]]
    assert cli("predict", str(files / "model.pth"), "four.csv", "--output", "out.csv").stdout == ""
    assert Path("out.csv").read_text() == as_csv.stdout


def test_what_was_found_out_about_a_table_is_said_once_and_is_in_the_data(cli: Cli) -> None:
    rows = [f"{i};{i * i % 17},{i % 9};{i * 3},5\n" for i in range(1, 41)]
    Path("houses.csv").write_text(f"id;area;price\n{''.join(rows)}")
    said = [
        "houses.csv is read with --sep ';' --decimal ','.",
        "houses.csv: column id counts the rows, and trains as a feature. Leave it out with --drop id.",
    ]
    asked = ("--data", "houses.csv", "--target", "price", "--epochs", "2", "--experiment", "remarks")
    found = cli("train", *asked, "--json")
    assert found.stderr.splitlines() == said
    run = json.loads(found.stdout)
    assert run["remarks"] == said
    predicted = cli("predict", run["run_id"], "houses.csv", "--json")
    assert predicted.stderr.splitlines() == said[:1]
    assert json.loads(predicted.stdout)["remarks"] == said[:1]
    assert "has no column id, area" in cli("predict", run["run_id"], "houses.csv", "--sep", "tab").stderr
    replayed = cli("replay", run["run_id"])
    assert replayed.stdout.startswith("IDENTICAL: ")
    assert replayed.stderr == ""


def test_bad_options_of_the_other_commands_are_named(cli: Cli, files: Path) -> None:
    assert "last is 0, but must be a whole number from 1 to 2147483647." in cli("runs", "--last", "0").stderr
    model = str(files / "model.pth")
    for arguments, words in (
        (("--form", "onnx"), "form is 'onnx', but must be one of model, state_dict, registered."),
        (("--profile", "exact"), "profile is 'exact', but must be one of portable, native."),
        (("--output", "."), "is a directory"),
    ):
        Path("table.csv").write_text("CRIM\n1\n")
        done = cli("predict", model, "table.csv", *arguments)
        assert done.returncode == 2
        assert words in done.stderr


def test_runs_lists_the_newest_first(cli: Cli, trained: Trained, uri: str) -> None:
    older, newer = (train(QUICK, tracking_uri=uri, experiment="listed").run_id for _ in range(2))
    found = json.loads(cli("runs", "--experiment", "listed", "--json").stdout)["runs"]
    assert [run["run_id"] for run in found] == [newer, older]
    found = json.loads(cli("runs", "--experiment", "listed", "--last", "1", "--json").stdout)["runs"]
    assert [run["run_id"] for run in found] == [newer]
    assert "test_rmse" in cli("runs", "--experiment", "listed").stdout
    done = cli("runs", "--experiment", "sharde")
    assert done.returncode == 2
    assert "has no experiment 'sharde'. Did you mean shared?" in done.stderr


def test_versions_are_said_at_once() -> None:
    code = MAIN.format(arguments=["--version"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    versions = [importlib.metadata.version(name) for name in ("torch", "mlflow")]
    wanted = f"reproven {__version__}, torch {versions[0]}, MLflow {versions[1]}, portable arithmetic"
    assert done.stdout.splitlines() == [wanted, "0", "[]"]


def test_about_says_where_things_are(cli: Cli, uri: str) -> None:
    told = json.loads(cli("about", "--json").stdout)
    assert told["tracking_uri"] == uri
    assert told["state"] == os.environ["REPROVEN_STATE"]
    assert told["shipped"] == str(ROOT / "src" / "reproven" / "reference")
    assert (told["profile"], told["python"]) == ("portable", platform.python_version())
    shown = cli("about").stdout
    assert all(str(value) in shown for value in told.values())


@pytest.mark.parametrize(
    ("command", "then"),
    [
        (("train", "--epochs", "1"), r"  Next: reproven replay [0-9a-f]{32}"),
        (("train", "--epochs", "1", "--offline"), r"  Next: reproven sync [0-9a-f]{32}"),
        (("weights",), r"  Next: mlflow ui --backend-store-uri sqlite:///.*"),
        (("runs", "--experiment", "shared"), r"  Next: reproven \w+ --experiment shared"),
        (("about",), r"  Next: reproven replay --shipped"),
    ],
)
def test_the_last_line_says_what_to_do_next(
    command: tuple[str, ...], then: str, cli: Cli, trained: Trained
) -> None:
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(then, done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.usefixtures("brought")
def test_what_to_do_next_names_the_store_and_what_is_trusted(own: str, cli: Cli) -> None:
    named = ("--tracking-uri", own, "--network", "nets:Net", "--epochs", "1")
    done = cli("train", *named)
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout.splitlines()[-1].removeprefix("  Next: "))
    assert words[3:] == ["--tracking-uri", own, "--trust", "nets"]
    assert "IDENTICAL" in cli(*words[1:]).stdout


def test_a_terminal_shows_a_progress_bar(uri: str) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [sys.executable, str(ROOT / "src"), "train", "--epochs", "100", "--experiment", "cli"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        content = b""
        with contextlib.suppress(OSError):  # at its end
            while part := os.read(ours, 4096):
                content += part
        output, _ = process.communicate()
    os.close(ours)
    shown = content.decode()
    assert b"FINISHED" in output
    assert "training: " in shown
    assert re.search(r"steps/s, loss \d", shown)
    assert shown.endswith("\r")  # wiped off, so that the answer stands alone


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_run_that_is_told_to_stop_is_killed_and_keeps_what_it_has(
    number: signal.Signals, uri: str, client: MlflowClient
) -> None:
    experiment = f"stopped by {number.name}"
    # it leaves the processors to the process that sends
    slowed = ("0.005", "-1", "none", "train", "--epochs", "100000", "--experiment", experiment)
    process = start(ROOT / "tests" / "slowed.py", *slowed, uri=uri)

    def runs() -> list[Any]:
        found = client.get_experiment_by_name(experiment)
        return list(client.search_runs([found.experiment_id])) if found else []

    while not any(run.data.metrics for run in runs()):
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    (run,) = runs()
    assert run.info.status == "KILLED"
    assert process.returncode == 128 + number
    assert said == "Stopped. A run that was open is KILLED; `reproven doctor` says how to go on.\n"
    (book,) = shelf.every()
    assert book.steps_done >= len(client.get_metric_history(run.info.run_id, "train_loss")) > 0
    assert book.newest_checkpoint == book.steps_done


def test_several_processes_may_make_one_new_store(tmp_path: Path) -> None:
    """MLflow's migration dies in all but one of those that start it at once."""
    uri = f"sqlite:///{tmp_path}/new.db"
    processes = [start(SOURCE, "train", "--epochs", "1", uri=uri) for _ in range(4)]
    ended = [(process.communicate(timeout=300)[1], process.returncode) for process in processes]
    assert ended == [("", 0)] * 4
    assert len(MlflowClient(uri).search_runs(["0"])) == 4
    assert not (tmp_path / "new.db.lock").exists()
