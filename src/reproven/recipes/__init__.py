"""What is asked for, as frozen values: a recipe for a run, a blueprint for weights, and the options of both.

It stands between what a user types and all that is made of it.
It never imports anything heavy, never touches a file and never looks at the machine.
"""
