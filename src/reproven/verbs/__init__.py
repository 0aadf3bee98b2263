"""The verbs: each module is one thing that a user can ask for, and joins the nouns to the world.

They stand in a package of their own so that `reproven.train` is the function and never the module.
"""
