"""The names of a run's files: each is said here, and nowhere else."""

from __future__ import annotations

RECIPE = "recipe.json"
INPUTS = "inputs.json"
ENVIRONMENT = "environment.json"
LOSSES = "losses.csv"
WEIGHTS = "weights.csv"
OUTCOME = "outcome.json"

MODEL = "model.pth"
STATE_DICT = "state_dict.pth"
STANDARDISATION = "standardisation.json"
#: What the standardisation's file holds of the features, and of a target that is standardised too.
OF_FEATURES, OF_TARGET = ("mean", "scale"), ("target_mean", "target_scale")
#: And of features that are no plain numbers: how they become some, and what the columns hold.
OF_ENCODING, SCHEMA = ("source", "fill", "code"), "schema"
#: And of a network of the user's own: its name and its arguments, as JSON.
MADE_OF = "made_of"
TABLE = "table.parquet"
CONFUSION = "confusion.json"
HISTOGRAMS = "histograms.json"
PATCH, OWN_PATCH = "code.patch", "own.patch"
#: The folder of the user's own source files, by the paths that they are imported by.
OWN = "own"
FIGURES = "figures"

SNAPSHOT = "run.json"
METRICS = "metrics.csv"
MANIFEST = "manifest.json"
