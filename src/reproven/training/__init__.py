"""From a recipe to steps: the network, the loop, and the history of what it found.

It stands on tables, values and the machine; runs, replays and sweeps pull its steps.
It never knows of MLflow, writes no file and draws from no global generator.
"""
