"""A run with a budget, with a clock that the test moves: what is fixed, what is corrected, what a resume keeps."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import factories
import msgspec
import pytest

from vitbench.durations import parse_duration
from vitbench.errors import StoreError, UsageError
from vitbench.execution.executor import Executor
from vitbench.files import lock
from vitbench.records import KeyedCell, QualityCell, Record, Training
from vitbench.running import pacing
from vitbench.running.budget import Cost
from vitbench.running.ledger import Ledger, read_ledger, write_ledger
from vitbench.running.pacing import END_SECONDS, MARGIN, Pace, first_plan, paced

BUDGET = 1000.0
COST = Cost(fixed=10.0, step=1.0, length=10_000)


def cells(labels: str) -> list[KeyedCell]:
    found = []
    for label in labels:
        planned = factories.quality_cell(label)
        assert isinstance(planned.cell, QualityCell)
        found.append(msgspec.structs.replace(planned, cell=msgspec.structs.replace(planned.cell, budget=BUDGET)))
    return found


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pace(folder: Path, planned: list[KeyedCell], ledger: Ledger, clock: Clock, *, done: int = 0) -> Pace:
    others = {planned[0].key: 100.0} if planned[0].key not in ledger.cells else {}
    return Pace(
        planned, planned[done:], ledger, budget=BUDGET, folder=folder, began=clock.now, others=others, clock=clock
    )


def begun(planned: list[KeyedCell], *, other: float = 0.0, cost: Cost = COST) -> Ledger:
    costs = {cell.key: cost for cell in planned}
    return first_plan(planned, planned, costs, Ledger(), {"other": other}, budget=BUDGET, gone=0.0)


def run(pace: Pace, planned: KeyedCell, clock: Clock, *, factor: float = 1.0, expected: float | None = None) -> int:
    """Run a cell that takes `factor` times as long as was measured; return its steps."""
    steps = pace.begin(planned).allotted
    assert steps is not None
    seconds = expected or factor * (COST.fixed + COST.training(steps.steps))
    clock.now += seconds
    pace.end(ended(planned, seconds, steps.steps))
    return steps.steps


def ended(planned: KeyedCell, seconds: float, steps: int) -> Record:
    record = factories.record(planned, status="ok")
    training = Training(seconds=seconds - COST.fixed, images=100, steps=steps)
    return msgspec.structs.replace(record, seconds=seconds, training=training)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_the_run_ends_in_time_whatever_pace_the_first_cell_shows(tmp_path: Path, factor: float) -> None:
    clock, planned = Clock(), cells("abcd")
    paced = pace(tmp_path, planned, begun(planned), clock)
    steps = [run(paced, cell, clock, factor=factor) for cell in planned]
    assert 0.9 * BUDGET <= clock.now + END_SECONDS <= BUDGET
    assert steps[0] == paced.cells[0].allotted.steps  # type: ignore[union-attr]
    assert (steps[1] == steps[0]) == (factor == 1.0), "without a drift nothing is corrected"
    assert len(set(steps[1:])) <= 2 if factor == 1.0 else steps[1] != steps[0]


def test_what_speeds_took_beyond_their_estimate_is_taken_from_the_trainings(tmp_path: Path) -> None:
    clock, planned = Clock(), cells("sab")
    ledger = begun(planned[1:], other=100.0)
    paced = pace(tmp_path, planned, ledger, clock)
    assert next(cell.label for cell in paced.ordered(reversed(planned))) == "s"
    clock.now += 300.0
    paced.end(factories.record(planned[0], status="ok"))
    first, before = paced.begin(planned[1]).allotted, ledger.cells[planned[1].key].steps
    assert first is not None
    assert first.planned_steps == before == pytest.approx(((1 - MARGIN) * BUDGET - END_SECONDS - 120) / 2, abs=1)
    assert first.steps == pytest.approx(before - 100, abs=1)


def test_what_speeds_took_counts_though_the_run_is_stopped_before_the_first_training(tmp_path: Path) -> None:
    clock, planned = Clock(), cells("sab")
    paced = pace(tmp_path, planned, begun(planned[1:], other=100.0), clock)
    clock.now += 300.0
    paced.end(factories.record(planned[0], status="ok"))
    kept = read_ledger(tmp_path, BUDGET)
    assert (kept.spent, [one.begun for one in kept.cells.values()]) == (300.0, [False, False])


def test_a_resume_keeps_the_steps_of_what_has_begun_and_counts_what_was_spent(tmp_path: Path) -> None:
    clock, planned = Clock(), cells("abc")
    paced = pace(tmp_path, planned, begun(planned), clock)
    run(paced, planned[0], clock, expected=500.0)  # far too long
    killed = paced.begin(planned[1]).allotted
    assert killed is not None
    assert killed.steps < killed.planned_steps

    clock.now = 50_000.0
    ledger = read_ledger(tmp_path, BUDGET)
    assert ledger.spent == pytest.approx(500.0)
    again = pace(tmp_path, planned, ledger, clock, done=1)
    assert again.begin(planned[1]).allotted == killed
    clock.now += 200.0
    record = ended(planned[1], 150.0, killed.steps)
    again.end(msgspec.structs.replace(record, evidence=({"earlier_seconds": 50.0},)))
    last = again.begin(planned[2]).allotted
    assert last is not None
    assert last.steps == pytest.approx((1 - MARGIN) * BUDGET - END_SECONDS - 500 - 250 - 10, abs=1)


def test_a_model_that_joins_later_gets_what_it_would_have_got_at_first(tmp_path: Path) -> None:
    planned = cells("ab")
    alone, joined = begun(planned[:1]), begun(planned)
    later = first_plan(planned, planned[1:], {planned[1].key: COST}, alone, {}, budget=BUDGET, gone=0.0)
    assert later.cells[planned[1].key] == joined.cells[planned[1].key]
    assert later.cells[planned[0].key] == alone.cells[planned[0].key]


def test_all_anew_leaves_alone_what_other_runs_into_the_folder_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = cells("ab")
    write_ledger(tmp_path, BUDGET, begun(planned))
    monkeypatch.setattr(pacing, "probed", lambda new, *_: ({cell.key: COST for cell in new}, {}))
    asked: Any = SimpleNamespace(prepared=SimpleNamespace(cells=planned[:1]), asked=time.time())
    anew = paced(asked, tmp_path, executor=cast(Executor, None), rerun="all", say=lambda _: None)
    assert anew is not None
    anew.begin(planned[0])
    first, other = (read_ledger(tmp_path, BUDGET).cells[cell.key] for cell in planned)
    assert first.steps > other.steps == begun(planned).cells[planned[1].key].steps


def test_a_folder_in_use_is_refused_before_a_probe_disturbs_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "probed", lambda *_: pytest.fail("probed beside another run"))
    asked: Any = SimpleNamespace(prepared=SimpleNamespace(cells=cells("a")), asked=time.time())
    with lock(tmp_path), pytest.raises(StoreError, match="is using"):
        paced(asked, tmp_path, executor=cast(Executor, None), rerun=None, say=lambda _: None)


def test_a_budget_too_small_names_the_least_that_will_do() -> None:
    planned = cells("ab")
    costs = {cell.key: msgspec.structs.replace(COST, fixed=600.0) for cell in planned}
    with pytest.raises(UsageError, match=r"--budget 16m40s is too small: .* one step of each of 2 trainings") as caught:
        first_plan(planned, planned, costs, Ledger(), {}, budget=BUDGET, gone=0.0)
    least = parse_duration(str(caught.value).partition("give --budget ")[2].partition(" ")[0])
    found = first_plan(planned, planned, costs, Ledger(), {}, budget=least, gone=0.0)
    assert all(one.steps >= 1 for one in found.cells.values())
