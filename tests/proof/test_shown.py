"""What a store shows of a run is held against what its files say, in words that are each to the letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

from forging import sql
from reproven.proof.evidence import Evidence
from reproven.proof.shown import Report, look_at_metrics, look_at_page
from reproven.store.store import Store
from reproven.values.metrics import Row, rows_text
from reproven.values.snapshot import Snapshot

OTHER = "0" * 32
ROWS = [Row("loss", 0, 10, 4.0), Row("loss", 1, 20, 2.0), Row("mae", 1, 20, 1.5), Row("rmse", 1, 20, 2.5)]


def made(client: MlflowClient, tags: Mapping[str, str], start: int = 1000) -> str:
    return str(client.create_run("0", start_time=start, tags=dict(tags), run_name="shown").info.run_id)


def filled(client: MlflowClient) -> str:
    """A run that has ended, with something of each kind."""
    run = made(client, {"reproven.version": "1", "mlflow.user": "me", "reproven.data.sha256": "d"})
    metrics = [Metric(row.key, row.value, row.timestamp, row.step) for row in ROWS]
    client.log_batch(run, metrics, [Param("lr", "0.1"), Param("seed", "12"), Param("epochs", "3")])
    of = [InputTag("mlflow.data.context", "training")]
    inputs = [DatasetInput(Dataset(name, name, "http", "{}"), of) for name in ("ours", "boston")]
    client.log_inputs(run, inputs)
    client.set_terminated(run, end_time=2000)
    return run


@pytest.fixture(scope="module")
def run(client: MlflowClient) -> str:
    return filled(client)


@pytest.fixture(scope="module")
def store(uri: str) -> Store:
    return Store(uri)


@pytest.fixture(scope="module")
def said(run: str, store: Store) -> Snapshot:
    """What the store shows of that run: as its own files say, until a test has them say another thing."""
    return store.snapshot(run)


def page(store: Store, said: Snapshot, run: str, tags: Mapping[str, str] | None = None) -> Report:
    """What is told of a run whose files say this, and whose tags are those."""
    report = Report()
    Path("run.json").write_text(said.text())
    look_at_page(Evidence(run, Path(), tags or {}), store, report)
    return report


def metrics(store: Store, rows: Sequence[Row], run: str) -> Report:
    report = Report()
    Path("metrics.csv").write_text(rows_text(rows))
    look_at_metrics(Evidence(run, Path(), {}), store, report)
    return report


def test_what_is_as_recorded_is_no_finding_and_counted(said: Snapshot, store: Store, run: str) -> None:
    counted = ["3 params, 3 tags, status and times", "2 dataset inputs"]
    assert page(store, said, run) == Report([], [], counted)
    assert metrics(store, ROWS, run) == Report([], [], ["4 values of 3 metrics"])


def test_of_files_that_cannot_be_read_nothing_is_told_again(store: Store, run: str) -> None:
    report, found = Report(), Evidence(run, Path(), {})
    look_at_page(found, store, report)
    look_at_metrics(found, store, report)
    assert report == Report()


def test_a_param_and_a_tag_that_are_others_are_named(said: Snapshot, store: Store, run: str) -> None:
    other = replace(
        said,
        params={**said.params, "lr": "0.2", "variant": "module"},
        tags={**said.tags, "reproven.version": "2", "mlflow.source.git.branch": "main"},
    )
    assert page(store, other, run).findings == [
        "The param lr is 0.1 in the store, but run.json says 0.2.",
        "The param variant is None in the store, but run.json says module.",
        "The tag mlflow.source.git.branch is None in the store, but run.json says main.",
        "The tag reproven.version is 1 in the store, but run.json says 2.",
    ]


def test_what_was_added_since_is_a_note(said: Snapshot, store: Store, run: str) -> None:
    less = replace(said, params={"lr": "0.1"}, tags={}, datasets=[])
    assert page(store, less, run) == Report(
        [],
        [
            "Params that are not part of the record, and added since: epochs, seed.",
            "Dataset inputs that are not part of the record: boston, ours.",
        ],
        ["1 params, 0 tags, status and times"],
    )
    assert metrics(store, ROWS[:2], run) == Report(
        [],
        ["Metrics that are not part of the record, and added since: mae, rmse."],
        ["2 values of 1 metrics"],
    )


def test_a_dataset_input_that_is_another_is_named(said: Snapshot, store: Store, run: str) -> None:
    other = replace(said, datasets=[{**one, "digest": f"{one['digest']}2"} for one in said.datasets[:1]])
    (name,) = (one["name"] for one in other.datasets)
    report = page(store, other, run)
    assert report.findings == [
        f"The dataset input {name}, training, is another in the store, or gone; run.json has it."
    ]
    assert report.notes == ["Dataset inputs that are not part of the record: boston, ours."]


ENDED_AGAIN = "The run was opened again, and ended at 2000 instead of 1999."
STATUS = "The run's status is FINISHED in the store, but run.json says FAILED."
START = "The run's start_time is 1000 in the store, but run.json says 999."
REPLAY = {"reproven.replay.of": OTHER}
PROJECT = {"mlflow.project.env": "local"}


@pytest.mark.parametrize(
    ("changed", "tags", "findings", "notes"),
    [
        ({"status": "FAILED", "start_time": 999}, {}, [STATUS, START], []),
        (
            {"end_time": 2001},
            PROJECT,
            ["The run's end_time is 2000 in the store, but run.json says 2001."],
            [],
        ),
        ({"end_time": 1999}, {}, [], [ENDED_AGAIN]),
        ({"end_time": 1999}, PROJECT, [], []),
        ({"status": "FAILED"}, PROJECT, [STATUS], []),
        ({"status": "FAILED", "tags": REPLAY}, REPLAY, [STATUS], []),
        ({"status": "FAILED", "start_time": 999, "tags": REPLAY}, {**PROJECT, **REPLAY}, [START], []),
    ],
)
def test_only_mlflow_itself_may_end_a_run_again(
    changed: Any,
    tags: Mapping[str, str],
    findings: list[str],
    notes: list[str],
    said: Snapshot,
    store: Store,
    run: str,
) -> None:
    report = page(store, replace(said, **changed), run, tags)
    assert ([f for f in report.findings if "The tag" not in f], report.notes) == (findings, notes)


def test_a_run_that_is_open_again_is_a_note(
    said: Snapshot, store: Store, run: str, client: MlflowClient
) -> None:
    client.update_run(run, status="RUNNING")
    report = page(store, said, run)
    client.update_run(run, status="FINISHED")
    assert (report.findings, report.notes) == (
        [],
        ["The run is open again: something may be added to it now."],
    )


def tag(name: str, value: str) -> str:
    return f"The tag {name} is {value} in the store, but run.json has none."


@pytest.mark.parametrize("name", ["commit", "branch", "dirty"])
def test_code_that_a_tag_names_later_is_a_finding(name: str, said: Snapshot, store: Store, run: str) -> None:
    name = f"mlflow.source.git.{name}"
    assert page(store, said, run, {name: "x"}).findings == [tag(name, "x")]


def test_our_own_tags_speak_of_the_record_and_a_users_do_not(said: Snapshot, store: Store, run: str) -> None:
    silent = {
        "reviewed": "yes",
        "mlflow.user": "you",
        "mlflow.loggedImages": "True",
        "reproven.seal": "0" * 64,
        "reproven.live.host": "here",
        "reproven.data.origin": "boston.csv",
        "reproven.imported.from": said.run_id,
    }
    assert page(store, said, run, silent) == page(store, said, run)
    speaking = {
        "reproven.data.origin": "https://localhost/boston.csv",
        "reproven.imported.from": OTHER,
        "reproven.pruned": said.run_id,
    }
    assert page(store, said, run, {**said.tags, **speaking}).findings == [
        tag(name, value) for name, value in speaking.items()
    ]


def replayed(client: MlflowClient, of: str, verdict: str, start: int) -> str:
    return made(client, {"reproven.replay.of": of, "reproven.verdict": verdict}, start)


def verdicts(told: Mapping[str, str], verdict: str | None) -> dict[str, str]:
    last = {} if verdict is None else {"reproven.verdict": verdict}
    return {f"reproven.replayed.{replay}": value for replay, value in told.items()} | last


def test_a_verdict_is_that_of_the_newest_replay(
    said: Snapshot, store: Store, run: str, client: MlflowClient
) -> None:
    """Of this run, or of the one that it was imported from."""
    shown = replace(said, run_id=OTHER)
    replays = {
        replayed(client, run, "IDENTICAL", 3000): "IDENTICAL",
        replayed(client, OTHER, "DIVERGED", 4000): "DIVERGED",
        replayed(client, run, "TAMPERED", 2000): "TAMPERED",
    }
    assert page(store, shown, run, verdicts(replays, "DIVERGED")) == page(store, shown, run)
    says = "in the store, but the newest replay that it names says DIVERGED."
    assert page(store, shown, run, verdicts(replays, "IDENTICAL")).findings == [
        f"The tag reproven.verdict is IDENTICAL {says}"
    ]
    assert page(store, shown, run, verdicts(replays, None)).findings == [
        f"The tag reproven.verdict is None {says}"
    ]


def test_a_verdict_that_no_replay_tells_is_a_finding(
    said: Snapshot, store: Store, run: str, client: MlflowClient
) -> None:
    assert page(store, said, run, verdicts({}, "IDENTICAL")).findings == [
        "The tag reproven.verdict is IDENTICAL in the store, but it names no replay that says so."
    ]
    other = replayed(client, OTHER, "IDENTICAL", 3000)
    assert page(store, said, run, verdicts({other: "IDENTICAL"}, "IDENTICAL")).findings == [
        f"The tag reproven.replayed.{other} is IDENTICAL in the store, but that run is a replay of {OTHER} "
        "and says IDENTICAL."
    ]
    own = replayed(client, run, "DIVERGED", 3000)
    assert page(store, said, run, verdicts({own: "IDENTICAL"}, "IDENTICAL")).findings == [
        f"The tag reproven.replayed.{own} is IDENTICAL in the store, but that run is a replay of {run} "
        "and says DIVERGED."
    ]


def test_a_verdict_by_a_replay_that_is_gone_is_a_note(
    said: Snapshot, store: Store, run: str, client: MlflowClient
) -> None:
    kept = replayed(client, run, "DIVERGED", 3000)
    for told in ({OTHER: "IDENTICAL"}, {OTHER: "IDENTICAL", kept: "DIVERGED"}):
        report = page(store, said, run, verdicts(told, "IDENTICAL"))
        assert report.findings == []
        assert report.notes == [
            f"A tag says IDENTICAL by the replay {OTHER}, which the store has no more: not believed."
        ]


def test_a_replay_has_its_own_verdict(store: Store, client: MlflowClient) -> None:
    replay = replayed(client, OTHER, "IDENTICAL", 3000)
    client.set_terminated(replay)
    said = store.snapshot(replay)
    assert page(store, said, replay, said.tags) == Report([], [], ["0 params, 2 tags, status and times"])


@pytest.mark.parametrize(
    ("said", "findings"),
    [
        (
            [Row("loss", 0, 10, 5.0), *ROWS[1:]],
            ["The metric loss, step 0, is 4.0 in the store, but metrics.csv says 5.0."],
        ),
        (
            [Row("loss", 0, 11, 4.0), *ROWS[1:]],
            ["The metric loss, step 0, has the time 10 in the store, but metrics.csv says 11."],
        ),
        (
            [*ROWS, Row("rmse", 3, 20, 0.5), Row("rmse", 2, 20, 1.0)],
            [
                "The metric rmse, step 2, is missing in the store; metrics.csv says 1.0.",
                "The metric rmse, step 3, is missing in the store; metrics.csv says 0.5.",
            ],
        ),
        (
            [Row("loss", 5, 10, 1.0), *ROWS[2:]],
            [
                "The metric loss, step 5, is missing in the store; metrics.csv says 1.0.",
                "The metric loss, step 0, is 4.0 in the store, but not in metrics.csv.",
                "The metric loss, step 1, is 2.0 in the store, but not in metrics.csv.",
            ],
        ),
    ],
)
def test_a_value_of_a_metric_that_is_another_is_named(
    said: Sequence[Row], findings: list[str], store: Store, run: str
) -> None:
    assert metrics(store, said, run).findings == findings


def test_the_value_that_lists_show_is_the_last_one(uri: str, store: Store, client: MlflowClient) -> None:
    run = filled(client)
    sql(uri, "UPDATE latest_metrics SET value = 4.0 WHERE run_uuid = ? AND key = 'loss'", run)
    assert metrics(store, ROWS, run).findings == [
        "The metric loss is 4.0 in the store's lists and searches, but its last value is 2.0."
    ]
