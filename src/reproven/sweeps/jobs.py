"""Jobs: what is trained next of a study, a value for each run, as it is handed to another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from reproven.logbooks import shelf
from reproven.recipes.recipe import Recipe
from reproven.store.address import without_credentials
from reproven.sweeps.proposals import Curve
from reproven.sweeps.results import Child
from reproven.sweeps.study import Point, Study

if TYPE_CHECKING:
    from reproven.training.completed import Completed  # with pandas, which a worker need not import first

#: Fills in what a recipe leaves open.
Complete = Callable[[Recipe], "Completed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracking:
    """What all runs of a sweep share beside their study: where they are tracked, and with which code.

    Attributes:
        tracking_uri: The store.
        experiment: The experiment's name.
        parent: The sweep's run.
        code: The sha256 of each of the user's own sources when the sweep began, by its path.
        figures: Whether to draw its figures.
        require_clean: Whether to refuse code that differs from its commit.
        histogram_every: As for `train`; likewise `checkpoint_every`.
    """

    tracking_uri: str
    experiment: str
    parent: str
    code: Mapping[str, str] = field(default_factory=dict)
    figures: bool = False
    require_clean: bool = False
    histogram_every: int | None = None
    checkpoint_every: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run that is to be trained.

    Attributes:
        recipe: Complete; its `data` is a bundled table's name, or a path.
        sha256: Digest of the recipe as the run will hold it.
        name: The run's name.
        point: What it is on the axes.
        study: What it belongs to.
        tracking: How it is tracked.
        earlier: What pruning compares it with.
    """

    recipe: Recipe
    sha256: str
    name: str
    point: Point
    study: Study
    tracking: Tracking
    earlier: tuple[Curve, ...] = ()

    @property
    def logbook_id(self) -> str:
        """The same for every attempt at the run, so that a later one finds what an earlier one left."""
        where = without_credentials(self.tracking.tracking_uri)
        sweep = self.study.sha256_with(self.tracking.code)
        return shelf.id_for(where, self.tracking.experiment, sweep, self.sha256)

    def child(
        self,
        state: str,
        *,
        run_id: str | None = None,
        metrics: Mapping[str, float] = MappingProxyType({}),
        why: str = "",
        was_there: bool = False,
        curve: tuple[float, ...] = (),
    ) -> Child:
        """The run and what came of it; the arguments are `Child`'s."""
        return Child(
            name=self.name,
            point=self.point,
            seed=self.recipe.seed,
            recipe_sha256=self.sha256,
            state=state,
            run_id=run_id,
            metrics=dict(metrics),
            why=why,
            was_there=was_there,
            curve=curve,
        )


def jobs_of(
    study: Study,
    points: Sequence[Point],
    *,
    complete: Complete,
    tracking: Tracking,
    curves: Mapping[int, Sequence[Curve]],
) -> list[Job]:
    """A job for each of some points with each seed of their study, seeds fastest.

    Args:
        study: What is swept.
        points: Some of its points.
        complete: Fills in what their recipes leave open.
        tracking: How their runs are tracked.
        curves: How earlier runs went, by their seeds.

    Raises:
        DataError, InvalidInput: As for `completed`.
    """
    earlier = {seed: tuple(some) for seed, some in curves.items()}

    def job(point: Point, seed: int) -> Job:
        found = complete(study.recipe(point, seed))
        return Job(
            recipe=found.handed_out,
            sha256=found.recipe.sha256,
            name=study.name(point, seed),
            point=point,
            study=study,
            tracking=tracking,
            earlier=earlier.get(seed, ()),
        )

    return [job(point, seed) for point in points for seed in study.seeds]
