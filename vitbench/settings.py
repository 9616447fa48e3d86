"""The names that vitbench takes where nobody says another: of plugins' offers, and nowhere else in the core."""

from __future__ import annotations

SUITE = "suites/quick"
"""Where no suite is named."""
RECIPE = "recipes/supervised"
"""For a model that names none and starts from random weights."""
PRETRAINED_RECIPE = "recipes/finetune"
"""For a model that names none and has been trained."""
RANK_BY = "top1"
"""What a table is ranked by."""
SPEED = "throughput"
"""The speed that tables, sentences and pictures set against what a table is ranked by."""
LATENCY = "latency_p50"
MEMORY = "peak_memory"
SIZE = "params"
TRAINING_SPEED = "train_throughput"
