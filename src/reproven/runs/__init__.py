"""One run: trained, resumed, revived, asked for predictions or for its weights.

It stands above logbooks and store, and joins the training to them.
It never judges a run; that is for proof.
"""
