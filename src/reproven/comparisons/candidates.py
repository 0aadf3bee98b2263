"""Candidates: the runs that are to be compared, found in a store, and what is read of their files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reproven.comparisons.groups import Candidate
from reproven.comparisons.params import canonical
from reproven.errors import InvalidInput
from reproven.proof.evidence import Evidence
from reproven.store import children
from reproven.store.open_run import asking
from reproven.store.store import Store
from reproven.store.summary import Summary, summary
from reproven.store.tags import PREFIX, PRUNED, RECIPE_TAG, REPLAY_OF, code_words
from reproven.values.run_ids import run_id_in


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found.

    Attributes:
        candidates: The runs, each once.
        parent: The one run whose children they are; None where they were named otherwise.
    """

    candidates: tuple[Candidate, ...]
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
            run = store.client.get_run(run_id)
        under = [] if RECIPE_TAG in run.data.tags else children.children(store, run_id)
        if under:
            parents.append(run_id)
        found |= {one.run_id: one for one in under or [summary(run)]}
    if experiment is not None:
        found |= {one.run_id: one for one in store.training_runs(experiment)}
    is_one_parent = len(parents) == 1 and len(sources) == 1 and experiment is None
    return Found(
        candidates=tuple(map(_candidate, found.values())), parent=parents[0] if is_one_parent else None
    )


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


def _candidate(run: Summary) -> Candidate:
    table = run.tags.get(f"{PREFIX}data.sha256", "")
    return Candidate(
        run_id=run.run_id,
        name=run.name,
        status=run.status,
        params=canonical({**run.params, "data_sha256": table}),
        metrics=run.metrics,
        recipe=run.tags.get(RECIPE_TAG),
        split=run.tags.get(f"{PREFIX}split.sha256", ""),
        table=table,
        commit=code_words(run.tags),
        replay_of=run.tags.get(REPLAY_OF),
        is_pruned=PRUNED in run.tags,
    )


@contextmanager
def opened(store: Store, run_id: str, names: Sequence[str]) -> Iterator[Evidence]:
    """A run's files, for the length of the block: where they lie if that is here, else a copy of those named.

    Raises:
        StoreError: They cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="reproven-") as folder:
        yield Evidence(run_id, store.files(run_id, Path(folder), names), None)
