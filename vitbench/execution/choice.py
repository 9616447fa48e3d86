"""Which executor runs the jobs of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vitbench.errors import UsageError
from vitbench.execution.executor import Executor
from vitbench.execution.local import LocalExecutor

__all__ = ["chosen_executor", "opened_executor"]


def chosen_executor() -> Executor:
    """Return the executor of a command that runs on this machine: processes, one at a time."""
    return LocalExecutor()


@contextmanager
def opened_executor(asked: str, parallel: int | None, say: Callable[[str], None]) -> Iterator[Executor]:
    """Give the executor that an ``--executor`` names.

    Args:
        asked: ``local``, or ``ray[=HOST:PORT][,machine=LABEL]``.
        parallel: jobs that run at once; None: as many as the machines hold.
        say: gets a sentence for the user.

    Raises:
        UsageError: it names nothing, or this machine is asked to run several at once.
        UnusableError: the cluster cannot be used.
    """
    from vitbench.execution.ray_cluster import connected, parse_address

    address = parse_address(asked)
    if parallel is not None and parallel < 1:
        raise UsageError(f"--parallel must be at least 1, not {parallel}.")
    if address is None:
        if parallel not in (None, 1):
            raise UsageError(
                "--parallel requires --executor ray: on this machine cells run one at a time, so that none "
                "disturbs another's measurement."
            )
        yield chosen_executor()
        return
    from vitbench.execution.ray_executor import RayExecutor

    with connected(address) as ray:
        executor = RayExecutor(ray, label=address.label, most=parallel, say=say)
        try:
            yield executor
        finally:
            executor.close()
