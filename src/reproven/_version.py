"""The version, said once; it imports nothing, so that anything may ask."""

__version__ = "0.1.0"
