"""weights: a network or one layer is built and initialised, and its histograms become a run."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from reproven.arithmetic.profiles import PORTABLE
from reproven.files import disk, models, names
from reproven.files.names import ENVIRONMENT
from reproven.files.texts import json_text
from reproven.machine import code, environment
from reproven.operations.takeover import computing
from reproven.recipes.blueprint import Blueprint
from reproven.store.address import without_credentials
from reproven.store.children import enclosing
from reproven.store.images import write_image
from reproven.store.store import Store
from reproven.store.tags import DESCRIPTION, HAS_IMAGES, PREFIX, code_tags
from reproven.training import figures
from reproven.training.building import build_blueprint
from reproven.training.histograms import as_json, weight_histograms


@dataclass(frozen=True, kw_only=True, slots=True)
class Initialised:
    """What became of a run without training.

    Attributes:
        run_id: The run's id.
        experiment_id: The experiment that it is in.
        tracking_uri: The store that it is in.
        artifact_uri: Where its files are.
        parameters: Shape of each parameter, by name.
    """

    run_id: str
    experiment_id: str
    tracking_uri: str
    artifact_uri: str
    parameters: dict[str, list[int]]


def weights(
    blueprint: Blueprint,
    *,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    run_name: str | None = None,
) -> Initialised:
    """Builds and initialises a network, and logs its weights and their histograms.

    Args:
        blueprint: What to build.
        tracking_uri: Where to track; None takes MLflow's own choice.
        experiment: As for `train`; so is the run that it is shown under.
        run_name: None names the run by network and scheme.

    Raises:
        InvalidInput: The scheme does not fit the network, as `dirac` and a linear layer.
        StoreError: The store refuses.
    """
    with computing(PORTABLE):
        network = build_blueprint(blueprint)
    found = weight_histograms(network, blueprint.bins)
    scheme = blueprint.init.partition(":")[0]
    figure = figures.weights({"": found}, f"Initial weights of {blueprint.network}, {blueprint.init}")
    store = Store(tracking_uri)
    parent, around = enclosing(store)
    name = run_name or f"{blueprint.network}-{scheme}"
    with (
        store.run(experiment=experiment or around, name=name, parent=parent) as run,
        tempfile.TemporaryDirectory(prefix="reproven-") as temporary,
    ):
        folder = Path(temporary)
        tags = {
            **HAS_IMAGES,
            **code_tags(code.code_state()),
            f"{PREFIX}version": environment.package_version("reproven"),
            DESCRIPTION: f"Initial weights, untrained.\n\n```\n{network}\n```",
        }
        run.describe(params=blueprint.to_dict(), tags=tags)
        models.write_torch(folder / names.STATE_DICT, network.state_dict())
        disk.write_text(folder / names.HISTOGRAMS, json_text({"0": as_json(found)}))
        disk.write_text(folder / ENVIRONMENT, json_text(environment.describe(PORTABLE)))
        disk.write_bytes(folder / names.FIGURES / "weights.png", figures.png(figure))
        now = int(time.time() * 1000)
        write_image(folder, figures.pixels(figure), key="weights", step=0, timestamp=now, owner=run.id)
        run.upload(folder)
        return Initialised(
            run_id=run.id,
            experiment_id=run.info.experiment_id,
            tracking_uri=without_credentials(store.uri),
            artifact_uri=run.info.artifact_uri,
            parameters={name: list(p.shape) for name, p in network.named_parameters()},
        )
