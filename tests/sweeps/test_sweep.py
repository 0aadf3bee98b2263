"""Sweeps: each run is that of `train`, once, wherever it was trained and whatever was killed meanwhile."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from conftest import ROOT, Cli
from forked_workers import forked_workers
from reproven import Study, Swept, audit, draw, export, import_, promote, replay, sweep
from reproven.errors import DataError, InvalidInput
from reproven.sweeps.places import executor_problems
from reproven.sweeps.proposals import Curve, Score, pruning, rounds
from reproven.values.record import Record
from sweeping import bits, bits_of, study


def below(swept: Swept, client: MlflowClient) -> list[Any]:
    query = f"tags.`mlflow.parentRunId` = '{swept.run_id}'"
    return list(client.search_runs([swept.experiment_id], query))


@pytest.fixture(scope="module", autouse=True)
def workers_are_forked() -> Iterator[None]:
    with forked_workers():
        yield


@pytest.fixture(scope="module")
def four(uri: str) -> Swept:
    """Both variants with two optimizers and two seeds, in two processes."""
    asked = study("variant=module,sequential", "optimizer=sgd,adam", seeds=(1, 2))
    return sweep(asked, tracking_uri=uri, experiment="sweeps", jobs=2)


def alone(cli: Cli, *options: str) -> str:
    """Where the files of a run lie that `reproven train` made, in the arithmetic of this process."""
    own = ("--epochs", "2")
    done = cli("train", *options, *own, "--experiment", "alone", "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["artifact_uri"])


def test_a_run_of_a_sweep_is_that_of_train(four: Swept, cli: Cli, client: MlflowClient) -> None:
    found = bits_of(four, client)
    assert len(found) == 8
    for variant, optimizer in (("module", "adam"), ("sequential", "sgd")):
        folder = alone(cli, "--variant", variant, "--optimizer", optimizer, "--seed", "2")
        assert bits(folder) in found.values()


def test_processes_and_order_change_no_bit(four: Swept, uri: str, client: MlflowClient) -> None:
    asked = study("optimizer=adam,sgd", "variant=sequential,module", seeds=(2, 1))
    other = sweep(asked, tracking_uri=uri, experiment="in another order", jobs=1)
    assert bits_of(other, client) == bits_of(four, client)


def test_a_run_of_a_sweep_is_sound_and_true_and_can_be_promoted(four: Swept, uri: str) -> None:
    run_id = str(four.runs[0].run_id)
    assert audit(run_id, tracking_uri=uri).findings == ()
    assert replay(run_id, tracking_uri=uri).verdict == "IDENTICAL"
    found = promote(run_id, name="swept", alias="champion", tracking_uri=uri)
    assert (found.moved, found.version) == (True, "1")


def test_a_sweep_remarks_once_on_a_table_that_every_process_reads_alike(uri: str, tmp_path: Path) -> None:
    rows = [f"{i};{i * i % 17},{i % 9};{i * 3},5\n" for i in range(40)]
    (tmp_path / "houses.csv").write_text(f"id;area;price\n{''.join(rows)}")
    asked = study("lr=0.1", base={"data": "houses.csv", "target": "price", "decimal": ","})
    said: list[str] = []
    found = sweep(asked, tracking_uri=uri, jobs=1, say=said.append)
    assert found.remarks == tuple(said)
    assert said[0] == "houses.csv is read with --sep ';'."
    assert said[1].startswith("houses.csv: column id counts the rows")
    assert (len(said), found.count("FINISHED")) == (2, 1)


def test_the_runs_are_below_one_that_holds_their_table(four: Swept, client: MlflowClient) -> None:
    parent = client.get_run(four.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["sweep.axis.optimizer"] == "sgd;adam"
    assert parent.data.params["sweep.seeds"] == "1..2"
    assert parent.data.metrics["runs_finished"] == 8
    assert {run.info.run_id for run in below(four, client)} >= {run.run_id for run in four.runs}
    with (Path(four.artifact_uri) / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run_id"] for row in rows] == [run.run_id for run in four.runs]
    best = min(rows, key=lambda row: float(row["test_rmse"]))
    assert parent.data.metrics["best_test_rmse"] == float(best["test_rmse"])
    assert best["run_id"] in parent.data.tags["mlflow.note.content"]
    assert [(r["variant"], r["optimizer"], r["seed"]) for r in rows[:3]] == [
        ("module", "sgd", "1"),
        ("module", "sgd", "2"),
        ("module", "adam", "1"),
    ]


def test_the_same_sweep_once_more_trains_only_what_is_missing(uri: str, client: MlflowClient) -> None:
    asked = study("lr=1e-3,1e-2", seeds=(1, 2))
    first = sweep(asked, tracking_uri=uri, experiment="again", jobs=1)
    gone = str(first.runs[2].run_id)
    client.delete_run(gone)
    second = sweep(asked, tracking_uri=uri, experiment="again", jobs=1)
    assert second.run_id == first.run_id
    assert [run.was_there for run in second.runs] == [True, True, False, True]
    assert second.runs[2].run_id != gone
    assert bits_of(second, client)[second.runs[2].recipe_sha256] == bits(
        client.get_run(gone).info.artifact_uri
    )
    third = sweep(asked, tracking_uri=uri, experiment="again", jobs=1)
    assert all(run.was_there for run in third.runs)
    assert client.get_run(third.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_another_table_under_the_same_name_is_trained_anew(uri: str, tmp_path: Path) -> None:
    rows = (ROOT / "src/reproven/datasets/boston.csv").read_text().splitlines()
    table = tmp_path / "houses.csv"
    asked = study(base={"data": str(table), "target": "MEDV"})
    for count in (300, 400):
        table.write_text("\n".join(rows[:count]) + "\n")
        found = sweep(asked, tracking_uri=uri, experiment="tables", jobs=1)
        assert [run.was_there for run in found.runs] == [False]


def test_a_run_that_fails_is_a_finding_and_the_rest_goes_on(cli: Cli, uri: str, client: MlflowClient) -> None:
    done = cli("sweep", "--axis", "lr=1e-3,10", "--epochs", "2", "--experiment", "failing", "--jobs", "1")
    assert done.returncode == 1, done.stderr
    assert "2 runs: 1 FINISHED, 1 FAILED" in done.stdout
    assert "lr=10 seed=12: FAILED. The loss became inf at step" in done.stdout
    again = cli("sweep", "--axis", "lr=1e-3,10", "--epochs", "2", "--experiment", "failing", "--json")
    assert again.returncode == 1
    found = json.loads(again.stdout)
    assert [run["state"] for run in found["runs"]] == ["FINISHED", "FAILED"]
    assert all(run["was_there"] for run in found["runs"])  # a loss that is not finite would be so again
    assert client.get_run(found["run_id"]).info.status == "FINISHED"


@pytest.mark.slow
def test_a_run_that_cannot_be_trained_is_a_finding_too(cli: Cli) -> None:
    huge = "999999,999999,999999"
    done = cli(
        "sweep", "--axis", f"hidden=10;{huge}", "--epochs", "1", "--experiment", "refused", "--jobs", "1"
    )
    assert done.returncode == 1, done.stderr
    assert f"hidden={huge} seed=12: REFUSED. hidden is {huge}, which makes" in done.stdout
    assert "2 runs: 1 FINISHED, 1 REFUSED" in done.stdout


def test_what_cannot_be_swept_is_told_before_a_run_is_made(uri: str, client: MlflowClient) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv is not there"):
        sweep(study(base={"data": "nowhere.csv"}), tracking_uri=uri, experiment="never")
    wrong = study(base={"data_sha256": "0" * 64})
    with pytest.raises(DataError, match="but the recipe wants 000"):
        sweep(wrong, tracking_uri=uri, experiment="never")
    with pytest.raises(InvalidInput, match="executor is 'x', but must be processes or dask://HOST:PORT"):
        sweep(study(), tracking_uri=uri, experiment="never", executor="x")
    assert client.get_experiment_by_name("never") is None


def test_a_cluster_needs_a_store_that_its_workers_reach() -> None:
    (problem,) = executor_problems("dask://127.0.0.1:8786", "sqlite:///mlflow.db")
    assert "whose workers must reach the store, but that is sqlite:///mlflow.db" in problem
    assert executor_problems("dask://127.0.0.1:8786", "http://127.0.0.1:5000") == []


@pytest.mark.slow
def test_a_plan_says_the_same_as_options(cli: Cli, tmp_path: Path, uri: str) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("axes:\n  hidden: [[10, 10], [5]]\n  lr: 1e-3..1e-2:log:2\nseeds: 5\nepochs: 1\n")
    by_plan = cli("sweep", "--plan", str(plan), "--experiment", "planned", "--jobs", "1", "--json")
    assert by_plan.returncode == 0, by_plan.stderr
    axes = ("--axis", "hidden=10,10;5", "--axis", "lr=1e-3..1e-2:log:2")
    options = (*axes, "--seeds", "5", "--epochs", "1")
    by_options = cli("sweep", *options, "--experiment", "planned", "--json")
    one, other = (json.loads(done.stdout) for done in (by_plan, by_options))
    assert len(one["runs"]) == 4
    assert one["run_id"] == other["run_id"]
    assert all(run["was_there"] for run in other["runs"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("axes: [lr]\n", "axes must be a mapping of fields to values"),
        ("axis: {lr: 1}\n", "has 'axis', which is no option. Did you mean axes?"),
        ("- 1\n", "must hold a mapping"),
        ("a: [\n", "which is no YAML"),
        ("axes: {lr: [0]}\n", "axis lr has the value '0', but must be greater than 0."),
        ("!!python/object/apply:os.system [touch ran]\n", "which is no YAML"),
    ],
)
def test_a_plan_that_cannot_be_read_says_why(text: str, words: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    done = cli("sweep", "--plan", "plan.yaml")
    assert done.returncode == 2
    assert words in done.stderr
    assert not Path("ran").exists()


def proposed(asked: Study) -> list[list[Any]]:
    """The points of a search by rounds, where the error grows with the distance of lr from 0.01."""
    found = []
    for points, tell in rounds(asked):
        found.append([dict(point) for point in points])
        tell([Score(value=abs(float(point["lr"]) - 0.01)) for point in points])
    return found


def test_a_search_proposes_the_same_points_again_and_in_its_range() -> None:
    searches = {}
    for kind in ("random", "tpe"):
        asked = study("lr=1e-4..1e-1:log", "variant=module,sequential", search=kind, trials=10)
        searches[kind] = proposed(asked)
        assert searches[kind] == proposed(asked)
        assert [len(some) for some in searches[kind]] == [4, 4, 2]
        assert all(1e-4 <= float(point["lr"]) <= 1e-1 for some in searches[kind] for point in some)
    other = study("lr=1e-4..1e-1:log", "variant=module,sequential", search="tpe", trials=10, search_seed=1)
    assert proposed(other) != searches["tpe"]


@pytest.mark.slow
def test_a_search_is_the_same_on_any_number_of_processes_and_goes_on(uri: str, client: MlflowClient) -> None:
    asked = study("lr=1e-4..1e-1:log", "batch_size=64..128", search="tpe", trials=4, round_size=2)
    one = sweep(asked, tracking_uri=uri, experiment="search by one", jobs=1)
    two = sweep(asked, tracking_uri=uri, experiment="search by two", jobs=2)
    assert [run.point for run in one.runs] == [run.point for run in two.runs]
    assert [run.why for run in two.runs] == [""] * 4
    assert bits_of(one, client) == bits_of(two, client)
    client.delete_run(str(one.runs[-1].run_id))
    again = sweep(asked, tracking_uri=uri, experiment="search by one", jobs=2)
    assert [run.point for run in again.runs] == [run.point for run in one.runs]
    assert Counter(run.was_there for run in again.runs) == {True: 3, False: 1}


@pytest.mark.slow
def test_a_point_that_a_search_proposes_again_is_trained_once(uri: str, client: MlflowClient) -> None:
    asked = study("lr=1e-3,1e-2", epochs=1, search="random", trials=8, round_size=2)
    found = sweep(asked, tracking_uri=uri, experiment="proposed again", jobs=1)
    assert len(found.runs) == len(below(found, client)) == 2
    again = sweep(asked, tracking_uri=uri, experiment="proposed again", jobs=1)
    assert [run.run_id for run in again.runs] == [run.run_id for run in found.runs]


@pytest.fixture(scope="module")
def pruned(uri: str) -> Swept:
    """Learning rates, the good ones first; the pruner needs five runs before it stops any."""
    rates = "lr=2e-3,3e-3,4e-3,5e-3,6e-3,1e-6,2e-6"
    asked = study(rates, epochs=4, seeds=(1, 2), pruner="median", round_size=5)
    return sweep(asked, tracking_uri=uri, experiment="pruned", jobs=2)


@pytest.mark.slow
def test_hopeless_runs_are_pruned_whatever_trains_them(pruned: Swept, uri: str, client: MlflowClient) -> None:
    assert [run.state for run in pruned.runs] == ["FINISHED"] * 10 + ["PRUNED"] * 4
    assert "After epoch 1 its test_rmse of" in pruned.runs[-1].why
    assert not pruned.has_findings
    rates = "lr=2e-3,3e-3,4e-3,5e-3,6e-3,1e-6,2e-6"
    asked = study(rates, epochs=4, seeds=(1, 2), pruner="median", round_size=5)
    again = sweep(asked, tracking_uri=uri, experiment="pruned by one", jobs=1)
    assert bits_of(again, client) == bits_of(pruned, client)
    client.delete_run(str(pruned.runs[-1].run_id))
    third = sweep(asked, tracking_uri=uri, experiment="pruned", jobs=1)
    assert [run.state for run in third.runs] == [run.state for run in pruned.runs]
    assert [run.was_there for run in third.runs] == [True] * 13 + [False]
    assert bits_of(third, client) == bits_of(again, client)


def test_a_pruned_run_is_sound_and_true_and_travels(
    pruned: Swept, uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    run_id = str(pruned.runs[10].run_id)
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["reproven.pruned"] == pruned.runs[10].why
    assert audit(run_id, tracking_uri=uri).findings == ()
    found = replay(run_id, tracking_uri=uri)
    assert found.verdict == "IDENTICAL", found
    record = Record.read(lambda name: (Path(run.info.artifact_uri) / name).read_text())
    assert record.outcome.status == "KILLED"
    assert len(record.outcome.epoch_weights) == 1
    folder = export(run_id, tmp_path / "bundle", tracking_uri=uri)
    assert replay(str(folder), tracking_uri=uri).verdict == "IDENTICAL"
    imported = import_(folder, experiment="imported", tracking_uri=uri)
    assert client.get_run(imported).info.status == "KILLED"
    assert audit(imported, tracking_uri=uri).findings == ()


@pytest.mark.parametrize("pruner", ["median", "percentile", "successive_halving", "hyperband"])
def test_every_pruner_stops_what_is_hopeless_and_nothing_that_is_best(pruner: str) -> None:
    asked = study("lr=1e-3", epochs=30, pruner=pruner)
    earlier = [Curve(tuple(5 + 0.1 * n - 0.01 * epoch for epoch in range(30))) for n in range(12)]
    best, worst = (pruning(asked, earlier) for _ in range(2))
    assert [best(epoch, 1.0) for epoch in range(1, 31)] == [None] * 30
    assert any(worst(epoch, 100.0) for epoch in range(1, 31))


@pytest.mark.slow
def test_where_more_is_better_the_greatest_is_the_best(uri: str) -> None:
    asked = study("lr=1e-3,1e-6", metric="test_r2")
    found = sweep(asked, tracking_uri=uri, experiment="r2", jobs=1)
    assert found.best == "lr=1e-3 seed=12"


@pytest.mark.slow
def test_figures_are_drawn_when_they_are_wanted(
    four: Swept, uri: str, cli: Cli, client: MlflowClient
) -> None:
    run_id = str(four.runs[1].run_id)
    folder = Path(client.get_run(run_id).info.artifact_uri)
    assert not (folder / "figures").exists()
    assert [one.state for one in draw([run_id], tracking_uri=uri)] == ["drawn"]
    names = sorted(path.name for path in (folder / "figures").iterdir())
    assert names == ["predicted.png", "target.png", "train_loss.png", "weights.png"]
    other = Path(alone(cli, "--seed", "2"))
    for name in names:
        assert (folder / "figures" / name).read_bytes() == (other / "figures" / name).read_bytes(), name
    assert len(list((folder / "images").iterdir())) == len(list((other / "images").iterdir()))
    assert [one.state for one in draw([run_id], tracking_uri=uri)] == ["there"]
    assert [one.state for one in draw(run_id, tracking_uri=uri)] == ["there"]
    assert audit(run_id, tracking_uri=uri).findings == ()


def test_an_argument_of_a_wrong_type_is_told_the_type() -> None:
    wrong: Any = ({"lr": 0.1}, "2")
    with pytest.raises(InvalidInput) as caught:
        sweep(wrong[0], jobs=wrong[1])
    assert caught.value.problems == (
        "jobs is '2', but must be a whole number from 1 to 999. In Python its type is int. Try jobs=2.",
        "study is of type dict, but must be a Study. Try Study(base={}).",
    )


@pytest.mark.slow
def test_figures_can_be_drawn_at_once(uri: str, client: MlflowClient) -> None:
    found = sweep(study(), tracking_uri=uri, experiment="drawn", jobs=1, figures=True)
    folder = Path(client.get_run(str(found.runs[0].run_id)).info.artifact_uri)
    assert len(list((folder / "figures").iterdir())) == 4


@pytest.mark.slow
def test_mlflow_run_sweeps_below_its_own_run_and_goes_on_below_the_next(
    uri: str, client: MlflowClient
) -> None:
    from projects import mlflow_run

    arguments = (str(ROOT), "-e", "sweep", "--env-manager", "local", "--experiment-name", "by mlflow")
    axes = ("-P", "axes=optimizer=sgd,adam lr=1e-3", "-P", "seeds=0..1", "-P", "epochs=1", "-P", "jobs=1")
    for was_there in (False, True):
        done = mlflow_run(*arguments, *axes, uri=uri)
        assert done.returncode == 0, done.stderr
        assert ("4 of them were there" in done.stdout) == was_there
    (experiment,) = client.search_experiments(filter_string="name = 'by mlflow'")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags.get("mlflow.project.entryPoint") == "sweep"]
    assert len(runs) == 4 + 2
    new, old = (run.info.run_id for run in parents)
    assert Counter(run.data.tags.get("mlflow.parentRunId") for run in runs) == {new: 4, None: 2}
    assert client.get_run(old).data.tags["reproven.sweep.continued"] == new
