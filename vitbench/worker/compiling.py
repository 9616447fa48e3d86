"""Whether torch.compile compiled anything: a model that it leaves alone runs as it is, in silence."""

from __future__ import annotations

import sys

from vitbench.measuring.steps import InvalidOutput

__all__ = ["check_compiled", "graphs_compiled"]


def graphs_compiled() -> int:
    """Return how many graphs this process has compiled so far."""
    dynamo = sys.modules.get("torch._dynamo.utils")  # not there before the first call of a compiled model
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo else 0


def check_compiled(*, since: int) -> None:
    """Refuse figures of a compiled model where none of it was compiled.

    Args:
        since: what `graphs_compiled` gave before the model was first called.

    Raises:
        InvalidOutput: no graph was compiled since.
    """
    if graphs_compiled() == since:
        raise InvalidOutput(
            "nothing was compiled: torch.compile found no graph in the model and ran it unchanged; drop --compile"
        )
