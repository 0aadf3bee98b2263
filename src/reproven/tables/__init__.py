"""From a file to numbers: what a table's columns hold, which rows train, and what is fitted to these.

It stands on values and files; training makes tensors of it.
It never trains, never knows of MLflow and draws from no global generator.
"""
