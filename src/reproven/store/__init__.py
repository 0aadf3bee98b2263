"""MLflow, and nothing else: runs, their files and models, and the registry.

It stands above training's values, which it keeps; whoever needs MLflow comes here.
It never trains, never imports torch by itself and never decides what a run is worth.
"""
