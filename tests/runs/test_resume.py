"""Runs that were stopped, at whatever moment, and went on: to the bits of one that never was."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

import programs
from conftest import PATIENT, ROOT
from forging import edit, flip, stop_before
from programs import SOURCE
from projects import mlflow_run
from reproven import Recipe, Trained, audit, replay, resume, train
from reproven.errors import InvalidInput, RecordError
from reproven.logbooks import checkpoint, shelf
from reproven.logbooks.interval import Interval
from reproven.machine import signals
from reproven.values.steps import Step
from stopping import OUTCOME, interrupted, outcome, sent, stopped, stored, train_apart

RECIPE = Recipe(epochs=6)  # of 4 steps each
_STOPS_IN_DEFAULT = ((1, None), (9, "3steps"), (9, "2epochs"), (23, "7steps"), (23, "1epoch"))


@pytest.fixture(scope="module")
def whole(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The run that never was stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPROVEN_STATE", str(tmp_path_factory.mktemp("state")))
        return train(RECIPE, tracking_uri=uri, histogram_every=2)


@pytest.mark.parametrize(
    ("step", "checkpoint_every"),
    [
        pytest.param(step, every, marks=() if (step, every) in _STOPS_IN_DEFAULT else pytest.mark.slow)
        for step, every in product((1, 9, 23), ("1epoch", "3steps", "7steps", "2epochs", None))
    ],
)
def test_a_resumed_run_equals_one_never_stopped(
    whole: Trained, uri: str, client: MlflowClient, step: int, checkpoint_every: str | None
) -> None:
    book = stopped(RECIPE, step, uri, checkpoint_every=checkpoint_every, histogram_every=2)
    run_id = book.sent.run_id
    assert client.get_run(str(run_id)).info.status == "FAILED"
    again = resume(book.id)
    assert again.run_id == run_id
    assert outcome(again) == outcome(whole)
    assert again.metrics == whole.metrics
    assert sorted(stored(again, client)) == sorted(sent(again))
    assert client.get_run(again.run_id).info.status == "FINISHED"
    found = audit(again.run_id, tracking_uri=uri)
    assert (found.findings, found.notes) == ((), ())
    assert not shelf.every()


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(epochs=4, momentum=0.9, nesterov=True),
        Recipe(epochs=4, optimizer="adam", amsgrad=True, variant="sequential"),
        pytest.param(Recipe(epochs=4, optimizer="adamw", test_size=0.0), marks=pytest.mark.slow),
        pytest.param(
            Recipe(epochs=4, optimizer="rmsprop", momentum=0.5, centered=True, lr=0.01),
            marks=pytest.mark.slow,
        ),
        pytest.param(Recipe(epochs=2, batch_size=1000), marks=pytest.mark.slow),
        Recipe(epochs=1, lr=10.0),
    ],
)
def test_every_optimizer_goes_on_in_the_middle_of_an_epoch(recipe: Recipe, uri: str) -> None:
    expected = train(recipe, tracking_uri=uri)
    steps = len((Path(expected.artifact_uri) / "losses.csv").read_text().splitlines()) - 1
    book = stopped(recipe, steps // 2, uri, checkpoint_every="1step")
    again = resume(book.id)
    assert (again.failure, again.metrics) == (expected.failure, expected.metrics)
    for name in OUTCOME:
        files = (Path(run.artifact_uri) / name for run in (expected, again))
        assert next(files).read_bytes() == next(files).read_bytes(), name
    assert replay(again.run_id, tracking_uri=uri).verdict == "IDENTICAL"


@pytest.mark.parametrize(("step", "checkpoint_every"), [(26, "1step"), (26, "1epoch"), (11, "7steps")])
def test_a_run_stopped_before_or_after_its_best_epoch_keeps_the_best(
    patient: Trained, uri: str, client: MlflowClient, step: int, checkpoint_every: str
) -> None:
    book = stopped(PATIENT, step, uri, checkpoint_every=checkpoint_every, histogram_every=4)
    again = resume(book.id)
    assert (again.best_epoch, again.metrics) == (8, patient.metrics)
    assert outcome(again) == outcome(patient)
    assert sorted(stored(again, client)) == sorted(sent(again))
    assert audit(again.run_id, tracking_uri=uri).findings == ()


def test_a_run_told_to_stop_after_its_last_step_trains_no_more(patient: Trained, uri: str) -> None:
    """Its patience has run out, and its epochs have not."""

    def last(steps: Iterable[Step], total: int) -> Iterator[Step]:
        for step in steps:
            if step.step == 29:
                signals.stop()
            yield step

    with interrupted(KeyboardInterrupt):
        train(PATIENT, tracking_uri=uri, histogram_every=4, watch=last)
    (book,) = shelf.every()
    assert book.newest_checkpoint == book.steps_done == 30
    assert outcome(resume(book.id)) == outcome(patient)


def test_what_was_found_before_keeps_its_time(uri: str, client: MlflowClient) -> None:
    book = stopped(RECIPE, 11, uri, checkpoint_every="1epoch")
    run_id = str(book.sent.run_id)
    before = {(m.step, m.timestamp) for m in client.get_metric_history(run_id, "train_loss")}
    assert len(before) == 11
    resume(run_id)
    after = {(m.step, m.timestamp) for m in client.get_metric_history(run_id, "train_loss")}
    assert before < after
    assert len(after) == 24


def test_a_run_may_be_stopped_again_and_again(whole: Trained, uri: str) -> None:
    book = stopped(RECIPE, 2, uri, checkpoint_every="1step", histogram_every=2)
    for step in (3, 8, 12, 20):
        with interrupted():
            resume(book.id, watch=stop_before(step))
    assert outcome(resume(book.id)) == outcome(whole)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(whole: Trained, uri: str) -> None:
    book = stopped(RECIPE, 11, uri, checkpoint_every="2steps", histogram_every=2)
    newest, before = book.checkpoints
    flip(newest, 8 * 700)
    said: list[str] = []
    again = resume(book.id, say=said.append)
    assert outcome(again) == outcome(whole)
    assert said == [
        f"{newest.name} is damaged: its content has another digest than it says. The checkpoint before it is "
        "taken.",
        "Goes on after step 8 of 24.",
    ]
    assert before.name.endswith("8")


def test_nothing_goes_on_from_damage(uri: str) -> None:
    book = stopped(RECIPE, 11, uri, checkpoint_every="2steps")
    journal = book.journal.read_bytes()
    book.journal.write_bytes(journal.replace(b'["step",2,', b'["step",3,'))
    with pytest.raises(RecordError, match=r"journal is damaged: it is not what checkpoint-0+10 knows"):
        resume(book.id)
    book.journal.write_bytes(journal[:300])
    with pytest.raises(RecordError, match="but a checkpoint knows"):
        resume(book.id)
    book.journal.write_bytes(journal)
    for path in book.checkpoints:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordError, match=r"cannot go on\. checkpoint-0+10 is damaged.*checkpoint-0+8 is"):
        resume(book.id)


def test_every_flipped_byte_of_a_checkpoint_is_found(uri: str) -> None:
    book = stopped(Recipe(epochs=2, hidden=(1,)), 5, uri, checkpoint_every="1step")
    path = book.checkpoints[0]
    content = path.read_bytes()
    checkpoint.read(path)
    with path.open("r+b", buffering=0) as file:  # in place: a disk flushes each file that is written anew
        for place, byte in enumerate(content):
            os.pwrite(file.fileno(), bytes([byte ^ 1]), place)
            with pytest.raises(RecordError):
                checkpoint.read(path)
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert path.read_bytes() == content


def test_a_torn_line_is_cut_off(whole: Trained, uri: str) -> None:
    book = stopped(RECIPE, 11, uri, histogram_every=2)
    with book.journal.open("ab") as file:
        file.write(b'["step",11,17')
    assert outcome(resume(book.id)) == outcome(whole)


def test_another_result_on_the_way_is_refused(uri: str) -> None:
    book = stopped(RECIPE, 11, uri)
    lines = book.journal.read_text().splitlines(keepends=True)
    lines[8] = lines[8].replace('"4', '"5', 1)
    book.journal.write_text("".join(lines))
    with pytest.raises(RecordError, match=r"does not compute what .* before it stopped: step \d+ is another"):
        resume(book.id)


def test_what_cannot_be_resumed_is_refused_with_the_reason(
    whole: Trained, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="is FINISHED: there is nothing to resume"):
        resume(whole.run_id, tracking_uri=uri)
    book = stopped(RECIPE, 9, uri)
    with book.held(), pytest.raises(InvalidInput, match=f"is running, in process {os.getpid()} of this"):
        resume(book.id)
    monkeypatch.setenv("REPROVEN_STATE", str(tmp_path / "elsewhere"))
    MlflowClient(uri).set_terminated(str(book.sent.run_id), "KILLED")
    with pytest.raises(InvalidInput, match=r"is KILLED, but its logbook is not in .*elsewhere"):
        resume(str(book.sent.run_id), tracking_uri=uri)


def test_another_machine_or_code_is_refused(uri: str) -> None:
    book = stopped(RECIPE, 9, uri)
    environment = book.files / "environment.json"
    text = environment.read_text()
    edit(environment, lambda value: value["torch"].update(version="2.12.0+cpu"))
    with pytest.raises(
        InvalidInput, match=r"environment\.torch\.version is 2\.13\.0\+cpu, recorded was 2\.12"
    ):
        resume(book.id)
    environment.write_text(text)
    edit(book.files / "inputs.json", lambda value: value["code"].update(source_sha256="0" * 64))
    with pytest.raises(InvalidInput, match=r"code\.source_sha256 is .*, recorded was 000000000000"):
        resume(book.id)


def test_a_table_that_moved_is_asked_for(uri: str, tmp_path: Path) -> None:
    rows = "\n".join(f"{x},{x * x % 7},{x % 5}" for x in range(60))
    (tmp_path / "own.csv").write_text(f"a,b,y\n{rows}\n")
    recipe = replace(RECIPE, data="own.csv", target="y", batch_size=12)
    book = stopped(recipe, 9, uri, checkpoint_every="1step")
    (tmp_path / "own.csv").rename(tmp_path / "moved.csv")
    with pytest.raises(Exception, match=r"own\.csv"):
        resume(book.id)
    assert resume(book.id, data="moved.csv").failure is None


def test_a_checkpoint_is_due_when_it_was_asked_for() -> None:
    def due(text: str | None, last: float = 0.0) -> list[int]:
        interval = Interval.of(text)
        interval._last -= last
        steps = [Step(n, n // 4, n % 4, 1.0, n % 4 == 3) for n in range(16)]
        return [step.step for step in steps if interval.at(step)]

    assert due("5steps") == [4, 9, 14]
    assert due("1step") == list(range(16))
    assert due("2epochs") == [7, 15]
    assert due("1epoch") == [3, 7, 11, 15]
    assert due(None) == []
    assert due(None, last=6.0) == [3]  # and then not for a while


def start(*arguments: str, uri: str) -> subprocess.Popen[str]:
    return programs.start(SOURCE, *arguments, uri=uri)


LONG = ("--epochs", "400", "--optimizer", "adam", "--histogram-every", "100", "--register-model", "killed")


@pytest.fixture(scope="module")
def long(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The long run that never was stopped."""
    return train_apart(*LONG, uri=uri, folder=tmp_path_factory.mktemp("apart"))


def went_on(uri: str) -> Trained | None:
    """What came of the one run that was cut off: resumed, or sent; None where it left nothing."""
    books = shelf.every()
    if not books:
        return None
    (book,) = books
    process = start("resume", book.id, "--json", uri=uri)
    said, why = process.communicate(timeout=120)
    assert process.returncode == 0, why
    assert not shelf.every()
    return Trained(**json.loads(said))


def assert_equal_to(expected: Trained, found: Trained, client: MlflowClient) -> None:
    assert outcome(found) == outcome(expected)
    assert sorted(stored(found, client)) == sorted(sent(found))
    assert audit(found.run_id, tracking_uri=found.tracking_uri).findings == ()
    info = client.get_run(found.run_id)
    assert info.info.status == "FINISHED"
    assert len(info.outputs.model_outputs) == 1
    assert found.version is not None
    versions = client.search_model_versions(f"run_id = '{found.run_id}'")
    assert [str(version.version) for version in versions] == [found.version]


#: Where a process is killed: a function, at which call, when it begins or once it has ended.
MOMENTS = [
    ("logbooks.logbook.Logbook.held", 1, "begins"),
    ("logbooks.logbook.Logbook.keep", 1, "ends"),  # the run is about to be made
    ("store.store.Store.create", 1, "ends"),  # the run is made, and nobody knows its id yet
    ("logbooks.journal._write", 1, "begins"),
    ("logbooks.journal._write", 3, "ends"),  # several steps are one write, by the clock
    ("logbooks.checkpoint.write", 2, "begins"),
    ("logbooks.checkpoint.write", 2, "ends"),
    ("files.disk.write_bytes", 9, "begins"),
    ("files.disk.write_bytes", 11, "ends"),
    ("logbooks.logbook.Logbook.conclude", 1, "begins"),
    ("logbooks.logbook.Logbook.conclude", 1, "ends"),
    ("store.open_run.Run.describe", 1, "ends"),
    ("store.open_run.Run.log_rows", 1, "ends"),
    ("store.images.write_image", 1, "ends"),
    ("store.open_run.Run.upload", 1, "begins"),
    ("store.open_run.Run.upload", 1, "ends"),
    ("store.open_run.Run.new_model", 1, "ends"),
    ("store.mlmodel.write_mlmodel", 1, "begins"),
    ("store.open_run.Run.fill_model", 1, "ends"),
    ("store.registry.Registry.register", 1, "ends"),
    ("store.registry.Registry.point", 1, "begins"),
    ("files.manifest.write", 2, "begins"),
    ("files.manifest.write", 2, "ends"),
    ("store.open_run.Run.end", 1, "begins"),
    ("store.open_run.Run.end", 1, "ends"),
    ("logbooks.logbook.Logbook.remove", 1, "begins"),
]
_IN_DEFAULT = {("logbooks.checkpoint.write", "ends")}


@pytest.mark.parametrize(
    ("function", "count", "moment"),
    [
        pytest.param(*moment, marks=() if (moment[0], moment[2]) in _IN_DEFAULT else pytest.mark.slow)
        for moment in MOMENTS
    ],
)
def test_a_run_killed_at_a_moment_goes_on(
    function: str, count: int, moment: str, long: Trained, uri: str, client: MlflowClient
) -> None:
    name = f"killed when {function} {moment} ({count})"
    arguments = (
        "train",
        *LONG,
        "--alias",
        "champion",
        "--checkpoint-every",
        "100steps",
        "--experiment",
        name,
    )
    killed = ROOT / "tests" / "killed.py"
    done = programs.run(killed, function, str(count), moment, *arguments, uri=uri)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = went_on(uri)
    if found is None:
        assert function in ("logbooks.logbook.Logbook.held", "logbooks.logbook.Logbook.remove")
        return
    assert_equal_to(long, found, client)
    experiment = client.get_experiment_by_name(name)
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert len(client.search_logged_models([experiment.experiment_id])) == 1


def kill_at_random(seed: int, uri: str, long: Trained, client: MlflowClient, times: int) -> int:
    """Kills a training and its resumption again and again, at random moments; returns how often."""
    draw, kills = random.Random(seed), 0
    process = start("train", *LONG, "--checkpoint-every", "50steps", "--json", uri=uri)
    while True:
        time.sleep(draw.uniform(0.2, 4.0))
        if process.poll() is None and kills < times:
            process.kill()
            kills += 1
        said, why = process.communicate(timeout=120)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, why
        if not (books := shelf.every()):
            process = start("train", *LONG, "--checkpoint-every", "50steps", "--json", uri=uri)
        else:
            process = start("resume", books[0].id, "--json", uri=uri)
    assert_equal_to(long, Trained(**json.loads(said)), client)
    return kills


@pytest.mark.slow
def test_a_run_killed_at_random_moments_goes_on(long: Trained, uri: str, client: MlflowClient) -> None:
    assert kill_at_random(1, uri, long, client, times=2) >= 1


@pytest.mark.slow
def test_fifty_kills_change_no_bit(long: Trained, uri: str, client: MlflowClient) -> None:
    kills = seed = 0
    while kills < 50:
        seed += 1
        kills += kill_at_random(100 + seed, uri, long, client, times=5)


def test_a_run_that_is_told_to_stop_goes_on_where_it_stood(
    whole: Trained, uri: str, client: MlflowClient
) -> None:
    """In this process: the signal is taken up between two steps, after a checkpoint."""

    def watch(steps: Iterable[Step], total: int) -> Iterator[Step]:
        for step in steps:
            if step.step == 13:
                os.kill(os.getpid(), signal.SIGTERM)
            yield step

    with interrupted(KeyboardInterrupt):
        train(RECIPE, tracking_uri=uri, histogram_every=2, watch=watch)
    (book,) = shelf.every()
    assert client.get_run(str(book.sent.run_id)).info.status == "KILLED"
    assert book.steps_done == 14
    said: list[str] = []
    assert outcome(resume(book.id, say=said.append)) == outcome(whole)
    assert said == ["Goes on after step 14 of 24."]


def test_a_replay_is_not_resumed(whole: Trained, uri: str) -> None:
    with interrupted():
        replay(whole.run_id, tracking_uri=uri, watch=stop_before(5))
    (book,) = shelf.every()
    with pytest.raises(InvalidInput, match=r"is a replay\. Replay its run again instead"):
        resume(book.id)


@pytest.mark.slow
def test_mlflow_run_resumes_too(whole: Trained, uri: str, client: MlflowClient) -> None:
    book = stopped(RECIPE, 9, uri, checkpoint_every="1step", histogram_every=2)
    run_id = str(book.sent.run_id)
    arguments = (str(ROOT), "-e", "resume", "--env-manager", "local", "-P", f"run={run_id}")
    done = mlflow_run(*arguments, uri=uri)
    assert done.returncode == 0, done.stderr
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert (Path(found.info.artifact_uri) / "losses.csv").read_bytes() == outcome(whole)["losses.csv"]


@pytest.mark.parametrize("content", ["pickle", "archive", "json"])
def test_a_checkpoint_runs_nothing(content: str, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, (f"touch {tmp_path}/ran",))

    head = json.dumps({"format": 1, **dict.fromkeys(("step", "position", "epoch", "batch"), 0)}).encode()
    held = io.BytesIO()
    torch.save({"weights.a": Runs()}, held)
    evil = {
        "pickle": pickle.dumps(Runs()),
        "archive": head + b"\n" + held.getvalue(),
        "json": b"[" * 100_000 + b"\n",
    }[content]
    path = tmp_path / "checkpoint-000000000001"
    path.write_bytes(hashlib.sha256(evil).hexdigest().encode() + evil)
    with pytest.raises(RecordError, match="is not a checkpoint that this version reads"):
        checkpoint.read(path)
    assert not (tmp_path / "ran").exists()
