"""Damage and forgery for the tests: what an accident, an editor or a liar would do to a run."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from reproven import Recipe
from reproven.files import manifest
from reproven.files.texts import json_text
from reproven.training.prepared import Prepared
from reproven.values.snapshot import Snapshot
from reproven.values.steps import Step


def copy(bundle: Path, to: Path) -> Path:
    """A bundle of its own, to be damaged."""
    return Path(shutil.copytree(bundle, to))


def flip(path: Path, bit: int) -> None:
    """Flips one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a JSON file."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json_text(value))


def reseal(bundle: Path) -> None:
    """Writes a manifest that fits, as one who hides a change would."""
    manifest.write(bundle, manifest.take(bundle))


def forge_recipe(bundle: Path, **changed: Any) -> None:
    """Has the whole record say another recipe: recipe, digests, params, tags, manifest."""
    path = bundle / "recipe.json"
    recipe = replace(Recipe.from_json(path.read_text()), **changed)
    path.write_text(recipe.to_json())
    edit(bundle / "inputs.json", lambda value: value.update(recipe_sha256=recipe.sha256))
    snapshot = Snapshot.read((bundle / "run.json").read_text())
    params = {k: v for k, v in snapshot.params.items() if getattr(recipe, k) is not None}
    spelled = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in changed.items()}
    snapshot = replace(
        snapshot,
        params=params | {k: v for k, v in spelled.items() if v != "None"},
        tags={**snapshot.tags, "reproven.recipe.sha256": recipe.sha256},
    )
    (bundle / "run.json").write_text(snapshot.text())
    reseal(bundle)


class Stopped(BaseException):
    """What ends a training in a test, as nothing in the package would."""


def stop_before(step: int, error: type[BaseException] = Stopped) -> Any:
    """A `watch` that raises an error before a step is recorded."""

    def watch(steps: Iterable[Step], total: int) -> Iterator[Step]:
        for found in steps:
            if found.step == step:
                raise error
            yield found

    return watch


def nudged(step: int, name: str, index: tuple[int, ...]) -> Callable[[Prepared], Any]:
    """`Prepared.steps` with one weight moved by 1 ulp after a step."""
    steps = Prepared.steps

    def moved(made: Prepared, judged: Sequence[float] = ()) -> Any:
        found: Step
        for found in steps(made, judged):
            if found.step == step:
                with torch.no_grad():
                    weight = made.state.network.get_parameter(name)
                    weight[index] = torch.nextafter(weight[index], torch.tensor(9.0))
            yield found

    return moved


def sql(uri: str, statement: str, *values: Any) -> None:
    """Changes a SQLite store behind MLflow's back."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        assert connection.execute(statement, values).rowcount == 1, statement
    connection.close()
