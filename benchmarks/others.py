"""`python others.py KIND TABLE COUNT`: the docs' way, in the loops that other packages give it, in one go.

optuna: a study whose objective is the docs' script, one trial after the other. joblib: two processes. ray:
Ray Tune with its MLflow callback, which logs what a trial reports: errors after each epoch and, at the end,
the trial's folder; no loss of each batch, no figures, no MLflow model.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import docs_way
import mlflow
import numpy as np


def optuna(table: str, count: int) -> None:
    import optuna as package

    package.logging.set_verbosity(package.logging.WARNING)
    study = package.create_study(sampler=package.samplers.RandomSampler(seed=1))
    study.optimize(lambda trial: docs_way.run(table, trial.number), n_trials=count)


def joblib(table: str, count: int) -> None:
    from joblib import Parallel, delayed

    Parallel(n_jobs=2)(delayed(docs_way.run)(table, seed) for seed in range(count))


def ray(table: str, count: int) -> None:
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    def trainable(config: dict[str, Any]) -> None:
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        X, test_X, y, test_y = docs_way.parts_of(np.loadtxt(table, delimiter=",", skiprows=1), config["seed"])
        network = docs_way.made(config["seed"])
        loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True)
        for _ in range(30):
            losses = list(docs_way.epoch(network, loader))
            tune.report({"train_loss": losses[-1], **docs_way.errors(network, test_X, test_y)})
        torch.save(network, "model.pth")

    callback = MLflowLoggerCallback(
        tracking_uri=mlflow.get_tracking_uri(), experiment_name="ray", save_artifact=True
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"seed": tune.grid_search(list(range(count)))},
        run_config=tune.RunConfig(
            callbacks=[callback],
            verbose=0,
            storage_path=os.path.abspath("ray"),  # noqa: PTH100
        ),
    )
    found = tuner.fit()
    assert not found.errors, found.errors[0]


if __name__ == "__main__":
    {"optuna": optuna, "joblib": joblib, "ray": ray}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
