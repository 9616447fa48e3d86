"""One process of a cell: the job that it is, and where its files go."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitbench.catalog.discovery import PluginSelection
from vitbench.errors import StoreError
from vitbench.execution.executor import Ending, Executor, Handle, Needs, decoded, job_of
from vitbench.execution.messages import (
    FIGURE_TIMEOUT,
    FIGURES,
    PREDICTIONS,
    SCORES,
    WEIGHTS,
    CellJob,
    CellResult,
    Message,
    Progress,
    Say,
    kept_file,
    time_limit,
)
from vitbench.files import move_file
from vitbench.records import FigureCell, KeyedCell, QualityCell, SpeedCell
from vitbench.running.attempt import FULL_PROCESSES
from vitbench.running.events import Event, Noted, Progressed
from vitbench.specs import OptionValue
from vitbench.store import Store

__all__ = ["Attempts", "Begun", "Calls", "MetricOptions", "Process"]

_TARGET = "vitbench.worker.cell:run_cell"
MetricOptions = Mapping[str, dict[str, OptionValue]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One process of a cell that is to run."""

    planned: KeyedCell
    number: int = 0
    """Which of the cell's processes, from 0."""
    batch_size: int | None = None
    """In place of the cell's."""
    probe: bool = False
    """Whether it only sees if one step of this batch fits in memory."""


Attempts = Generator[Process, Ending[CellResult], None]
"""Attempts at some cells: it yields each process, and is sent how that ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A process that was submitted."""

    process: Process
    handle: Handle
    folder: Path
    held: contextlib.ExitStack
    """Holds the folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calls:
    """Runs processes of cells; holds what all processes of some cells share."""

    store: Store
    executor: Executor
    environment: Mapping[str, str]
    on_event: Callable[[Event], None]
    timeout: float | None
    scratch: str
    """A folder for the time that a group of cells runs."""
    plugins: PluginSelection
    metric_options: MetricOptions
    series: str = ""
    """Names what runs on one machine, where there are several."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What cells are expected to take, by key."""

    def __call__(self, process: Process) -> Ending[CellResult]:
        """Run a process to its end."""
        if (ending := self._without_a_process(process.planned)) is not None:
            return ending
        with self.store.job_folder(process.planned.key) as folder:
            target, job, asked = self._asked(process, folder)
            ending = self.executor.run(target, job, CellResult, **asked)
            return self._kept(process.planned, folder, ending)

    def begin(self, process: Process) -> Begun | Ending[CellResult]:
        """Submit a process; or return how it ended, where it needs none."""
        if (ending := self._without_a_process(process.planned)) is not None:
            return ending
        with contextlib.ExitStack() as held:
            folder = held.enter_context(self.store.job_folder(process.planned.key))
            target, job, asked = self._asked(process, folder)
            handle = self.executor.submit(job_of(target, job, **asked))
            return Begun(process=process, handle=handle, folder=folder, held=held.pop_all())

    def end(self, begun: Begun, ended: Ending[bytes]) -> Ending[CellResult]:
        """Return how a process that was submitted ended, its files kept."""
        with begun.held:
            return self._kept(begun.process.planned, begun.folder, decoded(ended, CellResult))

    def drop(self, begun: Begun) -> None:
        """End a process that was submitted."""
        with begun.held:
            self.executor.cancel(begun.handle)

    def _without_a_process(self, planned: KeyedCell) -> Ending[CellResult] | None:
        if planned.unavailable and planned.hub == "away":
            away = CellResult(status="pending", reason=planned.unavailable)
            return Ending(kind="answered", seconds=0.0, answer=away)
        if planned.unavailable:
            return Ending(kind="refused", seconds=0.0, reason=planned.unavailable)
        if isinstance(planned.cell, FigureCell) and self._trained(planned.shows) is None:
            waits = CellResult(status="pending", reason="the training that it shows has no result")
            return Ending(kind="answered", seconds=0.0, answer=waits)
        return None

    def _asked(self, process: Process, folder: Path) -> tuple[str, CellJob, dict[str, Any]]:
        """Return the target of a process, its request, and how it is to be run."""
        planned, elsewhere = process.planned, self.executor.elsewhere
        trained = (self._trained(planned.shows) or {}) if isinstance(planned.cell, FigureCell) else {}
        if elsewhere:
            trained = _taken_along(trained, folder)
        timeout, environment = self.timeout, dict(self.environment)
        if isinstance(planned.cell, SpeedCell):
            timeout = timeout or time_limit(planned.cell)
        elif isinstance(planned.cell, FigureCell):
            timeout = timeout or FIGURE_TIMEOUT
        if planned.cell.compile:
            # An empty cache of compiled code, so that the first process of a cell compiles, whatever ran before.
            environment["TORCHINDUCTOR_CACHE_DIR"] = f"{self.scratch}/{planned.key}"
        job = CellJob(
            planned=planned,
            process=process.number,
            batch_size=process.batch_size,
            timing_only=process.number >= FULL_PROCESSES,
            probe=process.probe,
            checkpoint=str(self.store.checkpoint_path(planned.key)) if isinstance(planned.cell, QualityCell) else "",
            trained=trained,
            metric_options={**self.metric_options},
            plugins=self.plugins,
        )
        alone = isinstance(planned.cell, SpeedCell)
        needs = Needs(cores=planned.cell.threads, device=planned.device, alone=alone)
        if elsewhere:
            needs = Needs(
                cores=planned.cell.threads,
                device=planned.device,
                alone=alone,
                series=self.series if alone else "",
                seconds=self.seconds.get(planned.key, 0.0),
            )
        asked: dict[str, Any] = {
            "message": Message,
            "on_message": lambda message: self.on_event(_event(planned, message)),
            "needs": needs,
            "folder": folder,
            "timeout": timeout,
            "log": self.store.log_path(planned.key),
            "environment": environment,
        }
        return _TARGET, job, asked

    def _kept(self, planned: KeyedCell, folder: Path, ending: Ending[CellResult]) -> Ending[CellResult]:
        """Move what a process left to where it stays."""
        if ending.answer is None or ending.answer.status != "ok":
            return ending
        store, key = self.store, planned.key
        places = {
            WEIGHTS: store.weights_path(key),
            PREDICTIONS: store.predictions_path(key),
            SCORES: store.scores_path(key),
            FIGURES: store.figures_path(key),
            **{kept_file(name): store.kept_path(key, name) for name in ending.answer.kept},
        }
        try:
            for name in filter(lambda name: (folder / name).exists(), places):
                move_file(folder / name, places[name])
        except StoreError as error:  # the cell's results are lost, and the others go on
            return Ending(kind="refused", seconds=ending.seconds, reason=str(error))
        return ending

    def _trained(self, key: str) -> dict[str, str] | None:
        """Return the files that a training left, by their names in its folder; None where it has no result."""
        store, found = self.store, self.store.newest_by_key().get(key)
        if found is None or found.status != "ok":
            return None
        places = {
            WEIGHTS: store.weights_path(key),
            PREDICTIONS: store.predictions_path(key),
            **{kept_file(name): store.kept_path(key, name) for name in found.kept},
        }
        return {name: str(path.absolute()) for name, path in places.items() if path.exists()}


def _taken_along(files: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Put files into the folder of a job under names that its own files do not have; return these."""
    taken = {name: f"trained-{name}" for name in files}
    for name, path in files.items():
        try:
            os.link(path, folder / taken[name])
        except OSError:  # a file system without links
            shutil.copyfile(path, folder / taken[name])
    return taken


def _event(planned: KeyedCell, message: Progress | Say) -> Event:
    return Noted(text=message.text) if isinstance(message, Say) else Progressed(planned=planned, progress=message)
