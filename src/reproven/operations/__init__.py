"""torch's operations, computed so that their bits are the same on every machine, and which of them are.

It stands on arithmetic, which knows arrays alone: here are torch's names, signatures and places to write.
It never looks at a recipe, a file or a store.
"""
