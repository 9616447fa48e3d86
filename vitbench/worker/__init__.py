"""The child process: it prepares a run, or runs one process of one cell, and says how it went."""
