"""Which executor runs the jobs of a command."""

from __future__ import annotations

from vitbench.execution.executor import Executor
from vitbench.execution.local import LocalExecutor

__all__ = ["chosen_executor"]


def chosen_executor() -> Executor:
    """Return the executor of a command: processes of this machine, one at a time."""
    return LocalExecutor()
