"""A run in its store, with its model, and beside others that are written at the same moment."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from mlflow import MlflowClient

from reproven import Trained, audit
from reproven.store.registry import Registry
from reproven.store.store import Store
from reproven.values.metrics import ERRORS, last_errors, read_metrics
from stopping import metrics_of, sent, stored

BOTH = [
    {"context": context, "name": "boston", "digest": digest, "source_type": "local", "source": "{}"}
    | {"schema": "{}", "profile": "{}"}
    for context, digest in (("training", "a" * 36), ("testing", "b" * 36))
]


def _known(run: Trained) -> list[str]:
    """The errors of a run that predicts numbers."""
    return [name for name in ERRORS if name in run.metrics]


def test_runs_that_begin_at_one_moment_may_have_the_same_datasets(uri: str, client: MlflowClient) -> None:
    at_once = Barrier(4)
    stores = [Store(uri) for _ in range(4)]

    def begin(store: Store, experiment: str) -> str:
        run = store.create(experiment, "one", {}, None)
        at_once.wait()
        run.log_datasets(BOTH)
        return run.id

    with ThreadPoolExecutor(4) as pool:
        for number in range(8):
            for run_id in pool.map(begin, stores, [f"at one moment {number}"] * 4):
                found = client.get_run(run_id).inputs.dataset_inputs
                assert {one.dataset.digest for one in found} == {one["digest"] for one in BOTH}
                client.set_terminated(run_id)


def test_a_logged_model_is_found_by_its_errors_on_a_dataset(
    trained: Trained, files: Path, client: MlflowClient
) -> None:
    run = client.get_run(trained.run_id)
    parts = {item.tags[0].value: item.dataset for item in run.inputs.dataset_inputs}
    last = {
        m.key: m for name in _known(trained) for m in client.get_metric_history(trained.run_id, name)[-1:]
    }
    (model,) = client.search_logged_models(
        [trained.experiment_id],
        f"metrics.test_rmse < {trained.metrics['test_rmse'] + 1e-9} AND params.optimizer = 'sgd'"
        f" AND source_run_id = '{trained.run_id}'",
        datasets=[{"dataset_name": "boston", "dataset_digest": parts["testing"].digest}],
    )
    assert f"models:/{model.model_id}" == trained.model_uri
    assert (model.name, model.status) == ("module-sgd", "READY")
    assert model.params == run.data.params
    assert metrics_of(model) == sorted(
        (m.key, m.value, m.timestamp, m.step, "boston", parts[f"{m.key.split('_')[0]}ing"].digest)
        for m in last.values()
    )
    assert {m.key: m.value for m in model.metrics} == {
        name: trained.metrics[name] for name in _known(trained)
    }


def test_a_model_that_is_filled_twice_has_every_metric_once(
    trained: Trained, files: Path, uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    model_id = str(trained.model_uri).removeprefix("models:/")
    before = client.get_logged_model(model_id)
    example = Registry(Store(uri)).files(str(trained.model_uri), tmp_path) / "input_example.json"
    Store(uri).open(trained.run_id).fill_model(
        model_id,
        files / "model.pth",
        json.loads(example.read_text()),
        step=12,
        errors=last_errors(read_metrics((files / "metrics.csv").read_text())),
        datasets=Store(uri).snapshot(trained.run_id).datasets,
    )
    after = client.get_logged_model(model_id)
    assert metrics_of(after) == metrics_of(before)
    assert len(after.metrics) == len(_known(trained))
    assert sorted(stored(trained, client)) == sorted(sent(trained))  # neither more rows nor other times
    assert audit(trained.run_id, tracking_uri=uri).findings == ()
