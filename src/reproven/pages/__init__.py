"""What people read of a result: pages that need nothing else, cards in a notebook, a line that moves.

It stands beside training, whose figures it shows, and is given plain values.
It never asks a store and never decides anything; whatever others wrote, it shows as text.
"""
