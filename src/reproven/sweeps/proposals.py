"""Proposals: which points a sweep trains next, and which runs are not worth going on. Optuna decides both.

Points come in rounds. What a round proposes, and what it prunes, depends on the results of the rounds
before it and on the seed, and on nothing else: not on which process trained what, nor in which order. So
the same study proposes the same points on any number of processes, and again when it is continued.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from reproven.sweeps.axes import Axis, shorten
from reproven.sweeps.study import GRID, NO_PRUNING, RANDOM, Point, Study
from reproven.values.metrics import more_is_better


@dataclass(frozen=True, slots=True)
class Curve:
    """How one run went.

    Attributes:
        values: The metric after each epoch, (epochs,).
        pruned: Whether it was pruned after the last of them.
    """

    values: tuple[float, ...]
    pruned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What came of one point.

    Attributes:
        value: The mean of the metric over its seeds; None where a run of it failed or was pruned.
        pruned: Whether a run of it was pruned.
        last: The last value of the metric that its runs reached, as a mean; None where there is none.
    """

    value: float | None
    pruned: bool = False
    last: float | None = None


def optuna_problems(study: Study) -> list[str]:
    """What speaks against a study where Optuna is not installed, a message each."""
    if not study.in_rounds or importlib.util.find_spec("optuna"):
        return []
    what = f"search is {study.search}" if study.search != GRID else f"pruner is {study.pruner}"
    return [f"{what}, but Optuna is not there. Install it: pip install 'reproven[search]'."]


def rounds(study: Study) -> Iterator[tuple[list[Point], Callable[[Sequence[Score]], None]]]:
    """The points of a study, round by round.

    Args:
        study: What is swept.

    Yields:
        The points of a round, and a function that must be told what came of each before the next round.
    """
    if study.search != GRID:
        yield from _proposed(study)
        return
    points = study.grid()
    size = study.round_size if study.in_rounds else None
    while some := list(islice(points, size)):
        yield some, lambda scores: None


def _proposed(study: Study) -> Iterator[tuple[list[Point], Callable[[Sequence[Score]], None]]]:
    import optuna

    found = _optuna_study(study, sampler=_sampler(study))
    distributions = {axis.name: _distribution(axis) for axis in study.axes}
    states = optuna.trial.TrialState
    left = study.trials or 0
    while left:
        trials = [found.ask(distributions) for _ in range(min(study.round_size, left))]
        left -= len(trials)

        def tell(scores: Sequence[Score], trials: Sequence[Any] = trials) -> None:
            for trial, score in zip(trials, scores, strict=True):
                if score.value is not None:
                    found.tell(trial, score.value)
                elif score.pruned and score.last is not None:
                    trial.report(score.last, 0)
                    found.tell(trial, state=states.PRUNED)
                else:
                    found.tell(trial, state=states.FAIL)

        yield [_point(study, trial.params) for trial in trials], tell


def _optuna_study(study: Study, **how: Any) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction: Any = "maximize" if more_is_better(study.metric) else "minimize"
    return optuna.create_study(study_name=study.sha256, direction=direction, **how)


def _sampler(study: Study) -> Any:
    from optuna import samplers

    kind = samplers.RandomSampler if study.search == RANDOM else samplers.TPESampler
    return kind(seed=study.search_seed)


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.low is None or axis.high is None:
        return CategoricalDistribution(axis.values)
    if axis.is_whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _point(study: Study, params: Mapping[str, Any]) -> Point:
    """A proposal as texts."""
    return {
        axis.name: params[axis.name] if axis.low is None else shorten(params[axis.name], whole=axis.is_whole)
        for axis in study.axes
    }


def pruning(study: Study, earlier: Sequence[Curve]) -> Callable[[int, float], str | None]:
    """A function that says after an epoch whether a run is worth going on.

    Args:
        study: What is swept.
        earlier: The runs of earlier rounds with the same seed, but for those that failed, in the order of
            the points; each has completed an epoch.

    Returns:
        Given the epochs completed and the metric after them: why the run is pruned, or None.

    Source: https://optuna.readthedocs.io/en/stable/reference/pruners.html
    """
    found = _optuna_study(study, pruner=_pruner(study))
    for curve in earlier:
        _retrace(found, curve)
    trial = found.ask()

    def worth(epochs: int, value: float) -> str | None:
        trial.report(value, epochs)
        if not trial.should_prune():
            return None
        return (
            f"After epoch {epochs} its {study.metric} of {value:.6g} is worse than Optuna's {study.pruner} "
            f"pruner allows, by {len(earlier)} earlier runs with the same seed."
        )

    return worth


def _retrace(found: Any, curve: Curve) -> None:
    """Takes an earlier run through the pruner once more, which notes what it must know of it."""
    from optuna.trial import TrialState

    trial = found.ask()
    for epochs, value in enumerate(curve.values, start=1):
        trial.report(value, epochs)
        trial.should_prune()
    if curve.pruned:
        found.tell(trial, state=TrialState.PRUNED)
    else:
        found.tell(trial, curve.values[-1])


def _pruner(study: Study) -> Any:
    from optuna import pruners

    kinds: Mapping[str, Callable[[], Any]] = {
        NO_PRUNING: pruners.NopPruner,
        "median": pruners.MedianPruner,
        "percentile": lambda: pruners.PercentilePruner(25.0),
        "successive_halving": pruners.SuccessiveHalvingPruner,
        "hyperband": pruners.HyperbandPruner,
    }
    return kinds[study.pruner]()
