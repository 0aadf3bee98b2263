"""Which bits come out: the profile, and what numbers become, on arrays, so that it is the same everywhere.

It stands on the ground, below all that computes.
It never looks at a recipe, a file or a store.
"""
