"""Keyed cells go through the executor and come out as records in the store. The parent's half of a run.

A quality cell is one process. A speed cell is several fresh processes, taken in turn with the other models' of the same
classes, batch size and mode, since blocks of one process are not independent samples of the machine. Each round is in
an order of its own, by a fixed seed, so that no model always follows the same other one.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import msgspec

from vitbench.catalog.discovery import PluginSelection
from vitbench.errors import StoreError
from vitbench.execution.executor import Ending, Executor, Needs
from vitbench.execution.messages import (
    FIGURE_TIMEOUT,
    FIGURES,
    PREDICTIONS,
    SCORES,
    WEIGHTS,
    CellJob,
    CellResult,
    Message,
    MetricsJob,
    Progress,
    Say,
    host_ran_out,
    kept_file,
    time_limit,
)
from vitbench.files import move_file
from vitbench.measurements import plain_name
from vitbench.records import FigureCell, KeyedCell, QualityCell, Record, SpeedCell, Status
from vitbench.running.attempt import FULL_PROCESSES, Attempt, status_of
from vitbench.running.largest_batch import SearchFailed, find_largest
from vitbench.specs import OptionValue
from vitbench.store import Store

__all__ = ["Ended", "Event", "Noted", "Progressed", "Started", "run_cells", "update_metrics"]

SPEED_PROCESSES = (5, 10)
"""Fresh processes of a speed cell, and how many in all where the first ones leave a figure known too badly
(`Attempt.settled`)."""
LONG_SECONDS = 60.0
"""A cell whose processes take longer than this has no more of them than measure all there is; its interval says so."""
_TARGET = "vitbench.worker.cell:run_cell"
MetricOptions = Mapping[str, dict[str, OptionValue]]
_NO_OPTIONS: MetricOptions = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A process of a cell is about to start."""

    planned: KeyedCell
    process: int
    processes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progressed:
    """A cell gave a sign of life."""

    planned: KeyedCell
    progress: Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """A cell has a sentence for the user."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A cell's record is in the store."""

    record: Record


Event = Started | Progressed | Noted | Ended


def run_cells(
    cells: Sequence[KeyedCell],
    *,
    store: Store,
    run: str,
    environment_digest: str,
    metrics: Mapping[str, str],
    metric_options: MetricOptions = _NO_OPTIONS,
    child_environment: Mapping[str, str],
    executor: Executor,
    on_event: Callable[[Event], None],
    plugins: PluginSelection,
    timeout: float | None = None,
    by_ratio: bool = True,
    begin: Callable[[KeyedCell], KeyedCell] | None = None,
) -> None:
    """Run cells in order and append one record for each. An interruption is recorded, then raised again.

    `by_ratio` says what ranks and compares speeds, see `vitbench.running.steadiness`. `begin` gives each cell as it is
    to run, when its turn has come (`vitbench.running.pacing`).

    Raises:
        KeyboardInterrupt: the user or the system asked to stop.
    """

    def keep(attempt: Attempt, *, interrupted: bool = False) -> None:
        record = attempt.record(run, environment_digest, metrics, interrupted=interrupted)
        store.append(record)
        if not interrupted and attempt.answered:  # after the record: what lies between would be lost
            store.drop_checkpoint(record.key)
        if not interrupted:
            on_event(Ended(record=record))

    for number, group in enumerate(_groups(cells)):
        with tempfile.TemporaryDirectory(prefix="vitbench-") as scratch:
            call = _Call(
                store=store,
                executor=executor,
                environment=child_environment,
                on_event=on_event,
                timeout=timeout,
                scratch=scratch,
                plugins=plugins,
                metric_options=metric_options,
            )
            _run_group(
                [begin(each) for each in group] if begin else group, f"{run}/{number}", call, keep, by_ratio=by_ratio
            )


def _run_group(
    group: Sequence[KeyedCell], occasion: str, call: _Call, keep: Callable[..., None], *, by_ratio: bool
) -> None:
    """Run the processes of some cells in turn, and keep each attempt when it has ended or was interrupted.

    They share the machine's mood, whatever it is, and `occasion` says so: not all cells of a run do.
    """
    few, most = (SPEED_PROCESSES[0], SPEED_PROCESSES[-1]) if isinstance(group[0].cell, SpeedCell) else (1, 1)
    attempts = {planned.key: Attempt(planned=planned, occasion=occasion, by_ratio=by_ratio) for planned in group}
    wanted = dict.fromkeys(attempts, few)
    for process, planned in _rounds(group, most):
        attempt = attempts[planned.key]
        if attempt.failed or process >= wanted[planned.key]:
            continue
        if process == 0:
            attempt.started = time.time()
        try:
            call.on_event(Started(planned=planned, process=process, processes=wanted[planned.key]))
            if process == 0 and isinstance(planned.cell, SpeedCell) and planned.cell.largest_batch:
                _search(attempt, planned.cell, call)
            if not attempt.failed:
                batch_size = attempt.largest.batch_size if attempt.largest else None
                attempt.endings.append(call(planned, process, batch_size))
        except KeyboardInterrupt:
            keep(attempt, interrupted=True)
            raise
        if attempt.failed:
            pass
        elif process + 1 == FULL_PROCESSES < few and min(ending.seconds for ending in attempt.endings) > LONG_SECONDS:
            wanted[planned.key] = FULL_PROCESSES
        elif process + 1 == few and not attempt.settled:
            wanted[planned.key] = most
        if attempt.failed or process + 1 == wanted[planned.key]:
            keep(attempt)


def _rounds(group: Sequence[KeyedCell], processes: int) -> Iterator[tuple[int, KeyedCell]]:
    """Yield so many processes of each cell, round by round; the first round is in the order of the plan."""
    shuffled = list(group)
    for process in range(processes):
        if process:
            random.Random(process).shuffle(shuffled)
        yield from ((process, planned) for planned in shuffled)


def _search(attempt: Attempt, cell: SpeedCell, call: _Call) -> None:
    """Find the largest batch, each try in a process of its own; a failure is the attempt's."""
    started = time.monotonic()

    def try_batch(size: int) -> tuple[Status, str]:
        ending = call(attempt.planned, 0, size, probe=True)
        status, reason = status_of(ending)
        if ending.kind == "oom" and cell.device.startswith("cuda"):  # the system ended it, for want of its own memory
            return "failed", host_ran_out(reason)
        return status, reason

    try:
        attempt.largest = find_largest(try_batch, start=cell.batch_size)
    except SearchFailed as failure:
        found = CellResult(status=failure.status, reason=failure.reason)
        attempt.endings.append(Ending(kind="answered", seconds=0.0, answer=found))
    attempt.search_seconds = time.monotonic() - started


def update_metrics(
    records: Sequence[Record],
    *,
    store: Store,
    metrics: Mapping[str, str],
    options: MetricOptions = _NO_OPTIONS,
    executor: Executor,
    plugins: PluginSelection,
) -> list[str]:
    """Compute the metrics of stored predictions and trainings again where these were added, changed or set otherwise.

    Nothing is retrained.

    Returns:
        A sentence for each record whose metrics stay as they are, with the reason.
    """
    kept: list[str] = []
    for record in records:
        path = store.predictions_path(record.key)
        if record.status != "ok" or not isinstance(record.planned.cell, QualityCell):
            continue
        if metrics.items() <= record.metrics.items():  # one that has left, or lacks its library here, keeps its value
            continue
        job = MetricsJob(
            planned=record.planned,
            training=record.training,
            curve=record.curve,
            doubts=record.doubts,
            faults=record.faults,
            warnings=record.warnings,
            metric_options={**options},
            plugins=plugins,
        )
        with store.job_folder() as folder:
            for source, name in ((path, PREDICTIONS), (store.scores_path(record.key), SCORES)):
                with contextlib.suppress(OSError):  # the child says that it is missing
                    shutil.copyfile(source, folder / name)
            target, log = "vitbench.worker.quality:measure_again", store.log_path(record.key)
            ending = executor.run(target, job, CellResult, folder=folder, log=log)
            moved = ending.answer is not None and _moved(folder / SCORES, store.scores_path(record.key))
        if ending.answer is not None and moved:
            new = {measurement.name: measurement for measurement in ending.answer.measurements}
            told = {plain_name(name) for name in new if name != plain_name(name)}  # under options, perhaps new ones
            others = [one for one in record.measurements if one.name not in new and plain_name(one.name) not in told]
            store.append(
                msgspec.structs.replace(
                    record,
                    measurements=(*others, *new.values()),
                    measured_by=tuple(dict.fromkeys((*record.measured_by, *ending.answer.measured_by))),
                    metrics=dict(metrics),
                )
            )
        else:
            kept.append(f"the metrics of {record.planned.label} could not be computed again from {path}")
    return kept


def _moved(source: Path, target: Path) -> bool:
    try:
        move_file(source, target)
    except StoreError:
        return False
    return True


def _groups(cells: Sequence[KeyedCell]) -> Iterator[list[KeyedCell]]:
    """Yield quality cells one by one, and together the speed cells that are compared with each other."""

    def condition(planned: KeyedCell) -> object:
        cell = planned.cell
        if isinstance(cell, SpeedCell):
            return cell.num_classes, cell.batch_size, cell.mode, cell.largest_batch
        return planned.key

    for _, group in itertools.groupby(cells, key=condition):
        yield list(group)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """Runs one process of a cell; holds what all processes of a run share."""

    store: Store
    executor: Executor
    environment: Mapping[str, str]
    on_event: Callable[[Event], None]
    timeout: float | None
    scratch: str
    """A folder for the time that a group of cells runs."""
    plugins: PluginSelection
    metric_options: MetricOptions

    def __call__(
        self, planned: KeyedCell, process: int, batch_size: int | None = None, *, probe: bool = False
    ) -> Ending[CellResult]:
        if planned.unavailable:
            if planned.hub == "away":
                away = CellResult(status="pending", reason=planned.unavailable)
                return Ending(kind="answered", seconds=0.0, answer=away)
            return Ending(kind="refused", seconds=0.0, reason=planned.unavailable)
        trained = self._trained(planned.shows) if isinstance(planned.cell, FigureCell) else {}
        if trained is None:
            waits = CellResult(status="pending", reason="the training that it shows has no result")
            return Ending(kind="answered", seconds=0.0, answer=waits)
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
            process=process,
            batch_size=batch_size,
            timing_only=process >= FULL_PROCESSES,
            probe=probe,
            checkpoint=str(self.store.checkpoint_path(planned.key)) if isinstance(planned.cell, QualityCell) else "",
            trained=trained,
            metric_options={**self.metric_options},
            plugins=self.plugins,
        )
        with self.store.job_folder(planned.key) as folder:
            ending = self.executor.run(
                _TARGET,
                job,
                CellResult,
                message=Message,
                on_message=lambda message: self.on_event(_event(planned, message)),
                needs=Needs(
                    cores=planned.cell.threads, device=planned.device, alone=isinstance(planned.cell, SpeedCell)
                ),
                folder=folder,
                timeout=timeout,
                log=self.store.log_path(planned.key),
                environment=environment,
            )
            if ending.answer is not None and ending.answer.status == "ok":
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


def _event(planned: KeyedCell, message: Progress | Say) -> Event:
    return Noted(text=message.text) if isinstance(message, Say) else Progressed(planned=planned, progress=message)
