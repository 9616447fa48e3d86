"""What a probe's process says becomes a cost, or a reason why the cell cannot run."""

from __future__ import annotations

from typing import Any

import factories
import msgspec
import pytest

from vitbench.catalog.discovery import PluginSelection
from vitbench.execution.executor import Ending
from vitbench.execution.messages import CellJob, CellResult
from vitbench.planning.messages import Prepared
from vitbench.planning.plan import Plan
from vitbench.planning.suite import Selection, Suite
from vitbench.records import KeyedCell
from vitbench.running.budget import Cost
from vitbench.running.probing import AFTER_SECONDS, AUDITED_IMAGES, PROBE_TIMEOUT, START_SECONDS, cost_of, probed

EVIDENCE = {"before": 2.0, "forward": 0.001, "test": 500, "val": 100, "steps": 9, "step": 0.2, "epoch": 8, "length": 80}


class Executor:
    """Answers each probe alike, and remembers what it was asked."""

    def __init__(self, ending: Ending[CellResult]) -> None:
        self.ending, self.jobs = ending, list[CellJob]()

    def run(self, target: str, request: CellJob, *_: object, **__: Any) -> Ending[CellResult]:
        assert (target, request.probe) == ("vitbench.worker.cell:run_cell", True)
        self.jobs.append(request)
        return self.ending


def plan(cells: list[KeyedCell]) -> Plan:
    return Plan(
        selection=Selection(),
        suite=Suite(name="s", summary="x"),
        suite_text="",
        prepared=Prepared(cells=tuple(cells), environment=factories.environment()),
        metrics={},
        metric_options={},
        plugins=PluginSelection(),
    )


def ask(cells: list[KeyedCell], **ending: Any) -> tuple[dict[str, Cost], dict[str, KeyedCell], Executor]:
    executor = Executor(Ending(**{"kind": "answered", "seconds": 1.0, **ending}))
    return *probed(cells, plan(cells), executor), executor  # type: ignore[arg-type]


def test_seeds_of_one_training_are_timed_once() -> None:
    cells = [factories.quality_cell("a", seed=seed) for seed in (0, 1)] + [factories.quality_cell("b")]
    costs, faults, executor = ask(cells, answer=CellResult(status="ok", evidence=EVIDENCE))
    assert (len(executor.jobs), sorted(costs), faults) == (2, sorted(cell.key for cell in cells), {})


def test_the_parts_of_a_cost() -> None:
    fixed = START_SECONDS + AFTER_SECONDS + 2.0 + 0.001 * (500 + AUDITED_IMAGES)
    assert cost_of(EVIDENCE) == Cost(fixed=pytest.approx(fixed), step=0.2, validation=0.1, epoch=8, length=80)
    ended = {name: value for name, value in EVIDENCE.items() if name not in ("steps", "step")} | {"seconds": 30.0}
    assert cost_of(ended) == Cost(fixed=pytest.approx(fixed + 30.0), step=0.0)


@pytest.mark.parametrize(
    ("ending", "hub", "words"),
    [
        ({"answer": CellResult(status="oom", reason="out of memory")}, "", "out of memory"),
        ({"kind": "crashed", "reason": "died of signal 9"}, "", "died of signal 9"),
        ({"answer": CellResult(status="pending", reason="no network")}, "away", "no network"),
    ],
)
def test_what_cannot_be_timed_does_not_run_and_says_why(ending: dict[str, Any], hub: str, words: str) -> None:
    cell = factories.quality_cell("a")
    costs, faults, _ = ask([cell], **ending)
    assert costs == {}
    assert faults[cell.key].hub == hub
    assert faults[cell.key].unavailable == f"its steps could not be timed for the budget: {words}"
    assert msgspec.structs.replace(faults[cell.key], unavailable="", hub="") == cell


def test_a_recipe_that_says_nothing_in_time_has_no_steps() -> None:
    cell = factories.quality_cell("a")
    assert ask([cell], kind="timeout")[0] == {cell.key: Cost(fixed=PROBE_TIMEOUT, step=0.0)}
