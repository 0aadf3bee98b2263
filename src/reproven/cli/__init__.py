"""The command line: reads options, calls one verb, prints its answer.

Answers go to stdout and progress to stderr. Nothing else in the package prints.
"""

from reproven.cli import comparing, promotion, proof, survival, sweeping, training
from reproven.cli.group import main

__all__ = ["comparing", "main", "promotion", "proof", "survival", "sweeping", "training"]
