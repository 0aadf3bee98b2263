"""What is asked for and what was found, as frozen values: recipe, record, snapshot, metrics.

It stands between the texts that hold the values and all that makes or compares them.
It never imports anything heavy, never touches a file and never looks at the machine.
"""
