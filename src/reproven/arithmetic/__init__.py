"""Which bits come out: the profile that torch computes in, and the operations that are ours.

It stands on the ground, below all that computes; it must have its say before torch is imported.
It never looks at a recipe, a file or a store.
"""
