"""This computer: its environment, the code that runs, its signals, and other processes.

It stands below training: what a run is made on and from is known before its first step.
It never trains and never asks a store.
"""
