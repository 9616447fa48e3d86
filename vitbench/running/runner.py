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
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec

from vitbench.catalog.discovery import PluginSelection
from vitbench.errors import StoreError
from vitbench.execution.executor import Ending, Executor
from vitbench.execution.messages import PREDICTIONS, SCORES, CellResult, MetricsJob, host_ran_out
from vitbench.files import move_file
from vitbench.measurements import plain_name
from vitbench.records import KeyedCell, QualityCell, Record, SpeedCell
from vitbench.running.attempt import FULL_PROCESSES, Attempt, status_of
from vitbench.running.calls import Attempts, Calls, MetricOptions, Process
from vitbench.running.events import Ended, Event, Started
from vitbench.running.largest_batch import SearchFailed, find_largest
from vitbench.running.spreading import spread
from vitbench.store import Store

__all__ = ["run_cells", "update_metrics"]

SPEED_PROCESSES = (5, 10)
"""Fresh processes of a speed cell, and how many in all where the first ones leave a figure known too badly
(`Attempt.settled`)."""
LONG_SECONDS = 60.0
"""A cell whose processes take longer than this has no more of them than measure all there is; its interval says so."""
_NO_OPTIONS: MetricOptions = MappingProxyType({})
_NO_SECONDS: Mapping[str, float] = MappingProxyType({})


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
    seconds: Mapping[str, float] = _NO_SECONDS,
) -> None:
    """Run cells and append one record for each. An interruption is recorded, then raised again.

    On this machine they run in order, one at a time; on others several at once (`vitbench.running.spreading`).
    `by_ratio` says what ranks and compares speeds, see `vitbench.running.steadiness`. `begin` gives each cell as it is
    to run, when its turn has come (`vitbench.running.pacing`), and is for this machine alone. `seconds` are those that
    cells are expected to take, by key.

    Raises:
        KeyboardInterrupt: the user or the system asked to stop.
    """

    recorded: set[str] = set()

    def keep(attempt: Attempt, *, interrupted: bool = False) -> None:
        record = attempt.record(run, environment_digest, metrics, interrupted=interrupted)
        store.append(record)
        recorded.add(record.key)
        if not interrupted and attempt.answered:  # after the record: what lies between would be lost
            store.drop_checkpoint(record.key)
        if not interrupted:
            on_event(Ended(record=record))

    @contextlib.contextmanager
    def calls(series: str = "") -> Iterator[Calls]:
        with tempfile.TemporaryDirectory(prefix="vitbench-") as scratch:
            yield Calls(
                store=store,
                executor=executor,
                environment=child_environment,
                on_event=on_event,
                timeout=timeout,
                scratch=scratch,
                plugins=plugins,
                metric_options=metric_options,
                series=series,
                seconds=seconds,
            )

    if executor.elsewhere:
        spread(
            groups_of(cells),
            run,
            executor=executor,
            calls=calls,
            attempts=partial(_attempts, keep=keep, on_event=on_event, by_ratio=by_ratio),
            recorded=recorded.__contains__,
            seconds=seconds,
        )
        return
    for number, group in enumerate(groups_of(cells)):
        with calls() as call:
            begun = [begin(each) for each in group] if begin else group
            running = _attempts(begun, f"{run}/{number}", keep=keep, on_event=on_event, by_ratio=by_ratio)
            _in_turn(running, call)


def _in_turn(running: Attempts, call: Calls) -> None:
    """Run processes one by one."""
    ending = None
    while True:
        try:
            process = next(running) if ending is None else running.send(ending)
        except StopIteration:
            return
        try:
            ending = call(process)
        except KeyboardInterrupt as interruption:
            running.throw(interruption)


def _attempts(
    group: Sequence[KeyedCell],
    occasion: str,
    *,
    keep: Callable[..., None],
    on_event: Callable[[Event], None],
    by_ratio: bool,
) -> Attempts:
    """Yield the processes of some cells in turn, and keep each attempt when it has ended or was interrupted.

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
            on_event(Started(planned=planned, process=process, processes=wanted[planned.key]))
            if process == 0 and isinstance(planned.cell, SpeedCell) and planned.cell.largest_batch:
                yield from _search(attempt, planned.cell)
            if not attempt.failed:
                batch_size = attempt.largest.batch_size if attempt.largest else None
                ending = yield Process(planned=planned, number=process, batch_size=batch_size)
                if ending.place and process == 0 and not attempt.largest:  # it may have waited for a machine
                    attempt.started = time.time() - ending.seconds
                attempt.endings.append(ending)
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


def _search(attempt: Attempt, cell: SpeedCell) -> Attempts:
    """Find the largest batch, each try in a process of its own; a failure is the attempt's."""
    started, searching = time.monotonic(), find_largest(start=cell.batch_size)
    try:
        size = next(searching)
        while True:
            ending = yield Process(planned=attempt.planned, batch_size=size, probe=True)
            status, reason = status_of(ending)
            if ending.kind == "oom" and cell.device.startswith("cuda"):  # ended for want of the system's own memory
                status, reason = "failed", host_ran_out(reason)
            size = searching.send((status, reason))
    except StopIteration as found:
        attempt.largest = found.value
    except SearchFailed as failure:
        result = CellResult(status=failure.status, reason=failure.reason)
        attempt.endings.append(Ending(kind="answered", seconds=0.0, answer=result))
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


def groups_of(cells: Sequence[KeyedCell]) -> Iterator[list[KeyedCell]]:
    """Yield quality cells one by one, and together the speed cells that are compared with each other."""

    def condition(planned: KeyedCell) -> object:
        cell = planned.cell
        if isinstance(cell, SpeedCell):
            return cell.num_classes, cell.batch_size, cell.mode, cell.largest_batch
        return planned.key

    for _, group in itertools.groupby(cells, key=condition):
        yield list(group)
