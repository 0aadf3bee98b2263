"""Tally: what the rounds of a sweep have brought so far, and what the next ones must know of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reproven.sweeps.jobs import Job
from reproven.sweeps.proposals import Curve, Score
from reproven.sweeps.results import FINISHED, PRUNED, Child
from reproven.sweeps.study import Study


@dataclass(kw_only=True)
class Tally:
    """What the rounds of a sweep have brought: it only grows, by whole rounds.

    Attributes:
        study: What is swept.
        runs: What became of each recipe, by its digest, in the order in which recipes came up. A search may
            propose one again, which is then not trained again.
        curves: How runs went that did not fail, by their seeds, where there is pruning.
        scores: What came of each point, in the order of the proposals.
    """

    study: Study
    runs: dict[str, Child] = field(default_factory=dict)
    curves: dict[int, list[Curve]] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)

    def new(self, jobs: Sequence[Job]) -> list[Job]:
        """Those whose recipes did not come up before, each once."""
        return list({job.sha256: job for job in jobs if job.sha256 not in self.runs}.values())

    def add(self, jobs: Sequence[Job], ended: Mapping[str, Child]) -> list[Score]:
        """Takes a round in, and returns what came of each of its points.

        Args:
            jobs: All jobs of the round's points, seeds fastest.
            ended: What became of those that are new, by the digests of their recipes.
        """
        for job in jobs:
            if job.sha256 not in self.runs:
                self.runs[job.sha256] = ended[job.sha256]
        some = [self.runs[job.sha256] for job in jobs]
        for child in some:
            if child.state in (FINISHED, PRUNED) and child.curve:
                self.curves.setdefault(child.seed, []).append(Curve(child.curve, child.state == PRUNED))
        scores = list(_scores(self.study, some))
        self.scores += scores
        return scores


def _scores(study: Study, runs: Sequence[Child]) -> Iterator[Score]:
    """What came of each point, from what became of its runs, seeds fastest."""
    count = len(study.seeds)
    for first in range(0, len(runs), count):
        some = runs[first : first + count]
        values = [run.metrics[study.metric] for run in some if study.metric in run.metrics]
        mean = statistics.fmean(values) if values else None
        is_whole = all(run.state == FINISHED for run in some) and len(values) == count
        pruned = any(run.state == PRUNED for run in some)
        yield Score(value=mean if is_whole else None, pruned=pruned, last=mean)
