"""Where a model looks: its attention, watched while it runs, and what can be read from it."""

from vitbench.attention.reading import attention_distance, patch_grid, rollout
from vitbench.attention.watching import AttentionMap, Watched, watch

__all__ = ["AttentionMap", "Watched", "attention_distance", "patch_grid", "rollout", "watch"]
