"""Standard streams that are closed, full, broken or of few letters; names that would command a terminal."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import click
import pytest
from mlflow import MlflowClient

from programs import SOURCE, run
from reproven.cli import streams

EVIL = "\x1b[31mred\x1b]0;title\x07 \u202eback"
PLAIN = r"\x1b[31mred\x1b]0;title\x07 \u202eback"
TRAIN = ("train", "--epochs", "1")


@pytest.fixture
def full() -> Iterator[io.TextIOWrapper]:
    with Path("/dev/full").open("w") as file:
        yield file


@pytest.fixture
def broken() -> Iterator[int]:
    """A pipe that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    yield theirs
    os.close(theirs)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def status(client: MlflowClient, experiment: str) -> str:
    (found,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return str(found.info.status)


def test_a_training_whose_streams_are_all_closed_and_that_may_open_few_files_is_done(
    uri: str, client: MlflowClient
) -> None:
    command = [sys.executable, str(SOURCE), *TRAIN, "--experiment", "closed", "--tracking-uri", uri]
    done = subprocess.run(["sh", "-c", 'ulimit -n 64; "$@" <&- >&- 2>&-', "sh", *command], check=False)
    assert done.returncode == 0
    assert status(client, "closed") == "FINISHED"


def test_a_training_whose_answer_nobody_reads_ends_as_it_would(
    uri: str, client: MlflowClient, broken: int
) -> None:
    done = run(SOURCE, *TRAIN, "--experiment", "unread", uri=uri, stdout=broken, stderr=broken)
    assert done.returncode == 0
    assert status(client, "unread") == "FINISHED"


def test_an_answer_that_a_full_disk_does_not_take_is_trouble(full: io.TextIOWrapper) -> None:
    command = [sys.executable, str(SOURCE), "--help"]
    done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    told = (
        "standard output cannot be written: No space left on device. `reproven runs` lists what was trained."
    )
    assert (done.stderr, done.returncode) == (f"Error: The answer is lost, since {told}\n", 2)


def test_trouble_that_cannot_be_told_has_its_own_exit_code(full: io.TextIOWrapper) -> None:
    command = [sys.executable, str(SOURCE), "train", "--lr", "0"]
    done = subprocess.run(command, stderr=full, stdout=subprocess.PIPE, check=False)
    assert (done.stdout, done.returncode) == (b"", 2)


def test_a_pipe_that_is_full_and_set_not_to_wait_is_waited_for() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    filled = 0
    while True:
        try:
            filled += os.write(theirs, bytes(4096))
        except BlockingIOError:
            break
    taken: list[int] = []

    def write() -> None:
        with streams._Outlet(theirs, "wb") as outlet:
            taken.append(outlet.write(b"answer"))

    with os.fdopen(ours, "rb") as reader:
        writer = Thread(target=write)
        writer.start()
        writer.join(0.1)  # it writes meanwhile
        content = reader.read()
        writer.join()
    assert taken == [6]
    assert content[filled:] == b"answer"


def test_what_an_encoding_has_no_letter_for_is_spelled_out() -> None:
    ours, theirs = os.pipe()
    with streams._Words(streams._Outlet(theirs, "wb"), "ascii") as words:
        click.echo("R² – grün \udcff", file=words)
    with os.fdopen(ours) as file:
        assert file.read() == "R\\xb2 \\u2013 gr\\xfcn \\udcff\n"


def test_a_program_of_an_ascii_locale_says_what_it_can() -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, str(SOURCE), "compare", "--help"]
    done = subprocess.run(command, env={**os.environ, **ascii_only}, capture_output=True, check=False)
    assert done.returncode == 0
    assert "FIELD,\\u2026" in done.stdout.decode("ascii")


@pytest.mark.parametrize("kind", ["terminal", "pipe"])
def test_a_run_s_name_commands_no_terminal(
    kind: str, uri: str, client: MlflowClient, terminal: tuple[int, int]
) -> None:
    experiment = client.create_experiment(f"{EVIL} {kind}")
    client.create_run(experiment, run_name=EVIL)
    asked = ("runs", "--experiment", f"{EVIL} {kind}")
    ours, theirs = terminal if kind == "terminal" else os.pipe()
    done = run(SOURCE, *asked, uri=uri, stdout=theirs)
    shown = os.read(ours, 1 << 16).decode().replace("\r\n", "\n")
    assert done.returncode == 0, done.stderr
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    if kind == "terminal":
        assert PLAIN in shown


def test_a_table_is_written_as_a_file_would_hold_it_where_no_terminal_is(
    monkeypatch: pytest.MonkeyPatch, terminal: tuple[int, int]
) -> None:
    ours, theirs = os.pipe()
    for reader, writer, said in ((ours, theirs, EVIL.encode()), (*terminal, PLAIN.encode())):
        with streams._Words(streams._Outlet(writer, "wb", closefd=False), "utf-8") as words:
            monkeypatch.setattr(sys, "stdout", words)
            streams.say_data(EVIL)
            assert os.read(reader, 100) == said
    os.close(ours)
    os.close(theirs)
