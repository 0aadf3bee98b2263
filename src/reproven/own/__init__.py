"""What users bring: networks, losses, metrics and data of their own, by the names that they import them by.

It stands before what asks for such things, and finds, checks and digests them.
It never imports a module that its user does not trust.
"""
