"""Public pieces for metrics and workers: how vitbench times, weighs, counts and records what a model says."""
