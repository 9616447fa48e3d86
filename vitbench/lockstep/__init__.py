"""The one way to compare two speeds: two live processes, told in turn to run a block."""

from __future__ import annotations

from vitbench.lockstep.compare import Quad, SpeedComparison, compare_speeds, decide_by_pairs, quads_of_pair
from vitbench.lockstep.process import LockstepError, Side

__all__ = ["LockstepError", "Quad", "Side", "SpeedComparison", "compare_speeds", "decide_by_pairs", "quads_of_pair"]
