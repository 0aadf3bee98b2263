"""What the tests fork is what a user starts: the same bits and words, and a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from conftest import Cli
from programs import MLFLOW, SOURCE, Forked, run, start
from stopping import OUTCOME

#: What differs between any two runs.
OWN = ("run_id", "artifact_uri", "model_uri")


@pytest.mark.slow
def test_a_forked_command_computes_and_tells_what_a_fresh_one_does(
    cli: Cli, fresh_cli: Cli, client: MlflowClient
) -> None:
    arguments = ("train", "--epochs", "2", "--optimizer", "adam", "--experiment", "forked", "--json")
    forked, fresh = (each(*arguments) for each in (cli, fresh_cli))
    assert (forked.returncode, forked.stderr) == (fresh.returncode, fresh.stderr) == (0, "")
    found: list[dict[str, Any]] = [json.loads(done.stdout) for done in (forked, fresh)]
    folders = [Path(each["artifact_uri"]) for each in found]
    for name in (*OUTCOME, "environment.json", "standardisation.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    said = [{name: value for name, value in each.items() if name not in OWN} for each in found]
    assert said[0] == said[1]
    files = [{path.relative_to(folder) for path in folder.glob("*")} for folder in folders]
    assert files[0] == files[1]
    tags = [client.get_run(each["run_id"]).data.tags for each in found]
    assert tags[0].keys() == tags[1].keys()
    assert tags[0]["mlflow.source.name"] == tags[1]["mlflow.source.name"]


@pytest.mark.parametrize("arguments", [("train", "--lr", "-1"), ("runs", "--last", "0"), ("--version",)])
def test_a_forked_command_ends_as_a_fresh_one_does(
    arguments: tuple[str, ...], cli: Cli, fresh_cli: Cli
) -> None:
    forked, fresh = cli(*arguments), fresh_cli(*arguments)
    assert (forked.returncode, forked.stdout, forked.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


SHOW = """
import json, os, random, sys
print(json.dumps({
    "arguments": sys.argv, "main": __name__, "folder": os.getcwd(), "environment": dict(os.environ),
    "process": os.getpid(), "group": os.getpgrp(), "session": os.getsid(0), "drawn": random.random(),
    "input": sys.stdin.read(), "files": sorted(os.listdir("/proc/self/fd")),
}))
sys.exit(7)
"""


def test_a_forked_program_has_all_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tests" / "show.py"
    program.parent.mkdir()
    program.write_text(SHOW)
    run(SOURCE, "--version")  # starts the zygote
    monkeypatch.setattr("programs.ROOT", tmp_path)
    processes = [
        start(program, str(n), stdin=subprocess.PIPE, cwd=program.parent, start_new_session=n == 1)
        for n in range(2)
    ]
    found = [json.loads(process.communicate(f"to {n}")[0]) for n, process in enumerate(processes)]
    for n, (each, process) in enumerate(zip(found, processes, strict=True)):
        assert isinstance(process, Forked)
        assert (process.returncode, process.pid) == (7, each["process"])
        assert (each["arguments"], each["main"]) == ([str(program), str(n)], "__main__")
        assert (each["folder"], each["input"]) == (str(program.parent), f"to {n}")
        assert os.environ.items() <= each["environment"].items()
        assert each["files"] == ["0", "1", "2", "3"]  # the last one lists them
    assert found[0]["drawn"] != found[1]["drawn"]
    assert found[1]["session"] == found[1]["group"] == found[1]["process"]
    assert found[0]["session"] == os.getsid(0)


def test_a_signal_is_for_one_process_alone(uri: str) -> None:
    one, other = (start(SOURCE, "train", "--epochs", "100000", uri=uri) for _ in range(2))
    one.kill()
    one.communicate()
    assert one.returncode == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.communicate()


@pytest.mark.parametrize(
    ("program", "arguments", "variables", "is_forked"),
    [
        (SOURCE, ("--version",), {}, True),
        (MLFLOW, ("--version",), {}, True),
        (SOURCE, ("--version",), {"MLFLOW_TRACKING_URI": "sqlite:///other.db"}, True),
        (SOURCE, ("train", "--profile", "native", "--help"), {}, False),
        (SOURCE, ("train", "--profile=native", "--help"), {}, False),
        (SOURCE, ("--version",), {"OMP_NUM_THREADS": "1"}, False),
        (SOURCE, ("--version",), {"MKL_CBWR": "AVX2"}, False),
        (SOURCE, ("--version",), {"PYTHONHASHSEED": "1"}, False),
        (Path("src"), ("--version",), {}, False),
    ],
)
def test_what_depends_on_its_start_is_not_forked(
    program: Path | str, arguments: tuple[str, ...], variables: dict[str, str], is_forked: bool
) -> None:
    Path("src").symlink_to(SOURCE)
    with start(program, *arguments, env={**os.environ, **variables}) as process:
        said, why = process.communicate()
    assert (isinstance(process, Forked), process.returncode) == (is_forked, 0), why
    assert said


def test_mlflow_is_forked_with_its_own_words() -> None:
    forked, fresh = (run(MLFLOW, "run", "nowhere", fresh=fresh) for fresh in (False, True))
    assert forked.returncode == fresh.returncode == 1
    assert forked.stdout == fresh.stdout
    assert forked.stderr.splitlines()[-1] == fresh.stderr.splitlines()[-1]
