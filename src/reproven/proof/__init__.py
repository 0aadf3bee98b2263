"""Whether a run is still true: audit, replay, verdict, and what goes only where both agree.

It stands above runs, whose records it reads and trains again.
It never changes the run that it looks at, but for tags that link to it.
"""
