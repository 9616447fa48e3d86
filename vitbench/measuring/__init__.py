"""Public pieces for metrics and workers: how vitbench measures time and memory, counts, and records predictions."""
