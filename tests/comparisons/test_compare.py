"""compare: runs of a real store become a table, words, files, and a page that a real browser shows."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

import browsing
from comparing import run as candidate
from conftest import ROOT, Cli
from projects import mlflow_run, only_run
from reproven import Recipe, compare, train
from reproven.comparisons import group_figures, overview, params
from reproven.comparisons.compare import _csv
from reproven.comparisons.group_figures import Course
from reproven.errors import DiskError, InvalidInput, StoreError
from reproven.pages.rendering import POLICY
from reproven.store.store import Store
from reproven.store.tags import PARENT
from reproven.training.figures import png
from reproven.training.histograms import Histogram

SEEDS = range(3)
HOSTILE = "<script>alert(1)</script><img src=http://127.0.0.1:1/x>"


@dataclass(frozen=True)
class Study:
    """Runs under a parent: two optimizers by three seeds, one run that failed, and a replay's like."""

    uri: str
    experiment: str
    parent: str
    runs: dict[tuple[str, int], str]


@pytest.fixture(scope="module")
def study(uri: str) -> Study:
    store = Store(uri)
    parent = store.create("a study", "the parent", {}, None)
    runs = {}
    for seed in SEEDS:
        for optimizer in ("sgd", "adam"):
            recipe = Recipe(epochs=2, optimizer=optimizer, seed=seed, split_seed=12)
            made = train(recipe, tracking_uri=uri, experiment="a study", run_name=f"{optimizer} {seed}")
            runs[optimizer, seed] = made.run_id
    failed = train(
        Recipe(epochs=2, lr=10.0, seed=9), tracking_uri=uri, experiment="a study", run_name=HOSTILE
    )
    store.tag(failed.run_id, {PARENT: parent.id})
    for run_id in runs.values():
        store.tag(run_id, {PARENT: parent.id})
    parent.end("FINISHED")
    return Study(uri, "a study", parent.id, runs)


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the study's comparison, which are also logged to its parent."""
    folder = tmp_path_factory.mktemp("compared") / "deep" / "er"
    compare([study.parent], output=folder, tracking_uri=study.uri)
    return folder


def test_a_parent_stands_for_its_runs_and_an_experiment_for_all_of_its_own(study: Study) -> None:
    of_parent = compare([study.parent], tracking_uri=study.uri)
    of_experiment = compare(experiment=study.experiment, tracking_uri=study.uri)
    named = compare([f"runs:/{run_id}" for run_id in study.runs.values()], tracking_uri=study.uri)
    assert of_parent.comparison == of_experiment.comparison
    assert {group.label for group in named.comparison.groups} == {"sgd", "adam"}
    assert of_experiment.places == named.places == ()
    (left,) = of_parent.comparison.left_out
    assert (left.name, left.why) == (HOSTILE, "it failed")


def test_what_is_compared_is_what_the_store_says_of_each_run(study: Study, client: MlflowClient) -> None:
    found = compare(list(study.runs.values()), tracking_uri=study.uri).comparison
    for group in found.groups:
        values = [
            client.get_run(run_id).data.metrics["test_rmse"]
            for (optimizer, _), run_id in study.runs.items()
            if optimizer == group.label
        ]
        assert list(group.values.values()) == values
        assert (group.mean, group.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    (pair,) = found.pairs
    assert (len(pair.differences), pair.refusal) == (3, None)
    assert pair.on_table is not None
    assert pair.on_table.least == 0.25


def test_a_param_is_one_number_whoever_spelt_it(uri: str, client: MlflowClient) -> None:
    typed = client.create_run(client.create_experiment("typed"), tags={"mlflow.source.type": "PROJECT"})
    client.log_param(typed.info.run_id, "lr", "1e-3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_RUN_ID", typed.info.run_id)
        train(Recipe(epochs=1), tracking_uri=uri, experiment="typed")
    train(Recipe(epochs=1, seed=13), tracking_uri=uri, experiment="typed")
    found = compare(experiment="typed", tracking_uri=uri).comparison
    assert found.equal["lr"] == "0.001"
    assert [len(group.values) for group in found.groups] == [2]


def test_a_run_with_replays_under_it_is_no_parent(uri: str, trained: Any, client: MlflowClient) -> None:
    found = client.create_run(trained.experiment_id, tags={PARENT: trained.run_id})
    client.set_terminated(found.info.run_id)
    compared = compare([trained.run_id], tracking_uri=uri).comparison
    assert [group.run_ids for group in compared.groups] == [(trained.run_id,)]


def test_files_are_written_to_a_folder_and_logged_to_the_parent(
    study: Study, folder: Path, client: MlflowClient
) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == [
        "comparison.csv",
        "comparison.html",
        "comparison.json",
        *(f"figures/{name}.png" for name in ("epochs", "error", "intervals", "loss", "weights")),
    ]
    logged = client.list_artifacts(study.parent, "comparison")
    assert {item.path for item in logged} >= {
        f"comparison/comparison.{kind}" for kind in ("csv", "html", "json")
    }
    kept = json.loads((folder / "comparison.json").read_text())
    assert kept["command"] == f"reproven compare {study.parent} --metric test_rmse"
    assert [group["label"] for group in kept["groups"]] != []
    rows = list(csv.DictReader(io.StringIO((folder / "comparison.csv").read_text())))
    by_id = {row["run_id"]: row for row in rows}
    for (optimizer, seed), run_id in study.runs.items():
        row, metrics = by_id[run_id], client.get_run(run_id).data.metrics
        assert (row["optimizer"], row["seed"], row["split_seed"], row["left_out"]) == (
            *(optimizer, str(seed), "12", ""),
        )
        assert {name: float(row[name]) for name in metrics} == metrics
    (other,) = [row for row in rows if row["left_out"]]
    assert (other["name"], other["left_out"]) == (HOSTILE, "it failed")


def test_a_comparison_that_is_repeated_replaces_the_files_with_the_same(study: Study, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    compare([study.parent], output=folder, tracking_uri=study.uri)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_whose_files_are_gone_is_compared_and_missed_in_the_figures(uri: str, tmp_path: Path) -> None:
    kept, lost = (
        train(Recipe(epochs=1, seed=s), tracking_uri=uri, experiment="lost", run_name=f"seed {s}")
        for s in (0, 1)
    )
    (Path(lost.artifact_uri) / "metrics.csv").unlink()
    (Path(kept.artifact_uri) / "histograms.json").write_text('{"1": {"w": {"counts": [1], "edges": [2, 1]}}}')
    found = compare(experiment="lost", output=tmp_path / "out", tracking_uri=uri)
    assert [len(group.values) for group in found.comparison.groups] == [2]
    text = (tmp_path / "out" / "comparison.html").read_text()
    assert f"without seed 1 ({lost.run_id}): metrics.csv is not there." in text
    assert "histograms.json cannot be read: the edges of &#39;w&#39; do not ascend." in text
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {"error.png"}


# --- the page, in a browser -------------------------------------------------------------------------------


def test_the_page_says_and_shows_everything_and_asks_for_nothing(
    study: Study, folder: Path, tmp_path: Path
) -> None:
    found = browsing.opened(folder / "comparison.html", tmp_path)
    said = compare([study.parent], tracking_uri=study.uri)
    for sentence in (*said.sentences, said.explanation, *said.comparison.notes):
        assert sentence in found["text"]
    for words in (
        "sgd",
        "adam",
        study.runs["sgd", 1],
        "Efron 1987",
        "Holm 1979",
        f"reproven compare {study.parent}",
    ):
        assert words in found["text"]
    assert len(found["images"]) == 5
    assert all(width > 500 for width in found["images"])
    assert all(len(text) > 40 for text in found["alternatives"])
    assert all(name.startswith("data:") for name in found["asked"])
    assert found["title"].startswith("test_rmse of 6 runs in 3 groups")


def test_a_hostile_name_is_shown_and_does_nothing(folder: Path, tmp_path: Path) -> None:
    found = browsing.opened(folder / "comparison.html", tmp_path)
    assert HOSTILE in found["text"]
    assert found["scripts"] == 0
    assert len(found["images"]) == 5


@pytest.mark.parametrize(("width", "dark"), [(1000, False), (1000, True), (360, False)])
def test_the_page_fits_a_phone_and_a_dark_room(width: int, dark: bool, folder: Path, tmp_path: Path) -> None:
    found = browsing.opened(folder / "comparison.html", tmp_path, width=width, dark=dark)
    assert found["width"] <= width  # what is wider scrolls by itself
    paper = sum(map(int, re.findall(r"\d+", found["paper"])))
    assert (paper < 3 * 60) if dark else (paper > 3 * 200)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that it was asked for."""
    paths: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listening)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_forbids_the_browser_to_ask_any_other_place(
    folder: Path, tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    """Even if something got into it; without the policy, the same page does ask."""
    address, paths = asked
    text = (folder / "comparison.html").read_text()
    bad = f"<img src={address}/image><link rel=stylesheet href={address}/style>"
    bad += f"<script src={address}/x></script>"
    for name, page in (("guarded", text), ("open", text.replace(POLICY.replace("'", "&#39;"), ""))):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.html").write_text(page.replace("</main>", f"{bad}</main>"))
        browsing.opened(tmp_path / f"{name}.html", tmp_path / name)
        assert sorted(set(paths)) == ([] if name == "guarded" else ["/image", "/style", "/x"]), name


# --- the figures ------------------------------------------------------------------------------------------


def courses(groups: int, *, name: str = "sgd") -> list[Course]:
    rng = np.random.default_rng(0)
    return [
        Course(
            group=f"{name} lr={k}",
            rest=name,
            rates=f"lr={k}",
            losses=list(rng.uniform(1, 9, 40)),
            errors={epoch: float(rng.uniform(3, 9)) for epoch in range(1, 11)},
            histograms={
                f"hidden{n}.weight": Histogram((1, 5, 2), tuple(np.sort(rng.normal(size=4)))) for n in (2, 10)
            },
        )
        for k in range(groups)
        for _ in range(3)
    ]


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["sgd", "$\\frac{", "data=" + "houses," * 30])
def test_figures_are_drawn_whatever_the_groups_are_called(groups: int, name: str) -> None:
    runs = courses(groups, name=name)
    for figure in (
        group_figures.losses(runs, f"loss, {name}²"),
        group_figures.errors(runs, name),
        group_figures.weights(runs),
    ):
        assert png(figure).startswith(b"\x89PNG")


def test_a_curve_is_the_mean_over_the_runs_of_a_setting() -> None:
    runs = courses(2)
    axes = group_figures.errors(runs, "test_rmse").axes[0]
    lines = [line for line in axes.lines if np.size(line.get_xdata())]
    for line, k in zip(lines, (0, 1), strict=True):
        values = [[course.errors[e] for e in range(1, 11)] for course in runs if course.rates == f"lr={k}"]
        assert np.asarray(line.get_ydata()) == pytest.approx(np.mean(values, axis=0))
        assert np.asarray(line.get_xdata()).tolist() == list(range(1, 11))


def test_groups_that_differ_in_more_than_rates_have_a_panel_each() -> None:
    runs = [*courses(2, name="sgd"), *courses(2, name="adam")]
    shown = group_figures.errors(runs, "test_rmse").axes
    assert [axes.get_title() for axes in shown] == ["sgd", "adam"]


def test_errors_that_may_be_negative_have_a_linear_axis() -> None:
    runs = [Course(group="a", rest="", rates="", losses=[1.0], errors={1: -0.5, 2: 0.7}) for _ in range(2)]
    assert group_figures.errors(runs, "test_r2").axes[0].get_yscale() == "linear"
    assert group_figures.errors(courses(1), "test_rmse").axes[0].get_yscale() == "log"


def test_parameters_stand_in_the_order_of_their_layers() -> None:
    shown = group_figures.weights(courses(1)).axes
    assert [axes.get_ylabel() for axes in shown] == ["hidden2\nweight", "hidden10\nweight"]


def test_of_many_groups_the_best_are_drawn_and_the_caption_says_so() -> None:
    from reproven.comparisons import overview

    compared = overview.of([candidate(4.0 + k, lr=0.001 * k) for k in range(1, 13)])
    labels = {"metric": "test_rmse", "loss": "loss"}
    drawn = group_figures.pictures(compared, courses(8), labels)
    assert all("The best 8 of 12 groups." in picture.caption for picture in drawn.values())
    axes = group_figures.boxes(compared.groups[:8], "test_rmse").axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [g.label for g in compared.groups[:8]]


# --- the command line -------------------------------------------------------------------------------------


def test_the_terminal_shows_the_table_the_sentences_and_what_differs(study: Study, cli: Cli) -> None:
    done = cli("compare", "--experiment", study.experiment, "--by", "optimizer")
    assert (done.returncode, done.stderr) == (0, "")
    header, best, *_ = done.stdout.splitlines()
    assert header.split() == ["group", "runs", "seeds", "test_rmse", "min", "max"]
    assert best.split()[0] in ("sgd", "adam")
    assert "too few seeds to tell" in done.stdout
    assert "Less test_rmse is better; ± is the standard deviation over seeds" in done.stdout
    assert "differ  optimizer adam | sgd; lr 0.001 | 10.0" in done.stdout
    assert re.search(r"equal   data boston; data_sha256 [0-9a-f]{12}; ", done.stdout)
    assert f"left out  {HOSTILE}" in done.stdout


def test_json_and_csv_are_the_same_answer(study: Study, cli: Cli) -> None:
    found = compare([study.parent], by=["optimizer"], tracking_uri=study.uri)
    done = cli("compare", "--run", study.parent, "--by", "optimizer", "--json")
    assert json.loads(done.stdout) == json.loads(json.dumps(found.to_dict()))
    assert cli("compare", study.parent, "--by", "optimizer", "--csv").stdout == found.csv


def test_a_file_is_no_folder_and_a_place_that_cannot_be_made_is_named(study: Study, cli: Cli) -> None:
    Path("file").write_text("kept")
    done = cli("compare", study.parent, "--output", "file")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: output is file, which is a file. Give a folder.\n"
    with pytest.raises(DiskError, match="output is 'file/x', which cannot be written"):
        compare([study.parent], output="file/x", tracking_uri=study.uri)
    assert Path("file").read_text() == "kept"
    done = cli("compare", study.parent, "--output", "new")
    assert f"page    {Path('new', 'comparison.html')}" in done.stdout
    assert f"page    comparison/comparison.html of the run {study.parent}" in done.stdout
    assert Path("new/comparison.html").is_file()


def test_what_does_not_exist_is_told_with_its_near_miss(study: Study, cli: Cli) -> None:
    for arguments, words in (
        (["--experiment", "a stady"], "has no experiment 'a stady'. Did you mean a study?"),
        ([study.parent, "--metric", "test_rsme"], "no run has it. Did you mean test_rmse?"),
        ([study.parent, "--by", "optimiser"], "no param is called so. Did you mean optimizer?"),
        (["0" * 32], "Cannot find the run 00000000000000000000000000000000 in the store"),
        (["x", "y"], "run is 'y', but must be a run id (32 hexadecimal digits)."),
    ):
        done = cli("compare", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
    with pytest.raises(InvalidInput, match="run is not given"):
        compare(tracking_uri=study.uri)
    with pytest.raises(StoreError):
        compare(["0" * 32], tracking_uri=study.uri)


def test_one_run_or_field_alone_is_no_list_of_characters(study: Study) -> None:
    alone: Any = (study.parent, "optimizer")
    found = compare(alone[0], by=alone[1], tracking_uri=study.uri)
    assert found.comparison.by == ("optimizer",)
    assert found == compare([study.parent], by=["optimizer"], tracking_uri=study.uri)
    two = compare([study.parent], by="optimizer, lr", tracking_uri=study.uri)
    assert two.comparison.by == ("optimizer", "lr")
    for wrong in (3, [3], {"optimizer"}):
        given: Any = wrong
        with pytest.raises(InvalidInput, match=r"but must be a str, or a list of some. Try by=\['optimizer'"):
            compare([study.parent], by=given, tracking_uri=study.uri)


def test_every_field_is_a_param_of_a_recipe_but_no_seed() -> None:
    assert params.field_problems(["variant", "layer_lr", "data_sha256"]) == []
    assert len(params.field_problems(["seed", "split_seed", "colour"])) == 3


@pytest.mark.slow
def test_under_mlflow_run_the_run_that_mlflow_made_holds_the_comparison(
    study: Study, client: MlflowClient
) -> None:
    done = mlflow_run(
        *(str(ROOT), "-e", "compare", "--env-manager", "local", "--experiment-name", "comparing"),
        *("-P", f"run={study.parent}", "-P", "by=optimizer"),
        uri=study.uri,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(client, "comparing")
    assert run.info.status == "FINISHED"
    assert "too few seeds to tell" in run.data.tags["mlflow.note.content"]
    assert "| group | runs | seeds |" in run.data.tags["mlflow.note.content"]
    paths = {item.path for item in client.list_artifacts(run.info.run_id, "comparison")}
    assert "comparison/comparison.html" in paths


@pytest.mark.parametrize("name", ["=1+1", "+SUM(A1)", "-2+3", "@cmd", "\t=1", "\r=1"])
def test_no_cell_of_the_csv_is_a_formula(name: str) -> None:
    made = replace(candidate(-0.25, optimizer="sgd"), name=name)
    compared = overview.of([made])
    (row,) = csv.DictReader(io.StringIO(_csv(compared, [made]), newline=""))
    assert row["name"] == f"'{name}".replace("\r", " ")
    assert row["test_rmse"] == "-0.25"  # a number stays one
