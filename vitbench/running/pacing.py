"""A run with a budget: how many steps each training takes, fixed before the first and corrected from cell to cell.

A probe times each kind of training before anything is written. Speeds and baselines, which have no length to choose,
run first; what they and each training took more or less than expected changes the steps of those that have not begun.
A training that has begun keeps its steps, through kills and resumes: they are kept beside the results (`ledger`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from vitbench.durations import duration_text
from vitbench.errors import UsageError
from vitbench.execution.executor import Executor
from vitbench.files import is_locked, lock
from vitbench.planning.plan import Plan
from vitbench.printable import describe_seconds
from vitbench.records import Allotted, KeyedCell, QualityCell, Record, SpeedCell
from vitbench.running.budget import Cost, Planned, pace_of, shared
from vitbench.running.estimate import beside
from vitbench.running.ledger import Ledger, read_ledger, write_ledger
from vitbench.running.probing import probed
from vitbench.running.session import Rerun, is_wanted, known_seconds
from vitbench.store import FILE_NAME, Store

__all__ = ["Pace", "paced"]

MARGIN, END_SECONDS = 0.02, 1.5
"""Share of the budget that is not planned with, since the last training may be slower; and what the table and the page
take at the end."""
NO_CHANGE = 0.02
"""A correction by less than this is the clock's noise, and the steps stay."""


class Pace:
    """The plan of a run with a budget, while it runs."""

    def __init__(
        self,
        cells: Sequence[KeyedCell],
        todo: Sequence[KeyedCell],
        ledger: Ledger,
        *,
        budget: float,
        folder: Path,
        began: float,
        others: Mapping[str, float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take up a plan.

        Args:
            cells: of the run.
            todo: those that run.
            ledger: the plan of those with a training, and what was spent before.
            budget: in seconds.
            folder: of the results.
            began: when the run was asked for, in seconds since the epoch.
            others: seconds that cells without a training are expected to take, by key.
            clock: gives the seconds since the epoch.
        """
        self._ledger, self._budget, self._folder, self._clock = ledger, budget, folder, clock
        self._began, self._spent = began, ledger.spent
        self._others = {planned.key: others[planned.key] for planned in todo if planned.key in others}
        self._waiting = {planned.key for planned in todo if planned.key in ledger.cells}
        self._taken: list[tuple[float, float]] = []
        self.cells = tuple(self._allotted(planned) for planned in cells)
        """Those of the run, with what each training is given."""

    @property
    def expected(self) -> dict[str, float]:
        """Seconds that each cell that is left is expected to take, by key."""
        pace = pace_of(self._taken)
        return self._others | {key: pace * self._ledger.cells[key].whole for key in self._waiting}

    def ordered(self, todo: Iterable[KeyedCell]) -> list[KeyedCell]:
        """Return cells in the order in which they are to run: those whose length can be chosen come last."""
        return sorted(todo, key=lambda planned: (planned.key in self._ledger.cells, not _is_speed(planned)))

    def begin(self, planned: KeyedCell) -> KeyedCell:
        """Return a cell that is about to run with its steps, which stay from now on.

        Raises:
            StoreError: they cannot be kept.
        """
        found = self._ledger.cells.get(planned.key)
        if found is None:
            return planned
        if not found.begun:
            self._settle(planned.key, found)
        return self._allotted(planned)

    def end(self, record: Record) -> None:
        """Take note of what a cell took.

        Raises:
            StoreError: it cannot be kept.
        """
        self._others.pop(record.key, None)
        self._waiting.discard(record.key)
        found, training = self._ledger.cells.get(record.key), record.training
        earlier = sum(one.get("earlier_seconds", 0.0) for one in record.evidence)
        self._spent += earlier
        by_time = record.planned.cell.recipe_options.get("by_time")
        if found and training and record.status == "ok" and not earlier and not by_time:
            steps = training.steps or found.steps
            self._taken.append((found.cost.fixed + found.cost.training(steps), record.seconds))
        self._keep(self._ledger.cells)

    def _settle(self, key: str, found: Planned) -> None:
        pace, planned = pace_of(self._taken), self._ledger.cells
        left = self._began + usable(self._budget) - self._spent - self._clock() - sum(self._others.values())
        left -= sum(pace * planned[other].whole for other in self._waiting if planned[other].begun)
        waiting = {other: planned[other].cost.at_pace(pace) for other in self._waiting if not planned[other].begun}
        seconds = shared(waiting, left)[key]
        steps = waiting[key].steps_within(seconds)
        if abs(steps - found.steps) <= NO_CHANGE * found.steps:
            steps, seconds = found.steps, found.seconds
        settled = msgspec.structs.replace(found, steps=steps, seconds=seconds, begun=True)
        self._keep({**planned, key: settled})

    def _keep(self, cells: dict[str, Planned]) -> None:
        self._ledger = Ledger(spent=self._spent + self._clock() - self._began, cells=cells)
        write_ledger(self._folder, self._budget, self._ledger)

    def _allotted(self, planned: KeyedCell) -> KeyedCell:
        found = self._ledger.cells.get(planned.key)
        if found is None or not found.cost.step:
            return planned
        allotted = Allotted(
            steps=found.steps,
            planned_steps=found.first_steps,
            length=found.cost.length or None,
            step_seconds=found.cost.step,
            seconds=found.seconds,
        )
        return msgspec.structs.replace(planned, allotted=allotted)


def paced(
    planned: Plan, folder: Path, *, executor: Executor, rerun: Rerun | None, say: Callable[[str], None]
) -> Pace | None:
    """Return the plan of a run's time; None where it has no budget. Nothing is written.

    Trainings whose steps an earlier run into the folder fixed are not timed again.

    Raises:
        UsageError: the budget is too small for one step of each training.
        StoreError: another run holds the folder, and a probe would disturb it.
    """
    cells: Sequence[KeyedCell] = planned.prepared.cells
    budget = next((each.cell.budget for each in cells if isinstance(each.cell, QualityCell)), None)
    if budget is None:
        return None
    newest: dict[str, Record] = {}
    known: dict[str, float] = {}
    if (folder / FILE_NAME).exists():
        with Store.open(folder, create=False) as store:
            newest, known = store.newest_by_key(), known_seconds(store.records())
    todo: Sequence[KeyedCell] = [cell for cell in cells if is_wanted(newest.get(cell.key), rerun)]
    ledger = read_ledger(folder, budget)
    if rerun == "all":  # what other runs into the folder began stays theirs
        asked = {cell.key for cell in cells}
        ledger = Ledger(cells={key: one for key, one in ledger.cells.items() if key not in asked})
    new = [cell for cell in todo if _trains(cell) and cell.key not in ledger.cells]
    if new:
        if is_locked(folder):
            with lock(folder):  # says who holds it
                pass
        say(f"Budget of {duration_text(budget)}: timing a few steps of each training.")
        costs, faults = probed(new, planned, executor)
        cells, todo = _without(faults, cells), _without(faults, todo)
        steps = {key: costs[key].step for key in costs}
        others = {cell.key: beside(cell, known, steps, cells) for cell in todo if cell.key not in costs}
        others = {key: seconds for key, seconds in others.items() if key not in ledger.cells}
        gone = time.time() - planned.asked
        ledger = first_plan(cells, todo, costs, ledger, others, budget=budget, gone=gone)
        trainings = [ledger.cells[key] for key in costs]
        if trainings:
            say(in_words(trainings, sum(others.values())))
    else:
        others = {cell.key: beside(cell, known, {}, cells) for cell in todo if cell.key not in ledger.cells}
    return Pace(cells, todo, ledger, budget=budget, folder=folder, began=planned.asked, others=others)


def first_plan(
    cells: Sequence[KeyedCell],
    todo: Sequence[KeyedCell],
    costs: Mapping[str, Cost],
    ledger: Ledger,
    others: Mapping[str, float],
    *,
    budget: float,
    gone: float,
) -> Ledger:
    """Return a ledger in which new trainings have their steps, each as if all of the run's cells ran under the budget.

    Args:
        cells: of the run.
        todo: those that run.
        costs: of the new ones.
        ledger: what earlier runs under this budget fixed.
        others: seconds of cells without a training that run.
        budget: in seconds.
        gone: seconds of it that have passed.

    Raises:
        UsageError: it is too small for one step of each.
    """
    before = {cell.key: ledger.cells[cell.key] for cell in cells if cell.key in ledger.cells}
    of_all = {**{key: one.cost for key, one in before.items()}, **costs}
    left = usable(budget) - gone - sum(others.values())
    least = sum(cost.least for cost in of_all.values())
    if costs and least > left:
        needed = math.ceil(1.05 * (gone + sum(others.values()) + least + END_SECONDS) / (1 - MARGIN))
        raise UsageError(_too_small(budget, needed, len(of_all), any(map(_is_speed, todo))))
    new = {}
    for key, seconds in shared(of_all, left).items():
        if key in costs:
            steps = costs[key].steps_within(seconds)
            new[key] = Planned(cost=costs[key], seconds=seconds, steps=steps, first_steps=steps)
    running = {cell.key for cell in todo}
    spent = sum(one.whole for key, one in before.items() if key not in running)
    return Ledger(spent=spent, cells={**ledger.cells, **new})


def usable(budget: float) -> float:
    """Return the seconds of a budget that are planned with."""
    return (1 - MARGIN) * budget - END_SECONDS


def in_words(trainings: Sequence[Planned], beside_them: float) -> str:
    """Return what the plan is, in a sentence."""
    counted = [one for one in trainings if one.cost.step]
    each = sorted(one.cost.training(one.steps) for one in counted)
    whole = sum(one.steps == one.cost.length for one in counted)
    times = " to ".join(dict.fromkeys(describe_seconds(end) for end in (each[0], each[-1]))) if each else "0 s"
    words = f"Planned: {len(counted)} training{'s' * (len(counted) != 1)} of {times}"
    words += f", {whole} of them to the recipe's own length" if whole else ""
    return words + (f"; speeds and baselines take about {describe_seconds(beside_them)}." if beside_them else ".")


def _too_small(budget: float, needed: float, trainings: int, timed: bool) -> str:
    each = "one step of the training" if trainings == 1 else f"one step of each of {trainings} trainings"
    speeds, other = ("measuring speeds, ", ", or --speeds none") if timed else ("", "")
    return (
        f"--budget {duration_text(budget)} is too small: preparing, {speeds}evaluation and {each} take longer; "
        f"give --budget {duration_text(needed)} or more{other}."
    )


def _trains(planned: KeyedCell) -> bool:
    """Whether a cell may have a training whose length can be chosen."""
    return isinstance(planned.cell, QualityCell) and not planned.baseline and not planned.unavailable


def _is_speed(planned: KeyedCell) -> bool:
    return isinstance(planned.cell, SpeedCell)


def _without(faults: Mapping[str, KeyedCell], cells: Iterable[KeyedCell]) -> tuple[KeyedCell, ...]:
    return tuple(faults.get(cell.key, cell) for cell in cells)
