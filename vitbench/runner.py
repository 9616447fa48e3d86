"""Keyed cells go through the executor and come out as records in the store. The parent's half of a run.

A quality cell is one process. A speed cell is three fresh processes, taken in turn with the other models' of the same
classes, batch size and mode, since blocks of one process are not independent samples of the machine.
"""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from vitbench.executor import Ending, LocalExecutor
from vitbench.jobs import Job, MetricsJob, Outcome, Progress, Say
from vitbench.records import KeyedCell, Measurement, QualityCell, Record, SpeedCell, Status, Verdict
from vitbench.store import Store

__all__ = ["Ended", "Event", "Noted", "Progressed", "Started", "merge_processes", "run_cells", "update_metrics"]

SPEED_PROCESSES = 3
SPEED_TIMEOUT = 120.0
"""Seconds for one process of a speed cell; training has no limit but its signs of life."""
_TARGET = "vitbench.worker.cell:run_cell"


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
    child_environment: Mapping[str, str],
    executor: LocalExecutor,
    on_event: Callable[[Event], None],
    timeout: float | None = None,
) -> None:
    """Run cells in order and append one record for each. An interruption is recorded, then raised again.

    Raises:
        KeyboardInterrupt: the user or the system asked to stop.
    """
    for group in _groups(cells):
        processes = SPEED_PROCESSES if isinstance(group[0].cell, SpeedCell) else 1
        tries = {planned.key: _Try(planned=planned, started=time.time()) for planned in group}
        for process, planned in itertools.product(range(processes), group):
            attempt = tries[planned.key]
            if attempt.failed:
                continue
            if not attempt.endings:
                attempt.started = time.time()
            try:
                on_event(Started(planned=planned, process=process, processes=processes))
                attempt.endings.append(
                    _run_process(planned, process, store, executor, child_environment, on_event, timeout)
                )
            except KeyboardInterrupt:
                store.append(attempt.record(run, environment_digest, metrics, interrupted=True))
                raise
            if attempt.failed or len(attempt.endings) == processes:
                record = attempt.record(run, environment_digest, metrics)
                store.append(record)
                on_event(Ended(record=record))


def update_metrics(
    records: Sequence[Record], *, store: Store, metrics: Mapping[str, str], executor: LocalExecutor
) -> list[str]:
    """Compute the metrics of stored predictions again where metrics were added or changed since; nothing is retrained.

    Returns:
        A sentence for each record whose metrics stay as they are, with the reason.
    """
    kept: list[str] = []
    for record in records:
        path = store.predictions_path(record.key)
        if record.status != "ok" or record.metrics == metrics or not isinstance(record.planned.cell, QualityCell):
            continue
        job = MetricsJob(planned=record.planned, predictions=str(path), faults=record.faults, warnings=record.warnings)
        ending = executor.run(
            "vitbench.worker.quality:measure_again", job, on_message=lambda _: None, log=store.log_path(record.key)
        )
        if isinstance(ending.result, Outcome):
            new = {measurement.name: measurement for measurement in ending.result.measurements}
            others = [measurement for measurement in record.measurements if measurement.name not in new]
            store.append(msgspec.structs.replace(record, measurements=(*others, *new.values()), metrics=dict(metrics)))
        else:
            kept.append(f"the metrics of {record.planned.label} could not be computed again from {path}")
    return kept


def _groups(cells: Sequence[KeyedCell]) -> Iterator[list[KeyedCell]]:
    """Yield quality cells one by one, and together the speed cells that are compared with each other."""

    def condition(planned: KeyedCell) -> object:
        cell = planned.cell
        if isinstance(cell, SpeedCell):
            return cell.num_classes, cell.batch_size, cell.mode
        return planned.key

    for _, group in itertools.groupby(cells, key=condition):
        yield list(group)


def _run_process(
    planned: KeyedCell,
    process: int,
    store: Store,
    executor: LocalExecutor,
    child_environment: Mapping[str, str],
    on_event: Callable[[Event], None],
    timeout: float | None,
) -> Ending:
    if planned.unavailable:
        return Ending(kind="answered", seconds=0.0, result=Outcome(status="failed", reason=planned.unavailable))

    def forward(message: Progress | Say) -> None:
        if isinstance(message, Say):
            on_event(Noted(text=message.text))
        else:
            on_event(Progressed(planned=planned, progress=message))

    if timeout is None and isinstance(planned.cell, SpeedCell):
        timeout = SPEED_TIMEOUT
    return executor.run(
        _TARGET,
        Job(
            planned=planned,
            weights=str(store.weights_path(planned.key)),
            predictions=str(store.predictions_path(planned.key)),
            process=process,
        ),
        on_message=forward,
        timeout=timeout,
        log=store.log_path(planned.key),
        environment=child_environment,
    )


@dataclass(kw_only=True, slots=True)
class _Try:
    """One attempt at a cell while its processes run."""

    planned: KeyedCell
    started: float
    endings: list[Ending] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.endings) and _status(self.endings[-1])[0] != "ok"

    def record(
        self, run: str, environment_digest: str, metrics: Mapping[str, str], *, interrupted: bool = False
    ) -> Record:
        """Return the attempt's record, its processes merged."""
        outcomes = [ending.result for ending in self.endings if isinstance(ending.result, Outcome)]
        status: Status = "interrupted"
        reason = "the run was interrupted"
        if not interrupted:
            status, reason = _status(self.endings[-1])
        done = status in ("ok", "invalid")
        last = outcomes[-1] if outcomes else Outcome(status=status)
        return Record(
            run=run,
            planned=self.planned,
            status=status,
            reason=reason,
            started=self.started,
            seconds=time.time() - self.started if interrupted else sum(ending.seconds for ending in self.endings),
            measurements=merge_processes([outcome.measurements for outcome in outcomes]) if done else (),
            curve=last.curve,
            preprocess=last.preprocess,
            environment=environment_digest,
            runtime=last.runtime,
            facts=last.facts,
            splits=last.splits,
            faults=last.faults,
            warnings=last.warnings,
            metrics=dict(metrics) if done and isinstance(self.planned.cell, QualityCell) else {},
        )


def _status(ending: Ending) -> tuple[Status, str]:
    if isinstance(ending.result, Outcome):
        return ending.result.status, ending.result.reason
    return ("timeout" if ending.kind == "timeout" else "crashed"), ending.reason


def merge_processes(processes: Sequence[Sequence[Measurement]]) -> tuple[Measurement, ...]:
    """Return one measurement a name: the median of the processes' values, their range, their samples nested.

    A figure that is the same in every process (parameters, MACs) keeps its own interval.
    """
    if len(processes) == 1:
        return tuple(processes[0])
    by_name: dict[str, list[Measurement]] = {}
    for measurement in itertools.chain.from_iterable(processes):
        by_name.setdefault(measurement.name, []).append(measurement)
    return tuple(_merge(same) for same in by_name.values())


def _merge(same: Sequence[Measurement]) -> Measurement:
    values = [one.value for one in same if one.value is not None]
    verdict = _worst([one.verdict for one in same])
    if len(values) < len(same):
        return msgspec.structs.replace(same[0], value=None, low=None, high=None, verdict=verdict)
    if len(set(values)) == 1 and not same[0].samples:
        return msgspec.structs.replace(same[0], verdict=verdict)
    return msgspec.structs.replace(
        same[0],
        value=statistics.median(values),
        low=min(values),
        high=max(values),
        n=len(values),
        samples=tuple(itertools.chain.from_iterable(one.samples for one in same)),
        verdict=verdict,
    )


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst level, and each kind of reason once, those of the worst process first.

    The reasons of one kind differ from process to process in their numbers.
    """
    worst_first = sorted(verdicts, key=lambda one: ("invalid", "warn", "valid").index(one.level))
    first: dict[str, str] = {}
    count: Counter[str] = Counter()
    for reason in itertools.chain.from_iterable(one.reasons for one in worst_first):
        kind = re.sub(r"[\d.,]+", "#", reason)
        first.setdefault(kind, reason)
        count[kind] += 1
    return Verdict(
        level=worst_first[0].level,
        reasons=tuple(
            reason if count[kind] >= len(verdicts) else f"{reason}, in {count[kind]} of {len(verdicts)} processes"
            for kind, reason in first.items()
        ),
    )
