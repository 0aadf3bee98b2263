"""The same work as the MLflow documentation leads one to write it: the benchmark's other side.

log_metric for each batch, log_artifact for each figure (pyplot), log_model with its defaults.
"""

from __future__ import annotations

import sys
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
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

mpl.use("Agg")
table = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1)
X, test_X, y, test_y = train_test_split(table[:, :-1], table[:, -1], test_size=0.2, random_state=12)
scaler = StandardScaler().fit(X)
X, test_X = (torch.from_numpy(scaler.transform(part).astype(np.float32)) for part in (X, test_X))
y, test_y = (torch.from_numpy(part.astype(np.float32)) for part in (y, test_y))

torch.manual_seed(12)
network = nn.Sequential(nn.Linear(13, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1))
loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True)
optimizer = torch.optim.SGD(network.parameters(), lr=0.001)
loss_func = nn.MSELoss()

with mlflow.start_run():
    mlflow.log_params({"lr": 0.001, "epochs": 30, "batch_size": 128, "optimizer": "sgd", "seed": 12})
    step, losses = 0, []
    for epoch in range(30):
        for batch_X, batch_y in loader:
            loss = loss_func(network(batch_X).flatten(), batch_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            mlflow.log_metric("train_loss", losses[-1], step=step)
            step += 1
        with torch.no_grad():
            for part, features, target in (("train", X, y), ("test", test_X, test_y)):
                predicted = network(features).flatten()
                mlflow.log_metric(f"{part}_rmse", mean_squared_error(target, predicted) ** 0.5, step=epoch)
                mlflow.log_metric(f"{part}_mae", mean_absolute_error(target, predicted), step=epoch)
                mlflow.log_metric(f"{part}_r2", r2_score(target, predicted), step=epoch)
    for name in ("target", "train_loss", "predicted", "weights"):
        plt.figure()
        if name == "target":
            plt.hist(table[:, -1], bins=20)
        elif name == "train_loss":
            plt.plot(losses)
        elif name == "predicted":
            plt.scatter(test_y, network(test_X).detach())
        else:
            plt.hist(next(network.parameters()).detach().numpy().ravel(), bins=30)
        plt.savefig(f"{name}.png")
        plt.close()
        mlflow.log_artifact(f"{name}.png")
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
Path("done").touch()
