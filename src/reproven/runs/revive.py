"""revive: a saved model comes back to life, without running code from any file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from reproven.errors import InvalidInput, OwnCodeError, ReprovenError, RevivalError, Untrusted
from reproven.files import disk, models, names
from reproven.files.front import Front, Model, OwnModel
from reproven.files.names import MADE_OF, OF_ENCODING, RECIPE, SCHEMA
from reproven.files.texts import json_value
from reproven.networks import VARIANTS, unset
from reproven.recipes.recipe import Recipe
from reproven.training.building import weights_in_mlp
from reproven.values.run_ids import SCHEME, is_run, run_and_path

if TYPE_CHECKING:
    from reproven.store.registry import Registry
    from reproven.store.store import Store

FORMS = ("model", "state_dict", "registered")


def revive(source: str | Path, form: str | None = None, *, tracking_uri: str | None = None) -> Model:
    """Brings a saved model back, ready to predict from raw feature columns.

    Args:
        source: A run id, `runs:/…`, `models:/name@alias`, `models:/name/3`, or a file. A state_dict's
            file needs its run's recipe.json and standardisation.json beside it.
        form: `model` (the whole pickled model), `state_dict` (the weights, put into a network made from
            the recipe) or `registered` (the MLflow model). All predict the same bits. None takes what the
            source is: `registered` for `models:/`, the file's own form for a file, `model` for a run.
        tracking_uri: Where runs and models are looked up; None takes MLflow's own choice.

    Returns:
        A regressor, on the CPU, in evaluation mode: (rows, features) float64 to (rows,) float32; or a
        classifier, to the probability of each class, (rows, classes) float32.

    Raises:
        InvalidInput: There is no such form, or the source does not have it.
        RevivalError: A file is missing, broken, or names something that is not allowed.
        StoreError: The store does not hold the source.
    """
    if form not in (None, *FORMS):
        raise InvalidInput([f"form is {form!r}, but must be one of {', '.join(FORMS)}."])
    source = str(source)
    if source.startswith("models:/"):
        if form in ("model", "state_dict"):
            raise InvalidInput(
                [f"form is {form}, but {source} is a registered model. Try --form registered."]
            )
        return _read_from(_store(tracking_uri), source)
    if not is_run(source) or (not source.startswith(SCHEME) and Path(source).exists()):
        return _from_file(Path(source), form)
    store = _store(tracking_uri)
    if form == "registered":
        run_id, _ = run_and_path(source)
        return _read_from(store, _registry(store).model_of(run_id))
    if form == "state_dict":
        needed = (names.STATE_DICT, RECIPE, names.STANDARDISATION)
        with ExitStack() as fetched:
            return _assemble(*(fetched.enter_context(store.fetched(source, name)) for name in needed))
    with store.fetched(source, names.MODEL) as path:
        return _read(path)


def tensors(source: str | Path, *, tracking_uri: str | None = None) -> dict[str, torch.Tensor]:
    """The tensors of a saved model by their names, without its network, so that none is imported.

    Args:
        source: As for `revive`; of a run its network's weights are taken.
        tracking_uri: As for `revive`.

    Returns:
        Tensors on the CPU, of a whole model by the names that its state_dict has for them.

    Raises:
        RevivalError, StoreError: As for `revive`.
    """
    source = str(source)
    with ExitStack() as fetched:
        if source.startswith("models:/"):
            folder = fetched.enter_context(_store(tracking_uri).fetched(source))
            path = folder / "data" / names.MODEL
        elif not is_run(source) or (not source.startswith(SCHEME) and Path(source).exists()):
            path = Path(source)
        else:
            path = fetched.enter_context(_store(tracking_uri).fetched(source, names.STATE_DICT))
        found = models.read_described(path)
    if isinstance(found, dict):
        return found
    return dict(found.tensors if isinstance(found, OwnModel) else found.state_dict())


def _store(tracking_uri: str | None) -> Store:
    from reproven.store.store import Store

    return Store(tracking_uri)


def _registry(store: Store) -> Registry:
    from reproven.store.registry import Registry

    return Registry(store)


def _from_file(path: Path, form: str | None) -> Model:
    value = models.read_torch(path)
    found = "model" if isinstance(value, torch.nn.Module) else "state_dict"
    if form not in (None, found):
        raise InvalidInput([f"form is {form}, but {path} holds a {found}. Try --form {found}."])
    if found == "model":
        return _checked(value, path)
    return _assemble(path, path.with_name(RECIPE), path.with_name(names.STANDARDISATION))


def _read_from(store: Store, model: str) -> Model:
    """The model that `models:/…` names."""
    with store.fetched(model) as folder:
        return _read(folder / "data" / names.MODEL)


def _read(path: Path) -> Model:
    return _checked(models.read_torch(path), path)


def _checked(model: Any, path: Path) -> Model:
    if not isinstance(model, Model):
        raise RevivalError(
            f"{path} holds a {type(model).__name__}, but must hold a Regressor or a Classifier: a network "
            "together with its standardisation."
        )
    return model


def _assemble(weights: Path, recipe_path: Path, standardisation: Path) -> Model:
    """A model from the files of a run: a network made from its recipe, with the saved weights."""
    state_dict = models.read_described(weights)
    if not isinstance(state_dict, dict):
        raise RevivalError(f"{weights} holds a whole model, but must hold a state_dict.")
    try:
        recipe = Recipe.from_json(disk.read_text(recipe_path))
        values = json_value(disk.read_text(standardisation))
        (target,) = _names([values["target"]])
        optional = [name for name in (*OF_ENCODING, SCHEMA, MADE_OF) if name in values]
        fitted = {name: values[name] for name in (*recipe.fits, *optional)}
        front = Front(fitted, features=_names(values["features"]), target=target)
        if front.made_of is not None:
            return _own(front, state_dict)
        outputs = 1 if recipe.loss == "bce_with_logits" else front.outputs[0]
        has = sum(tensor.numel() for tensor in state_dict.values())
        if has != (wants := weights_in_mlp(front.inputs, recipe.hidden, outputs)):
            raise ValueError(f"there are {has} weights, but the recipe's network has {wants}.")
        network = unset(VARIANTS[recipe.network_name], front.inputs, recipe.hidden, outputs)
        network.load_state_dict(state_dict)
        return front.before(network).eval()
    except (Untrusted, OwnCodeError):
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, InvalidInput) as error:
        raise RevivalError(
            f"{weights} cannot be revived with {recipe_path.name} and {standardisation.name} beside it: "
            f"{str(error).splitlines()[0]}"
        ) from error
    except ReprovenError as error:
        raise RevivalError(
            f"{weights} holds weights alone, and what it needs is not beside it: {error} "
            "Give the run, or the file model.pth."
        ) from error


def _own(front: Front, state_dict: Mapping[str, torch.Tensor]) -> Model:
    fitted = front.before(torch.nn.Identity()).state_dict()
    weights = {f"network.{name}": tensor for name, tensor in state_dict.items()}
    return OwnModel(front, {**fitted, **weights}).model()


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("features must be a list of names, and the target a name.")
    return tuple(values)
