"""Programs: the code that a run was made by, as its record names it: this package's, and the user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """The code that a run was made by.

    Attributes:
        source_sha256: Digest of this package's own source files.
        commit: The commit's hash; None where the code was in no git checkout.
        branch: The branch checked out; empty where none was.
        patch_sha256: Digest of code.patch; None where no tracked file differed from the commit.
    """

    source_sha256: str
    commit: str | None = None
    branch: str = ""
    patch_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnCode:
    """The user's own code that a run was made by.

    Attributes:
        files: The sha256 of each source file, by its path from where its top package is imported.
        packages: The version of each installed distribution that these import, by its name.
        commit: As `Code` has it, of the user's own repository; likewise the others.
    """

    files: Mapping[str, str]
    packages: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    branch: str = ""
    patch_sha256: str | None = None

    @property
    def sha256(self) -> str:
        """Digest of all source files, as `files_sha256` makes it."""
        return files_sha256(self.files)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> OwnCode:
        """Reads it from JSON values.

        Raises:
            KeyError, TypeError, AttributeError: They are something else.
        """
        found = cls(**values)
        if any(not isinstance(text, str) for held in (found.files, found.packages) for text in held.values()):
            raise TypeError("own code is not told by texts")
        return found


def files_sha256(files: Mapping[str, str]) -> str:
    """Digest of files: of the JSON text of their sha256 by their paths, sorted; 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()
