"""Candidates: the runs that are to be compared, found in a store, and what is read of their files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reproven.comparisons.params import canonical
from reproven.errors import InvalidInput
from reproven.proof.evidence import Evidence
from reproven.store import children
from reproven.store.open_run import asking
from reproven.store.store import Store
from reproven.store.summary import Summary, summary
from reproven.values.run_ids import run_id_in


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found.

    Attributes:
        runs: The runs, each once, their params in their one spelling as `params.canonical` makes it.
        parent: The one run whose children they are; None where they were named otherwise.
    """

    runs: tuple[Summary, ...]
    parent: str | None


def find(store: Store, sources: Sequence[str], experiment: str | None) -> Found:
    """The runs that are meant.

    Args:
        store: Where they are.
        sources: Run ids, or `runs:/…`; a run that trained nothing itself stands for its children.
        experiment: Also all training runs of this experiment.

    Raises:
        InvalidInput: A source is no run id.
        StoreError: There is no such run or experiment.
    """
    found: dict[str, Summary] = {}
    parents = []
    for run_id in _ids(sources):
        with asking(f"find the run {run_id}", store.uri):
            run = summary(store.client.get_run(run_id))
        under = children.children(store, run_id) if run.recipe_sha256 is None else []
        if under:
            parents.append(run_id)
        found |= {one.run_id: one for one in under or [run]}
    if experiment is not None:
        found |= {one.run_id: one for one in store.training_runs(experiment)}
    is_one_parent = len(parents) == 1 and len(sources) == 1 and experiment is None
    runs = tuple(map(_in_one_spelling, found.values()))
    return Found(runs=runs, parent=parents[0] if is_one_parent else None)


def _ids(sources: Sequence[str]) -> list[str]:
    found: list[str] = []
    problems: list[str] = []
    for source in sources:
        try:
            found.append(run_id_in(source, or_else=""))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(problems)
    return list(dict.fromkeys(found))


def _in_one_spelling(run: Summary) -> Summary:
    """The run, its params as a recipe reads them, the digest of its table among them."""
    return replace(run, params=canonical({**run.params, "data_sha256": run.table_sha256}))


@contextmanager
def files_of(store: Store, run_id: str, names: Sequence[str]) -> Iterator[Evidence]:
    """A run's files, for the length of the block: where they lie if that is here, else a copy of those named.

    Raises:
        StoreError: They cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="reproven-") as folder:
        yield Evidence(run_id, store.files(run_id, Path(folder), names), None)
