"""What was found, as frozen values: record, snapshot, metrics, steps, and what changed between two records.

It stands between the texts that hold the values and all that makes or compares them.
It never imports anything heavy, never touches a file and never looks at the machine.
"""
