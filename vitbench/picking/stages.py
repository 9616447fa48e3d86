"""The stages of a pick, each a run of ordinary cells into the output folder: speeds, looks at probes, trainings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vitbench import api
from vitbench.errors import UsageError
from vitbench.execution.executor import Executor
from vitbench.leaderboard.image_scores import Outcomes, read_outcomes
from vitbench.leaderboard.leaderboard import Row, build
from vitbench.planning.plan import Plan
from vitbench.records import KeyedCell, Record
from vitbench.running import session
from vitbench.running.pacing import paced
from vitbench.settings import PROBE_RECIPE, RANK_BY
from vitbench.store import Store

__all__ = ["Stages"]

FOLDS = 5
"""Folds of the labelled images that a probe is judged on; a validation split would go through each model once more at
each look, and be what the probe's strength was chosen by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stages:
    """What all stages of a pick share."""

    asked: Mapping[str, Any]
    """Arguments of `vitbench.run` that hold for each: suite, dataset, where it is, device, plugins."""
    folder: Path
    executor: Executor
    strict_plugins: bool
    quiet: bool
    say: Callable[[str], None]

    def plan(self, models: Collection[str], *, aloud: bool = False, **changes: Any) -> Plan:
        """Return what would run of some models, as `vitbench.run` would plan it with these arguments."""
        return api.plan_of(
            self.executor,
            strict_plugins=self.strict_plugins,
            quiet=self.quiet or not aloud,
            models=tuple(models),
            **{**self.asked, **changes},
        )

    def time(self, planned: Plan, cells: Sequence[KeyedCell], models: Sequence[str]) -> dict[str, Record]:
        """Measure some of the speeds of a plan; return the newest record of each cell, by its key."""
        selection = msgspec.structs.replace(planned.selection, models=tuple(models), speeds="only")
        prepared = msgspec.structs.replace(planned.prepared, cells=tuple(cells), notes=())
        return self.execute(dataclasses.replace(planned, selection=selection, prepared=prepared, notes=()))

    def probe(self, models: Sequence[str], labels: float) -> tuple[list[KeyedCell], dict[str, Record]]:
        """Look at some models' features, of a share of the labels, on the labelled images that each fold holds out."""
        settings = {PROBE_RECIPE: {"labels": labels, "folds": FOLDS}}
        planned = self.plan(models, recipe=PROBE_RECIPE, settings=settings, split="val", speeds="none")
        planned = _without_notes(planned)
        return list(planned.prepared.cells), self.execute(planned)

    def probe_on_test(self, models: Sequence[str]) -> tuple[list[KeyedCell], dict[str, Record]]:
        """Judge probes of all labels on the test split."""
        planned = _without_notes(self.plan(models, recipe=PROBE_RECIPE, speeds="none"))
        return list(planned.prepared.cells), self.execute(planned)

    def train(self, models: Sequence[str], budget: float) -> tuple[list[KeyedCell], dict[str, Record]] | None:
        """Train models within a budget, and judge them on the test split; None where it is too small for a step."""
        planned = _without_notes(self.plan(models, budget=budget, speeds="none"))
        try:
            pace = paced(planned, self.folder, executor=self.executor, rerun=None, say=self.say)
        except UsageError:  # which says that the budget is too small
            return None
        records = self.execute(planned, pace=pace)
        return list(planned.prepared.cells), records

    def execute(self, planned: Plan, **how: Any) -> dict[str, Record]:
        """Run what is missing of a plan; return the newest record of each of its cells, by key."""
        session.execute(planned, self.folder, executor=self.executor, rerun=None, timeout=None, quiet=self.quiet, **how)
        with Store.open(self.folder, create=False) as store:
            newest = store.newest_by_key()
        return {cell.key: newest[cell.key] for cell in planned.prepared.cells}

    def outcomes(self, cells: Sequence[KeyedCell]) -> list[Outcomes | None]:
        """Return which images each cell's model has right; None where nothing is stored of it."""
        with Store.open(self.folder, create=False) as store:
            found = [read_outcomes(store.scores_path(cell.key), RANK_BY) for cell in cells]
        return [one if isinstance(one, Outcomes) else None for one in found]

    def rows(self, cells: Sequence[KeyedCell]) -> list[Row | None]:
        """Return the row of the leaderboard that each cell is in; None where it has no result."""
        with Store.open(self.folder, create=False) as store:
            board = build(store.records(), (), RANK_BY)
        by_cell = {each: row for row in board.rows for each in row.ids}
        return [by_cell.get(cell.id) for cell in cells]


def _without_notes(planned: Plan) -> Plan:
    """Return a plan that says nothing of the data again."""
    return dataclasses.replace(planned, prepared=msgspec.structs.replace(planned.prepared, notes=()), notes=())
