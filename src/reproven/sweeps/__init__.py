"""Many runs by one command: axes, study, proposals, and the processes that train them.

It stands above all else but the command line, and ends with a comparison.
It never trains in its own process, and never lets a result depend on which process trained what.
"""
