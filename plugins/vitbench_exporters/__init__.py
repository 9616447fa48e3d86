"""Formats that `vitbench export` writes: what other tools read of a results folder."""
