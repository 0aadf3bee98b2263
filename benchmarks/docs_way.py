"""The same work as the MLflow documentation leads one to write it: the benchmark's other side.

log_metric for each batch, log_artifact for each figure (pyplot), log_model with its defaults. As a script it
trains once; others.py calls it in loops.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import mlflow
import numpy as np
import torch
from matplotlib import pyplot as plt
from mlflow.models import infer_signature
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

mpl.use("Agg")


def parts_of(table: np.ndarray, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardised features and targets for training, and for testing."""
    X, test_X, y, test_y = train_test_split(table[:, :-1], table[:, -1], test_size=0.2, random_state=seed)
    scaler = StandardScaler().fit(X)
    scaled = (torch.from_numpy(scaler.transform(part).astype(np.float32)) for part in (X, test_X))
    targets = (torch.from_numpy(part.astype(np.float32)) for part in (y, test_y))
    return (*scaled, *targets)  # type: ignore[return-value]


def made(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(13, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1))


def epoch(network: nn.Module, loader: DataLoader[tuple[Tensor, ...]], lr: float = 0.001) -> Iterator[float]:
    """Trains for an epoch, and yields each batch's loss."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    loss_func = nn.MSELoss()
    for batch_X, batch_y in loader:
        loss = loss_func(network(batch_X).flatten(), batch_y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def errors(network: nn.Module, X: Tensor, y: Tensor) -> dict[str, float]:
    with torch.no_grad():
        predicted = network(X).flatten()
    return {
        "rmse": mean_squared_error(y, predicted) ** 0.5,
        "mae": mean_absolute_error(y, predicted),
        "r2": r2_score(y, predicted),
    }


def draw(table: np.ndarray, losses: list[float], network: nn.Module, X: Tensor, y: Tensor) -> Iterator[str]:
    """The figures, by the names of their files."""
    for name in ("target", "train_loss", "predicted", "weights"):
        plt.figure()
        if name == "target":
            plt.hist(table[:, -1], bins=20)
        elif name == "train_loss":
            plt.plot(losses)
        elif name == "predicted":
            plt.scatter(y, network(X).detach())
        else:
            plt.hist(next(network.parameters()).detach().numpy().ravel(), bins=30)
        plt.savefig(f"{name}.png")
        plt.close()
        yield f"{name}.png"


def run(path: str, seed: int) -> float:
    """Trains and tracks once, and returns the held-out error."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    X, test_X, y, test_y = parts_of(table, seed)
    network = made(seed)
    loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True)
    with mlflow.start_run():
        mlflow.log_params({"lr": 0.001, "epochs": 30, "batch_size": 128, "optimizer": "sgd", "seed": seed})
        losses: list[float] = []
        for number in range(30):
            for loss in epoch(network, loader):
                mlflow.log_metric("train_loss", loss, step=len(losses))
                losses.append(loss)
            for part, features, target in (("train", X, y), ("test", test_X, test_y)):
                for name, value in errors(network, features, target).items():
                    mlflow.log_metric(f"{part}_{name}", value, step=number)
        for name in draw(table, losses, network, test_X, test_y):
            mlflow.log_artifact(name)
        torch.save(network, "model.pth")
        torch.save(network.state_dict(), "state_dict.pth")
        mlflow.log_artifact("model.pth")
        mlflow.log_artifact("state_dict.pth")
        example = X[:3].numpy()
        mlflow.pytorch.log_model(
            network,
            name="model",
            input_example=example,
            signature=infer_signature(example, network(X[:3]).detach().numpy()),
        )
    return errors(network, test_X, test_y)["rmse"]


if __name__ == "__main__":
    run(sys.argv[1], 12)
    Path("done").touch()
