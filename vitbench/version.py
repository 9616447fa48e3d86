"""The version of vitbench, where every floor can read it."""

__version__ = "0.1.0"
"""The installed version of vitbench."""
