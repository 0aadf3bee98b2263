"""A run in its store, beside others that are written at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from mlflow import MlflowClient

from reproven.store.store import Store

BOTH = [
    {"context": context, "name": "boston", "digest": digest, "source_type": "local", "source": "{}"}
    | {"schema": "{}", "profile": "{}"}
    for context, digest in (("training", "a" * 36), ("testing", "b" * 36))
]


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
