"""Axes: the fields of a recipe that a sweep varies, and the values that each takes.

An axis is written `NAME=VALUES`: values with commas between them (or with `;`, which is needed where a
value itself has commas), or a range such as `1..5`, `0.1..0.9:9`, `1e-4..1e-1:log:7`. A range without a
count is continuous, or every whole number where the field takes these. Values stay texts here: the recipe
reads them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reproven.errors import InvalidInput, name_among
from reproven.recipes.options import Option, read_checked, spell
from reproven.recipes.settings import OPTIONS

_RANGE = re.compile(
    r"(?P<low>[^.:]*(?:\.[^.:]+)?)\.\.(?P<high>[^:]+?)(?P<log>:log)?(?::(?P<count>[0-9]{1,6}))?"
)
_DIGITS = 6  # significant ones of a value within a range, so that it is short enough to be typed
MAX_VALUES = 100_000  # of an axis, and runs of a grid
_CROSS_VALIDATION = re.compile(r"(?:(?P<repeats>[1-9]\d{0,4})x)?(?P<folds>[2-9]|[1-9]\d{1,4})")
#: Cross-validation: each seed's rows in so many folds, or that with so many seeds.
CV = Option(
    help="Cross-validation: 10 for ten folds of each seed's rows, 5x10 for that with the seeds 0 to 4.",
    read=lambda text: text.strip().replace("×", "x"),
    holds=lambda value: isinstance(value, str) and _CROSS_VALIDATION.fullmatch(value) is not None,
    must="how many folds, two at least, or repetitions and folds, as in 5x10",
    example="5x10",
    metavar="FOLDS",
)
_OWN = {
    "seed": "Give the seeds as --seeds 0..9.",
    **dict.fromkeys(("data_sha256", "sep", "decimal"), "It belongs to one table."),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A field and what it takes.

    Attributes:
        name: A field of the recipe.
        values: As one would type them; none where the axis is continuous.
        low: The least value of a range without a count; None where the values are listed.
        high: The greatest one.
        log: Whether the range is logarithmic.

    Raises:
        InvalidInput: No option of a run is called so, or the values are no tuple.
    """

    name: str
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        problem = _wrong_name(self.name, f"{self.name}=", [])
        if problem is None and not isinstance(self.values, tuple | list):
            problem = (
                f"values of the axis {self.name} is {_quoted(self.values)}, but must be one or more values. "
                "In Python its type is tuple. Try values=('0.1', '0.01')."
            )
        if problem is not None:
            raise InvalidInput([problem])
        object.__setattr__(self, "values", tuple(map(spell, self.values)))

    @property
    def is_continuous(self) -> bool:
        """Whether it has no list of values, so that only a search can take some of it."""
        return not self.values

    @property
    def is_whole(self) -> bool:
        """Whether its field takes whole numbers."""
        return OPTIONS[self.name].number is int


def cross_validation(text: str) -> tuple[Axis, tuple[int, ...]]:
    """The axis of folds that `CV` says, and the seeds; none where it says no repetitions."""
    found = _CROSS_VALIDATION.fullmatch(text)
    repeats, folds = (int(found[name] or 0) if found else 0 for name in ("repeats", "folds"))
    values = tuple(f"{number}/{folds}" for number in range(1, folds + 1))
    return Axis(name="fold", values=values), tuple(range(repeats))


def read_axes(texts: Sequence[str]) -> tuple[tuple[Axis, ...], list[str]]:
    """Reads axes, and tells every problem with them.

    Args:
        texts: Each as `NAME=VALUES`.

    Returns:
        Those that could be read, and a message for each problem.
    """
    axes: list[Axis] = []
    problems: list[str] = []
    for text in texts:
        name, _, values = (part.strip() for part in text.partition("="))
        name = name.replace("-", "_")
        if told := _wrong_name(name, text, [axis.name for axis in axes]):
            problems.append(told)
            continue
        found = _read(name, values)
        if isinstance(found, Axis):
            axes.append(found)
        else:
            problems += found
    return tuple(axes), problems


def _wrong_name(name: str, text: str, taken: Sequence[str]) -> str | None:
    if "=" not in text or not name:
        return f"axis is {_quoted(text)}, but must be NAME=VALUES. Try --axis optimizer=sgd,adam."
    if name in _OWN:
        return f"axis names {name}, which is no axis. {_OWN[name]}"
    if name not in OPTIONS:
        names = [field for field in OPTIONS if field not in _OWN]
        return f"axis names {_quoted(name)}, but no option of a run is called so. {name_among(name, names)}"
    if name in taken:
        return f"axis names {name} twice. Give it once, with all its values."
    return None


def _read(name: str, text: str) -> Axis | list[str]:
    """One axis, or what is wrong with it."""
    option = OPTIONS[name]
    found = _RANGE.fullmatch(text) if option.number else None
    if found is None:
        return _listed(name, option, text)
    try:
        low, high = (option.number(found[end]) for end in ("low", "high"))  # type: ignore[misc]
    except (ValueError, OverflowError):
        return [_bad_range(name, text, "its ends are no such numbers")]
    log, count = found["log"] is not None, int(found["count"]) if found["count"] else None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return [_bad_range(name, text, "its first end must be less than its second")]
    if log and low <= 0:
        return [_bad_range(name, text, "a logarithmic one must begin above 0")]
    wrong = [end for end in (low, high) if not option.accepts(end)]
    if wrong:
        return [_bad_range(name, text, f"{name} must be {option.must}")]
    if count is None:
        is_listed = option.number is int and not log and high - low < MAX_VALUES
        values = tuple(map(str, range(int(low), int(high) + 1))) if is_listed else ()
        return Axis(name=name, values=values, low=low, high=high, log=log)
    if not 2 <= count <= MAX_VALUES:
        return [_bad_range(name, text, f"it has {count} values, but must have 2 to {MAX_VALUES}")]
    return Axis(name=name, values=_spread(low, high, count, log=log, whole=option.number is int))


def _bad_range(name: str, text: str, why: str) -> str:
    return f"axis {name} is the range {_quoted(text)}, but {why}. Try --axis lr=1e-4..1e-1:log:7."


def _listed(name: str, option: Option, text: str) -> Axis | list[str]:
    """An axis of values that are listed; each must be one that the field takes."""
    between = ";" if ";" in text or option.has_commas else ","
    values: dict[Any, str] = {}  # one spelling of each
    problems = []
    for value in (part.strip() for part in text.split(between)):
        read, wrong = read_checked({name: option}, {name: value})
        if wrong or not value:
            problems.append(f"axis {name} has the value {_quoted(value)}, but must be {option.must}.")
        else:
            values.setdefault(option.cast(read[name]), value)
    return problems or Axis(name=name, values=tuple(values.values()))


def _spread(low: float, high: float, count: int, *, log: bool, whole: bool) -> tuple[str, ...]:
    """Values at equal distances (of their logarithms), both ends among them, as texts."""
    found = []
    for number in range(count):
        part = number / (count - 1)
        value = low * (high / low) ** part if log else low + (high - low) * part
        ends = {0: low, count - 1: high}
        found.append(
            spelled_number(ends[number], whole=whole) if number in ends else shorten(value, whole=whole)
        )
    return tuple(dict.fromkeys(found))


def spelled_number(value: float, *, whole: bool) -> str:
    """A number as one would type it."""
    return str(round(value)) if whole else repr(float(value))


def shorten(value: float, *, whole: bool) -> str:
    """A number with few digits, as one would type it."""
    return spelled_number(float(f"{value:.{_DIGITS}g}"), whole=whole)


def _quoted(given: object) -> str:
    """What was given, as an error repeats it."""
    return repr(f"{given[:60]}…" if isinstance(given, str) and len(given) >= 60 else given)


def read_seeds(text: str) -> list[int]:
    """Seeds as `0..9`, `1,2,5`, or both.

    Raises:
        ValueError: They are not written so, or one comes twice.
    """
    found: list[int] = []
    for part in text.split(","):
        low, dots, high = part.strip().partition("..")
        first, last = int(low), int(high) if dots else int(low)
        if last < first or last - first >= MAX_VALUES:
            raise ValueError(f"{part} is no range of seeds")
        found += range(first, last + 1)
    if len(set(found)) < len(found):
        raise ValueError("a seed comes twice")
    return found


def axis_text(value: object) -> str:
    """The values of an axis, as a YAML file or Python may have them, as one text.

    Args:
        value: A text, a number, or a list of values; each of these may be a list or a mapping itself.
    """
    if not isinstance(value, list | tuple):
        return spell(value)
    return ";".join(spell(item) for item in value)
