"""The command line: a face for each wing that a user can ask something of.

It stands above everything: it reads options, calls one function, and prints its answer.
It never computes, and nothing else in the package prints.
"""

from reproven.cli import comparisons, logbooks, proof, runs, sweeps
from reproven.cli.group import main

__all__ = ["comparisons", "logbooks", "main", "proof", "runs", "sweeps"]
