"""Machines are asked to prepare the plan as it was prepared, and refused in words."""

from __future__ import annotations

from collections.abc import Callable

import factories
import msgspec

from vitbench.catalog import PluginSelection
from vitbench.execution.executor import Ending, Executor, Job
from vitbench.planning.messages import Found, Look, Prepared, PrepareRequest
from vitbench.planning.plan import Plan
from vitbench.planning.suite import Conditions, Selection, Suite
from vitbench.running.admitting import admit_machines

CELL = factories.quality_cell("a")
PLAN = Plan(
    selection=Selection(),
    suite=Suite(name="x", summary="x"),
    suite_text="",
    prepared=Prepared(cells=(CELL,), environment=factories.environment(), child_environment={"HF_HUB_OFFLINE": "1"}),
    metrics={},
    metric_options={},
    plugins=PluginSelection(),
    request=PrepareRequest(cells=(), conditions=Conditions(device="auto")),
)


class Asked(Executor):
    """Keeps what machines are asked, and what is made of their answers."""

    submit = wait = cancel = None

    def admit(self, job: Job, refusal: Callable[[Ending[bytes]], str]) -> None:
        self.job, self.refusal = job, refusal


def test_machines_are_asked_for_the_plans_device_and_threads_and_judged_by_what_they_answer() -> None:
    executor = Asked()
    admit_machines(PLAN, executor, lambda _: None)
    look = msgspec.msgpack.decode(executor.job.request, type=Look)
    assert (look.request.conditions.device, look.request.conditions.threads) == (CELL.device, CELL.cell.threads)
    assert look.keys == {CELL.id: CELL.key}
    assert not look.request.build
    assert executor.job.environment == {"HF_HUB_OFFLINE": "1"}
    same = Found(machine=PLAN.prepared.environment.machine, metrics={})
    for found, words in (
        (same, ""),
        (msgspec.structs.replace(same, machine="abacus"), "its machine class differs, abacus"),
    ):
        refused = executor.refusal(Ending(kind="answered", seconds=1.0, answer=msgspec.msgpack.encode(found)))
        assert words in refused
        assert bool(refused) == bool(words)
    lacks: Ending[bytes] = Ending(kind="refused", seconds=1.0, reason="the data are not there")
    assert executor.refusal(lacks) == "the data are not there"
