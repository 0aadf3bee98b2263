"""What lies on disk: names, texts, tensors and models, written whole and read without running them.

It stands above the networks, which a saved model names, and below every value that is kept in a file.
It never runs what a file names, and never follows a path out of its folder.
"""
