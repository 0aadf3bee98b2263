"""about: what this installation is, and where it puts things; nothing is made or changed."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from reproven._version import __version__
from reproven.arithmetic import profiles
from reproven.logbooks import shelf
from reproven.machine.environment import package_version, processors
from reproven.machine.shipped import FOLDER
from reproven.store.address import without_credentials
from reproven.store.store import address


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """This installation, as a bug report or a methods section names it.

    Attributes:
        reproven: The version of this package.
        python: The version of Python.
        torch: The version of torch.
        mlflow: The version of MLflow.
        machine: The kind of processor, and how many this process may use.
        profile: The arithmetic of recipes that name none, on the CPU: `portable` or `native`.
        tracking_uri: Where runs are tracked, as long as no option says otherwise.
        state: Where a run is kept until its store has all of it.
        shipped: The folder of the recorded runs that came along.
    """

    reproven: str
    python: str
    torch: str
    mlflow: str
    machine: str
    profile: str
    tracking_uri: str
    state: str
    shipped: str


def about(*, tracking_uri: str | None = None) -> About:
    """What this installation is, and where it puts things.

    Args:
        tracking_uri: A tracking store; None takes MLflow's own choice.
    """
    return About(
        reproven=__version__,
        python=platform.python_version(),
        torch=package_version("torch"),
        mlflow=package_version("mlflow"),
        machine=f"{platform.machine()}, {processors()} processors",
        profile=profiles.usual(),
        tracking_uri=without_credentials(address(tracking_uri)),
        state=str(shelf.place()),
        shipped=str(FOLDER),
    )
