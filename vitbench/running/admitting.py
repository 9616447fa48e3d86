"""Other machines are asked, once each, whether they would make the plan's cells; those that would not run none."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from vitbench.execution.executor import Ending, Executor, Needs, decoded, job_of
from vitbench.execution.messages import Message, Say
from vitbench.planning.differing import difference
from vitbench.planning.messages import Found, Look
from vitbench.planning.plan import Plan

__all__ = ["admit_machines"]


def admit_machines(planned: Plan, executor: Executor, say: Callable[[str], None]) -> None:
    """Have each machine of an executor prepare a plan before it runs any of its cells.

    Args:
        planned: the plan.
        executor: knows the machines.
        say: gets a sentence for the user.

    Raises:
        UnusableError: none of the machines that are there now is suitable.
    """
    cells = planned.prepared.cells
    if planned.request is None or not cells:
        return
    conditions = msgspec.structs.replace(
        planned.request.conditions, device=cells[0].device, threads=cells[0].cell.threads
    )
    request = msgspec.structs.replace(planned.request, conditions=conditions, build=False)
    by_id = {cell.id: cell for cell in cells}

    def refusal(ended: Ending[bytes]) -> str:
        ending = decoded(ended, Found)
        if ending.answer is None:
            return ending.reason or ending.kind
        return difference(
            ending.answer, machine=planned.prepared.environment.machine, cells=by_id, metrics=planned.metrics
        )

    job = job_of(
        "vitbench.planning.elsewhere:look",
        Look(
            request=request,
            keys={cell.id: cell.key for cell in cells},
            metric_options=planned.metric_options,
        ),
        message=Message,
        on_message=lambda message: say(message.text) if isinstance(message, Say) else None,
        needs=Needs(device=cells[0].device),
        environment=planned.prepared.child_environment,
    )
    say("Asking each machine whether it has the same code, versions and images.")
    executor.admit(job, refusal)
