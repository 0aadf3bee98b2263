"""Trouble: a question that could not be answered. A finding is a value, never an exception.

Every message says what it is and must be, where, why if known, and what to do now.
Only `cli` catches these; it prints them without a stack trace and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ReprovenError(Exception):
    """Base of everything that this package raises on purpose."""


class InvalidInput(ReprovenError):
    """What the user gave cannot be used; holds every problem found, not only the first."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class DataError(ReprovenError):
    """A table cannot be read or trained on."""


class Unproved(ReprovenError):
    """An operation of torch that has not been proved to give the same bits on every machine.

    Attributes:
        operation: Its name in torch.
        how: In which form it is asked for, where other forms are proved.
    """

    def __init__(self, operation: str, how: str = "") -> None:
        asked = f"{operation} {how}".strip()
        super().__init__(
            f"Portable arithmetic does not have {asked}. Train in torch's own: --profile native."
        )
        self.operation, self.how = operation, how


class StoreError(ReprovenError):
    """The MLflow tracking store or registry cannot be asked, or does not hold what is sought."""


class Gone(StoreError):
    """What is sought is not in the store, or not any more."""


class Deleted(StoreError):
    """A run that is kept on this machine was deleted in its store."""


class RecordError(ReprovenError):
    """A run's record is missing, unreadable, or contradicts itself."""


class Absent(RecordError):
    """The files of a run are not where its store says that they are: nothing can be said of them."""


class DiskError(ReprovenError):
    """A run's files cannot be written on this machine."""


class RebuildError(ReprovenError):
    """The code or the environment of a record cannot be had again."""


class RevivalError(ReprovenError):
    """A saved model cannot be brought back: missing, broken, or refused because it is not safe."""


class Untrusted(ReprovenError):
    """A record names modules of others, and importing them would run their code.

    Args:
        names: What it names, as `package.module:name`.
        modules: Those that are not trusted.
    """

    def __init__(self, *, names: Sequence[str], modules: Sequence[str]) -> None:
        self.modules = tuple(modules)
        named = ", ".join(name for name in names if name.partition(":")[0] in modules)
        options = " ".join(f"--trust {module}" for module in modules)
        shown = ", ".join(map(repr, modules))
        super().__init__(
            f"{named} is named by the record, and nothing of it was imported: that would run its code. "
            f"Trust it with {options}, or reproven.trust({shown}) in Python."
        )


class OwnCodeError(ReprovenError):
    """Code of the user's own failed: a network, a loss, a metric, or what returns the data."""


class Unreadable(RevivalError):
    """A file cannot be read. It says the file and the reason apart, so that who wants it may say its name.

    Args:
        path: The file.
        reason: Words that follow its name, and a full stop.
    """

    def __init__(self, path: object, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{path} {reason}")


_SHARED = 0.75  # of the letters of two names, in their order, from which one may be the other misspelt


def near_miss(wanted: str, names: Iterable[str]) -> str | None:
    """The name that was meant, if any: it is begun with what was given, or differs in a letter or so."""
    folded = {name.casefold(): name for name in names}
    begun = [name for name in folded if name.startswith(wanted.casefold()) and len(wanted) > 2]
    near = difflib.get_close_matches(wanted.casefold(), begun or folded, n=1, cutoff=0 if begun else _SHARED)
    return folded[near[0]] if near else None


def name_among(wanted: str, names: Iterable[str]) -> str:
    """Returns the advice for a name that does not exist: the near miss if any, and all there are."""
    names = list(names)
    near = near_miss(wanted, names)
    hint = f"Did you mean {near}? " if near else ""
    return f"{hint}There is {', '.join(names)}." if names else "There is none."
