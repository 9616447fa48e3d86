"""One attempt at a cell: its processes as they end, merged into one record."""

from __future__ import annotations

import itertools
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from vitbench.execution.executor import Ending
from vitbench.execution.messages import CellResult
from vitbench.records import KeyedCell, Level, Measurement, QualityCell, Ratio, Record, Status, Verdict, doubt
from vitbench.running.largest_batch import LargestBatch
from vitbench.statistics import Estimate, process_mean

__all__ = ["FULL_PROCESSES", "Attempt", "merge_processes", "status_of"]

Found = TypeVar("Found")

FULL_PROCESSES = 3
"""Processes of a speed cell that measure all there is: memory, energy and start-up, too. Later ones only time."""
VALID_HALF_WIDTH, WARNING_HALF_WIDTH = 0.05, 0.10
"""Half of the interval of a ratio to the reference network, as a share of it, up to which it is valid, or doubtful."""
SETTLED, HOPELESS = 0.03, 0.20
"""The same after the first processes, up to which these suffice, and beyond which more would not make it valid.
Processes that scatter widely and happen to agree would else be called valid."""
LOOK_CONFIDENCE = 0.96
"""Level of the interval, for 95 % over both looks: simulated with processes that differ by 1 to 6 %, it holds the ratio
in 94.5 to 96 % of all figures, and in 93 to 96 % of those that are called valid."""
PROCESSES_AGREE = 0.10
"""Range of the processes' values over their median; beyond it the machine, not the model, makes the difference.
For figures without a ratio."""
SINGLES_AGREE = 0.50
"""The same for what each process does once, such as a cold start."""


@dataclass(kw_only=True, slots=True)
class Attempt:
    """One attempt at a cell while its processes run."""

    planned: KeyedCell
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    endings: list[Ending[CellResult]] = field(default_factory=list)
    by_ratio: bool = True
    """Whether the ratio to the reference network ranks and compares, or what was measured
    (`vitbench.running.steadiness`)."""
    occasion: str = ""
    """Names the attempts whose processes take turns."""
    largest: LargestBatch | None = None
    """What the search for the largest batch found."""
    search_seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether its last process ended without a result."""
        return bool(self.endings) and status_of(self.endings[-1])[0] != "ok"

    @property
    def settled(self) -> bool:
        """Whether its processes suffice, or more would not help; figures without a ratio ask for no more."""
        results = [ending.answer.measurements for ending in self.endings if ending.answer is not None]
        for one in merge_processes(results, by_ratio=self.by_ratio):
            ratio = one.ratio
            if not ratio or len(ratio.processes) < 2:
                continue
            if SETTLED < _half_width(_known(ratio, one.processes, self.by_ratio)) <= HOPELESS:
                return False
        return True

    @property
    def answered(self) -> bool:
        """Whether its last process came to an end of its own, good or bad: it was not killed, and waits for nothing."""
        return (
            bool(self.endings) and self.endings[-1].kind == "answered" and status_of(self.endings[-1])[0] != "pending"
        )

    def record(
        self, run: str, environment_digest: str, metrics: Mapping[str, str], *, interrupted: bool = False
    ) -> Record:
        """Return the attempt's record, its processes merged."""
        results = [ending.answer for ending in self.endings if ending.answer is not None]
        status: Status = "interrupted"
        reason = "the run was interrupted"
        if not interrupted:
            status, reason = status_of(self.endings[-1])
        done = status in ("ok", "invalid")
        faults, warnings = _each_once(one.faults for one in results), _each_once(one.warnings for one in results)
        measurements = merge_processes([one.measurements for one in results], by_ratio=self.by_ratio) if done else ()
        measurements = doubt(doubt(measurements, "warn", warnings), "invalid", faults)
        if self.largest:
            measurements = (self.largest.measurement(), *measurements)
            reason = reason and f"at the largest batch, {self.largest.batch_size}: {reason}"
        last = results[-1] if results else CellResult(status=status)
        return Record(
            run=run,
            planned=self.planned,
            status=status,
            reason=reason,
            started=self.started,
            occasion=self.occasion,
            seconds=time.time() - self.started
            if interrupted
            else self.search_seconds + sum(ending.seconds for ending in self.endings),
            measurements=measurements,
            curve=last.curve,
            training=last.training,
            preprocess=last.preprocess,
            environment=environment_digest,
            runtime=last.runtime,
            facts=last.facts,
            splits=last.splits,
            doubts=last.doubts,
            course=next((result.course for result in results if result.course), ()),
            evidence=tuple(result.evidence for result in results if result.evidence),
            faults=faults,
            warnings=warnings,
            measured_by=_each_once(one.measured_by for one in results),
            kept=last.kept if status == "ok" else {},
            pictures=last.pictures if status == "ok" else 0,
            place=next((ending.place for ending in reversed(self.endings) if ending.place), None),
            metrics=dict(metrics) if done and isinstance(self.planned.cell, QualityCell) else {},
        )


def _each_once(found: Iterable[tuple[Found, ...]]) -> tuple[Found, ...]:
    return tuple(dict.fromkeys(itertools.chain.from_iterable(found)))


def status_of(ending: Ending[CellResult]) -> tuple[Status, str]:
    """Return how a process ended, as a record says it."""
    if ending.answer is not None:
        return ending.answer.status, ending.answer.reason
    if ending.kind == "answered" or ending.kind == "refused":
        return "failed", ending.reason
    return ending.kind, ending.reason


def merge_processes(processes: Sequence[Sequence[Measurement]], *, by_ratio: bool = True) -> tuple[Measurement, ...]:
    """Return one measurement a name: the median of the processes' values, these, their range, their samples nested.

    A figure that is the same in every process keeps its own interval, where it has one. What the first process alone
    gives (parameters, MACs) is kept as it is, and what only those give that measure all (memory) is of these. What
    others lack has no value, so that none is ever of the fast processes alone, as a percentile that only they had the
    calls for. A ratio to the reference network has an interval over the processes, whose width is its verdict; where
    what was measured counts instead, the width of its own is, and what disturbed the machine.
    """
    if len(processes) == 1:
        return tuple(processes[0])
    by_name: dict[str, dict[int, Measurement]] = {}
    for number, process in enumerate(processes):
        for measurement in process:
            by_name.setdefault(measurement.name, {})[number] = measurement
    return tuple(_merge(given, len(processes), by_ratio) for given in by_name.values())


def _merge(given: Mapping[int, Measurement], processes: int, by_ratio: bool) -> Measurement:
    same = tuple(given.values())
    values = [one.value for one in same if one.value is not None]
    verdict = _worst([one.verdict if by_ratio or one.ratio is None else one.ratio.measured for one in same])
    once = tuple(given) == (0,) and not same[0].samples
    if not same[0].samples and max(given) < FULL_PROCESSES:
        processes = min(processes, FULL_PROCESSES)
    if len(same) < processes and not once:
        lacking = f"only {len(same)} of {processes} processes gave it"
        verdict = Verdict(level="invalid", reasons=(lacking, *verdict.reasons))
        return msgspec.structs.replace(same[0], value=None, low=None, high=None, n=len(same), verdict=verdict)
    if len(values) < len(same):
        return msgspec.structs.replace(same[0], value=None, low=None, high=None, verdict=verdict)
    if once or (len(set(values)) == 1 and same[0].low is not None and not same[0].samples):
        return msgspec.structs.replace(same[0], processes=() if once else tuple(values), verdict=verdict)
    once_each = not same[0].samples and (same[0].n or 1) == 1
    middle, apart = statistics.median(values), max(values) - min(values)
    ratios = [one.ratio for one in same if one.ratio is not None]
    ratio = _merged_ratio(ratios, by_ratio) if len(ratios) == len(same) else None
    if ratio is not None:
        verdict = _of_width(verdict, _half_width(_known(ratio, values, by_ratio)), by_ratio)
    elif apart > (SINGLES_AGREE if once_each else PROCESSES_AGREE) * abs(middle):
        differ = "the processes differ by " + (f"{apart / abs(middle):.0%}" if middle else f"{apart:g}")
        verdict = Verdict(level="invalid" if verdict.level == "invalid" else "warn", reasons=(*verdict.reasons, differ))
    return msgspec.structs.replace(
        same[0],
        value=middle,
        low=min(values),
        high=max(values),
        n=len(values),
        samples=tuple(itertools.chain.from_iterable(one.samples for one in same)),
        processes=tuple(values),
        ratio=ratio,
        verdict=verdict,
    )


def _merged_ratio(ratios: Sequence[Ratio], by_ratio: bool) -> Ratio:
    """Return the ratio over several processes, of one network as all processes of an attempt are of one vitbench."""
    mean = process_mean([one.value for one in ratios], LOOK_CONFIDENCE)
    references = tuple(one.reference for one in ratios)
    return Ratio(
        value=mean.value,
        value_of_all=process_mean([one.value_of_all for one in ratios]).value,
        reference=statistics.median(references),
        network=ratios[0].network,
        quads=sum(one.quads for one in ratios),
        left_out=sum(one.left_out for one in ratios),
        samples=tuple(itertools.chain.from_iterable(one.samples for one in ratios)),
        low=mean.low,
        high=mean.high,
        processes=tuple(one.value for one in ratios),
        references=references,
        decides=by_ratio,
    )


def _known(ratio: Ratio, values: Sequence[float], by_ratio: bool) -> Estimate:
    """Return what several processes say of a figure: of its ratio, or of the measured values where these count."""
    return process_mean(ratio.processes if by_ratio else values, LOOK_CONFIDENCE)


def _half_width(found: Estimate) -> float:
    assert found.low is not None
    assert found.high is not None
    return math.sqrt(found.high / found.low) - 1


def _of_width(verdict: Verdict, half: float, by_ratio: bool) -> Verdict:
    """Return the verdict on a figure: by half of the width of its interval, and by what its processes said beside."""
    if half <= VALID_HALF_WIDTH:
        return verdict
    level: Level = "invalid" if half > WARNING_HALF_WIDTH or verdict.level == "invalid" else "warn"
    what = "ratios to the reference network" if by_ratio else "speeds"
    wide = f"known to {half:.0%} only: the processes' {what} differ"
    return Verdict(level=level, reasons=(*verdict.reasons, wide))


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
