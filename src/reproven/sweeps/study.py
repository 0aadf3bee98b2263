"""The study: what a sweep sets out to train, as a value; its digest names the sweep.

Points (a value for each axis) and seeds become recipes here. Nothing is trained, no table is read, and
neither torch nor MLflow is imported.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from reproven.errors import InvalidInput, name_among
from reproven.own.named import name_of, plain_name
from reproven.recipes import typed
from reproven.recipes.choices import MAX_SEED
from reproven.recipes.options import Option, problems_in_python, read_checked, spell
from reproven.recipes.recipe import Recipe
from reproven.recipes.settings import OPTIONS
from reproven.sweeps.axes import MAX_VALUES, Axis, axis_text, read_axes, read_seeds, spelled_number
from reproven.values.metrics import ERRORS, PARTS, choosing_metric, is_of_task, is_of_validation
from reproven.values.programs import files_sha256

FORMAT = 1
GRID, RANDOM, TPE = "grid", "random", "tpe"
SEARCHES = (GRID, RANDOM, TPE)
NO_PRUNING = "none"
PRUNERS = (NO_PRUNING, "median", "percentile", "successive_halving", "hyperband")

#: A value for each axis, by the axis's name, as one would type it.
Point = Mapping[str, str]

_OWN_METRIC = re.compile(rf"({'|'.join(PARTS)})_[^\W\d]\w*")
_MOST_TOLD = 10  # points that no recipe can be made of


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """What a sweep trains.

    Attributes:
        base: The recipe's fields that all runs share, as typed; those left out take their defaults. Other
            values than texts are kept as one would type them.
        axes: The fields that vary; texts such as `lr=1e-3,1e-2`, or a mapping of fields to values, become
            axes.
        seeds: Each point is trained once with each.
        search: `grid` takes every point; `random` and `tpe` propose some.
        trials: How many points a search proposes; None for a grid.
        search_seed: Seed of what a search proposes.
        round_size: Points that are proposed together, from the results of all rounds before. So a search
            does not depend on how many processes train.
        metric: By which runs are searched, pruned and ranked; an empty one becomes validation_rmse where
            every run holds out rows for validation, else test_rmse.
        pruner: Stops runs that are worse than those of earlier rounds.

    Raises:
        InvalidInput: Parts are of a wrong type or contradict each other, or a point makes no recipe; it
            lists all problems.
    """

    base: Mapping[str, str]
    axes: tuple[Axis, ...] = ()
    seeds: tuple[int, ...] = (12,)
    search: str = GRID
    trials: int | None = None
    search_seed: int = 12
    round_size: int = 4
    metric: str = ""
    pruner: str = NO_PRUNING

    def __post_init__(self) -> None:
        kept, problems = _kept(self)
        if problems:
            raise InvalidInput(problems)
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        if problems := [*_contradictions(self)] or [*_impossible_points(self)]:
            raise InvalidInput(problems)

    def of_task(self, task: str) -> Study:
        """The same for runs that predict this: where nothing else was named, by the log loss of classes.

        Raises:
            InvalidInput: Such runs do not have its metric.
        """
        if is_of_task(self.metric, task) or self.metric not in ERRORS:
            return self
        part, _, _ = self.metric.partition("_")
        if self.metric == choosing_metric(part):
            return replace(self, metric=choosing_metric(part, task))
        good = choosing_metric(part, task)
        raise InvalidInput([f"metric is {self.metric}, but the task is {task}. Try --metric {good}."])

    @property
    def in_rounds(self) -> bool:
        """Whether points are trained round by round, since later ones depend on earlier ones."""
        return self.search != GRID or self.pruner != NO_PRUNING

    @property
    def total(self) -> int:
        """Runs in all."""
        points = self.trials or math.prod(len(axis.values) for axis in self.axes)
        return points * len(self.seeds)

    def grid(self) -> Iterator[Point]:
        """Every point, the last axis fastest."""
        for values in itertools.product(*(axis.values for axis in self.axes)):
            yield dict(zip((axis.name for axis in self.axes), values, strict=True))

    def corners(self) -> Iterator[Point]:
        """Every point of the grid; of a continuous axis, its ends stand for all."""
        ends = (axis.values or _ends(axis) for axis in self.axes)
        for values in itertools.islice(itertools.product(*ends), MAX_VALUES):
            yield dict(zip((axis.name for axis in self.axes), values, strict=True))

    def recipe(self, point: Point, seed: int) -> Recipe:
        """What is trained at a point with a seed.

        Raises:
            InvalidInput: The point makes no recipe.
        """
        return Recipe.parse({**self.base, **point, "seed": str(seed)})

    def name(self, point: Point, seed: int) -> str:
        """A run's name: what it is in the sweep."""
        return " ".join([*(f"{name}={value}" for name, value in point.items()), f"seed={seed}"])[:250]

    def to_json(self) -> str:
        """The canonical text: sorted keys, a format number."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        """Digest of the canonical text: 64 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def sha256_with(self, code: Mapping[str, str]) -> str:
        """Digest of a sweep: of the study and of the user's own code, since other code makes other runs.

        Args:
            code: The sha256 of each source, by its path; without one, the study's digest is the sweep's.
        """
        text = f"{self.sha256} {files_sha256(code)}"
        return hashlib.sha256(text.encode()).hexdigest() if code else self.sha256


def _kept(study: Study) -> tuple[dict[str, Any], list[str]]:
    """The parts of a study as they are kept, one type each, and a message for each that has another."""
    given = {n: getattr(study, n) for n in STUDY_OPTIONS} | {"metric": study.metric or None}
    problems = problems_in_python(STUDY_OPTIONS, given)
    kept: dict[str, Any] = {}
    if not isinstance(study.base, Mapping):
        problems.append(_wrong_type("base", study.base, "options of a run with their values", {"epochs": 60}))
    else:
        unknown = [name for name in study.base if name not in OPTIONS]
        problems += [
            f"base names {name!r}, but no option of a run is called so. {name_among(str(name), OPTIONS)}"
            for name in unknown
        ]
        kept["base"] = {name: spell(_named(value)) for name, value in study.base.items()}
    some: Any = study.axes
    if isinstance(some, Mapping):
        some = [f"{name}={axis_text(values)}" for name, values in some.items()]
    some = [some] if isinstance(some, str | Axis) else some
    if not isinstance(some, tuple | list) or not all(isinstance(one, str | Axis) for one in some):
        problems.append(_wrong_type("axes", study.axes, "axes, or texts as NAME=VALUES", ("lr=0.1,0.01",)))
    else:
        read = [((one,), []) if isinstance(one, Axis) else read_axes([one]) for one in some]
        problems += [problem for _, wrong in read for problem in wrong]
        kept["axes"] = tuple(axis for axes, _ in read for axis in axes)
    if not problems:
        kept["seeds"] = STUDY_OPTIONS["seeds"].cast(study.seeds)
        part = "validation" if _validates(kept["base"], kept["axes"]) else "test"
        kept["metric"] = study.metric or choosing_metric(part)
    return kept, problems


def _named(value: Any) -> Any:
    """A value of a recipe, classes and functions by their names."""
    return [name_of(one) for one in value] if isinstance(value, list) else name_of(value)


def _validates(base: Mapping[str, str], axes: Sequence[Axis]) -> bool:
    """Whether every run holds out rows for validation."""
    name = "validation_size"
    texts = {axis.name: axis.values or _ends(axis) for axis in axes}.get(name, (base.get(name, "0"),))
    sizes = (read_checked(OPTIONS, {name: text})[0].get(name) for text in texts)
    return all(sizes)


def _wrong_type(name: str, value: object, must: str, good: object) -> str:
    kind = type(good).__name__
    return f"{name} is {value!r:.60}, but must be {must}. In Python its type is {kind}. Try {name}={good!r}."


def _contradictions(study: Study) -> Iterator[str]:
    for name, times in Counter(axis.name for axis in study.axes).items():
        if times > 1:
            yield f"axis names {name} {times} times. Give it once, with all its values."
    for axis in study.axes:
        if axis.name in study.base:
            yield f"{axis.name} is given, and is an axis too. Leave one of them out."
        if axis.is_continuous and study.search == GRID:
            counted = f"{axis.low:g}..{axis.high:g}{':log' * axis.log}:7"
            yield (
                f"axis {axis.name} is a range without a count, of which a grid cannot take every value. "
                f"Give a count ({counted}), or --search tpe --trials 20."
            )
    if study.search == GRID and study.trials is not None:
        yield "trials is given, but a grid takes every point. Leave it out, or use --search random."
    if study.search != GRID and study.trials is None:
        yield f"search is {study.search}, but trials is not given. Say how many points: --trials 20."
    if study.search != GRID and not study.axes:
        yield f"search is {study.search}, but there is no axis to search. Give one: --axis lr=1e-4..1e-1:log."
    if study.total > MAX_VALUES:
        yield f"The sweep has {study.total} runs, but must have at most {MAX_VALUES}. Give fewer values."
    if study.metric not in ERRORS and study.metric not in (own := _own_metrics(study.base)):
        yield f"metric is {study.metric!r}, which no run has. {name_among(study.metric, (*ERRORS, *own))}"
    if study.metric.startswith("test_") and study.base.get("test_size") in ("0", "0.0"):
        yield f"metric is {study.metric}, but no row is held out. Try --metric train_rmse."
    if is_of_validation(study.metric) and not _validates(study.base, study.axes):
        yield (
            f"metric is {study.metric}, but not every run holds out rows for validation. "
            "Try --validation-size 0.2."
        )


def _own_metrics(base: Mapping[str, str]) -> list[str]:
    """The metrics of the user's own that every run has."""
    found = read_checked(OPTIONS, {"metrics": base["metrics"]})[0] if "metrics" in base else {}
    return [f"{part}_{plain_name(name)}" for name in found.get("metrics", ()) for part in PARTS]


def _impossible_points(study: Study) -> Iterator[str]:
    """The points that make no recipe, each with the reason."""
    told: dict[str, Point] = {}
    for point in study.corners():
        try:
            study.recipe(point, study.seeds[0])
        except InvalidInput as error:
            for problem in error.problems:
                told.setdefault(problem, point)
        if len(told) == _MOST_TOLD:
            break
    for problem, point in told.items():
        where = ", ".join(f"{name} {value}" for name, value in point.items())
        yield f"{problem} (at the point {where})" if where else problem


def _ends(axis: Axis) -> tuple[str, ...]:
    return tuple(spelled_number(end, whole=axis.is_whole) for end in (axis.low, axis.high) if end is not None)


def _are_seeds(seeds: Any) -> bool:
    is_list = isinstance(seeds, tuple | list | range) and 0 < len(set(seeds)) == len(seeds)
    return is_list and all(typed.is_whole(seed) and 0 <= seed <= MAX_SEED for seed in seeds)


STUDY_OPTIONS = {
    "seeds": Option(
        help="Each point is trained with each of these seeds; --seed where not given.",
        read=read_seeds,
        holds=_are_seeds,
        must=f"whole numbers from 0 to {MAX_SEED}, each once, such as 0..9 or 1,2,5",
        example="0..9",
        cast=lambda seeds: tuple(map(int, seeds)),
        metavar="SEED,…|SEED..SEED",
    ),
    "metric": replace(
        typed.choice(
            "By which runs are searched, pruned and ranked, or PART_NAME of your own.  [default: rmse, or "
            "log_loss of classes, of validation rows if every run has some, else of test rows]",
            ERRORS,
        ),
        holds=lambda value: value in ERRORS or _OWN_METRIC.fullmatch(value) is not None,
    ),
    "search": typed.choice("Every point of the grid, or those that a search proposes.", SEARCHES),
    "trials": typed.whole("Points that a search proposes.", "20", low=1, high=MAX_VALUES),
    "search_seed": typed.whole(
        "Seed of what a search proposes.", "12", low=0, high=2**32 - 1, metavar="SEED"
    ),
    "round_size": typed.whole(
        "Points proposed together, from all earlier results, however many processes train.",
        "4",
        low=1,
        high=MAX_VALUES,
    ),
    "pruner": typed.choice("Stop runs that are worse than those of earlier rounds.", PRUNERS),
}
