"""What became of a sweep, as values: its runs, how far it is, and what its own page in a store shows.

Nothing here trains, and nothing asks a store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reproven.files.texts import csv_text
from reproven.sweeps.axes import Axis
from reproven.sweeps.study import GRID, Point, Study
from reproven.values.metrics import estimate, more_is_better

if TYPE_CHECKING:
    from reproven.comparisons.compare import Compared

#: How a run of a sweep ended: by its recipe, by its own loss, by the pruner; it could not be trained, or the
#: process was told to stop.
FINISHED, FAILED, PRUNED, REFUSED, STOPPED = "FINISHED", "FAILED", "PRUNED", "REFUSED", "STOPPED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """One run of a sweep, and what came of it. It is made where the run ends, and copied nowhere.

    Three values tell of a run, and differ in kind. A `Trained` is what `train` and `resume` return: of any
    run, but only once it was trained, with what they alone know, such as its model's address. A `Summary` is
    what a store says of any run, in the store's words. A `Child` is a place in a study: it is there even
    where no run could be made, knows its point and its seed, and is what a sweep counts, ranks and prunes by.

    Attributes:
        name: What it is in the sweep.
        point: Its values on the axes.
        seed: Its seed.
        recipe_sha256: Digest of its recipe.
        state: FINISHED; FAILED, by its own loss; PRUNED; REFUSED, before or while it was trained; or STOPPED,
            when the process was told to, as no run of a `Swept` is.
        run_id: The run; None where there is none.
        metrics: The last value of each.
        why: Why it did not finish.
        was_there: Whether an earlier sweep had trained it.
        curve: The metric of the study after each epoch, (epochs,), where there is pruning.
    """

    name: str
    point: Point
    seed: int
    recipe_sha256: str
    state: str
    run_id: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    why: str = ""
    was_there: bool = False
    curve: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """What became of a sweep.

    Attributes:
        run_id: The run that all others are below.
        experiment_id: The experiment that they are in.
        tracking_uri: The store.
        artifact_uri: Where its table is.
        study_sha256: The study's digest.
        metric: By which the best run is the best.
        best: The name of the finished run with the best metric; None where there is none.
        seconds: How long it took.
        runs: Every run, in the order of points and seeds.
        remarks: What may not be as it was meant about their tables, in sentences.
        compared: What the groups of its runs came to beside one another; None where none finished.
    """

    run_id: str
    experiment_id: str
    tracking_uri: str
    artifact_uri: str
    study_sha256: str
    metric: str
    best: str | None
    seconds: float
    runs: tuple[Child, ...] = field(repr=False)
    remarks: tuple[str, ...] = ()
    compared: Compared | None = field(default=None, repr=False, compare=False)

    def count(self, *states: str) -> int:
        """How many runs ended in one of these states."""
        return sum(run.state in states for run in self.runs)

    @property
    def best_run(self) -> Child | None:
        """The finished run with the best metric."""
        return best_of(self.runs, self.metric)

    @property
    def has_findings(self) -> bool:
        """Whether a run failed, or could not be trained."""
        return self.count(FAILED, REFUSED) > 0

    def to_dict(self) -> dict[str, Any]:
        """The sweep as JSON values, without the curves of its runs, which are metrics in the store."""
        runs = [asdict(run) for run in self.runs]
        for run in runs:
            del run["curve"]
        found = asdict(replace(self, runs=(), compared=None)) | {"runs": runs, "remarks": list(self.remarks)}
        del found["compared"]
        return found

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from reproven.pages.cards import BAD, GOOD, card

        counts = {word: self.count(word) for word in (FINISHED, FAILED, PRUNED, REFUSED)}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        best = self.best_run
        facts = {f"best {self.metric}": f"{best.metrics[self.metric]:.6g} ({best.name})"} if best else {}
        failed = [
            f"{run.name}: {run.state}. {run.why}" for run in self.runs if run.state in (FAILED, REFUSED)
        ]
        return card(
            f"sweep {self.run_id}",
            told,
            meaning=BAD if self.has_findings else GOOD,
            lines=[*failed, *self.remarks],
            facts={**facts, "seconds": f"{self.seconds:.1f}", "artifacts": self.artifact_uri},
            table=self.compared.table if self.compared else (),
            picture=self.compared.svg if self.compared else None,
            then=f"reproven.compare([{self.run_id!r}])",
        )


@dataclass(kw_only=True)
class Progress:
    """How far a sweep is. It grows with each run that ends.

    Attributes:
        total: Runs in all.
        metric: By which the best is the best.
        runs: Those that ended.
        started: When the sweep began, by `time.monotonic`.
    """

    total: int
    metric: str
    runs: list[Child] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def best(self) -> Child | None:
        """The finished run with the best metric so far."""
        return best_of(self.runs, self.metric)

    @property
    def note(self) -> str:
        """What there is to say besides how many runs have ended."""
        failed = sum(run.state in (FAILED, REFUSED) for run in self.runs)
        pruned = sum(run.state == PRUNED for run in self.runs)
        parts = [f"{failed} failed"] if failed else []
        parts += [f"{pruned} pruned"] if pruned else []
        if self.best is not None:
            parts += [f"best {self.metric} {self.best.metrics[self.metric]:.6g} ({self.best.name})"]
        return ", ".join(parts)


def best_of(runs: Sequence[Child], metric: str) -> Child | None:
    """The finished run with the best value of a metric; the first of equals."""
    measured = [run for run in runs if run.state == FINISHED and metric in run.metrics]
    choose = max if more_is_better(metric) else min
    return choose(measured, key=lambda run: run.metrics[metric], default=None)


def params(study: Study) -> dict[str, Any]:
    """A sweep's params; their names are not those of a run's, so that charts do not mix both."""
    low, high = min(study.seeds), max(study.seeds)
    is_range = list(study.seeds) == list(range(low, high + 1)) and low < high
    searched = {} if study.search == GRID else {"trials": study.trials, "search_seed": study.search_seed}
    return {
        "sweep.seeds": f"{low}..{high}" if is_range else list(study.seeds),
        "sweep.search": study.search,
        "sweep.metric": study.metric,
        "sweep.pruner": study.pruner,
        **{f"sweep.{name}": value for name, value in searched.items()},
        **({"sweep.round_size": study.round_size} if study.in_rounds else {}),
        **{f"sweep.axis.{axis.name}": ";".join(axis.values) or _range(axis) for axis in study.axes},
        **{f"sweep.base.{name}": value for name, value in study.base.items()},
    }


def _range(axis: Axis) -> str:
    return f"{axis.low}..{axis.high}{':log' * axis.log}"


def table_text(study: Study, runs: Sequence[Child]) -> str:
    """The table of all runs as CSV: a row each."""
    axes, metrics = [axis.name for axis in study.axes], sorted({name for run in runs for name in run.metrics})
    header = ("run_id", "state", *axes, "seed", "recipe_sha256", *metrics, "why")
    rows = (
        (
            run.run_id or "",
            run.state,
            *(run.point[name] for name in axes),
            run.seed,
            run.recipe_sha256,
            *(repr(run.metrics[name]) if name in run.metrics else "" for name in metrics),
            run.why,
        )
        for run in runs
    )
    return csv_text(header, rows)


def metrics(swept: Swept) -> dict[str, float]:
    """A sweep's metrics: how many of its runs ended how, and the best value where there is one."""
    best = swept.best_run
    return {
        "runs_finished": swept.count(FINISHED),
        "runs_failed": swept.count(FAILED, REFUSED),
        "runs_pruned": swept.count(PRUNED),
        **({f"best_{swept.metric}": best.metrics[swept.metric]} if best else {}),
    }


def description(study: Study, swept: Swept) -> str:
    """The text of the sweep's page, in Markdown."""
    lines = [
        f"**{len(swept.runs)} runs**: {swept.count(FINISHED)} finished, "
        f"{swept.count(PRUNED)} pruned, {swept.count(FAILED, REFUSED)} failed.",
        f"Search: {study.search}. Study `{study.sha256}`.",
    ]
    if (best := swept.best_run) is not None:
        lines.append(
            f"Best {swept.metric}: **{best.metrics[swept.metric]:.6g}** ({best.name}, `{best.run_id}`)."
        )
        lines += filter(None, [estimate(swept.metric, best.metrics)])
    lines += [f"- {run.name}: {run.state}. {run.why}" for run in swept.runs if run.state == REFUSED]
    lines.append(f"```\nreproven compare {swept.run_id}\n```")
    return "\n\n".join(lines)[:8000]
