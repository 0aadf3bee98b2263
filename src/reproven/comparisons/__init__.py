"""Runs beside one another: groups over seeds, pairs of equal seeds, in words, figures and a page.

It stands above proof, whose evidence it reads of each run.
It never trains and never counts a run twice.
"""
