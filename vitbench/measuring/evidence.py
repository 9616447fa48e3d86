"""Evidence on how undisturbed a timed region was, and the rules that turn it into reasons for a verdict.

The sharpest witness is the kernel's run delay (``/proc/self/task/*/schedstat``: nanoseconds on a processor, nanoseconds
runnable but waiting for one): it needs no assumption on how many threads a model keeps busy, and no time to build up,
as the load average does. https://docs.kernel.org/scheduler/sched-stats.html
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from vitbench.environment import cpu_quota, usable_cores

__all__ = ["Moment", "disturbances", "noise_reasons", "observe", "relative_spread"]

# Seen on two cores of a virtual machine with one and with two threads: share 0.99 to 1.00 when quiet, 0.2 to 0.5 beside
# three busy processes.
SHARE_WARNING = 0.95
"""Below this share of the processor time that it wanted, a process was disturbed."""
SHARE_ERROR = 0.70
"""Below this share, the time belongs more to the neighbours than to the model."""
STOLEN_WARNING = 0.05
"""Share of the processors that the host of a virtual machine took; a few per cent are always gone."""
LOAD_MARGIN = 1.0
"""Load average above the number of cores. A full machine has a load of its cores, often from the cell before."""
SPREAD_WARNING = 0.05
"""Interquartile range of the blocks over their median; models that differ by less than this are hard to tell apart."""
SPREAD_ERROR = 0.25
"""Beyond it, the median says little."""
CLOCKS_AGREE = 0.10
"""CUDA events and the wall clock may differ by this share; beyond it the host, not the device, was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Counters at one moment; the difference of two tells of the time between them."""

    wall: float
    """Seconds."""
    thread: float
    """Processor seconds of the calling thread."""
    ran: float
    """Processor seconds of all threads alive, by the scheduler; 0 where it does not tell."""
    waited: float
    """Seconds that threads alive could have run but waited for a processor."""
    stolen: float
    """Seconds that the host took from all processors."""
    switches: int
    """Involuntary context switches of the process."""


def observe() -> Moment:
    """Read the counters now."""
    ran, waited = _scheduled()
    return Moment(
        wall=time.perf_counter(),
        thread=time.thread_time(),
        ran=ran,
        waited=waited,
        stolen=getattr(psutil.cpu_times(), "steal", 0.0),
        switches=psutil.Process().num_ctx_switches().involuntary,
    )


def _scheduled() -> tuple[float, float]:
    """Return the seconds that this process's threads ran and waited; zeros where the system does not tell."""
    ran = waited = 0
    for task in Path("/proc/self/task").glob("*/schedstat"):
        try:
            on_processor, in_queue, _ = task.read_text().split()
        except OSError:  # the thread ended
            continue
        ran += int(on_processor)
        waited += int(in_queue)
    return ran / 1e9, waited / 1e9


def disturbances(start: Moment, end: Moment, *, threads: int, on_cpu: bool) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) in words on the time between two moments.

    Args:
        start: counters before the timed region.
        end: counters after it.
        threads: torch's threads.
        on_cpu: whether the model runs on the CPU; on a GPU, the host's threads rightly wait.
    """
    warnings: list[str] = []
    errors: list[str] = []
    if on_cpu:
        share = _processor_share(start, end)
        if share < SHARE_WARNING:
            switches = end.switches - start.switches
            reason = f"had the processor {share:.0%} of the time ({switches} involuntary context switches)"
            (errors if share < SHARE_ERROR else warnings).append(reason)
        quota, cores = cpu_quota(), usable_cores()
        if threads > cores:
            limit = f"a quota of {quota:g} cores" if quota is not None and quota < threads else f"{cores} usable cores"
            warnings.append(f"{threads} threads on {limit}")
    processors = os.cpu_count() or 1
    stolen = (end.stolen - start.stolen) / ((end.wall - start.wall) * processors)
    if stolen > STOLEN_WARNING:
        warnings.append(f"the host took {stolen:.0%} of the processors")
    # The load average counts the whole host, so it is held against the host's cores.
    load = psutil.getloadavg()[0]
    if load > processors + LOAD_MARGIN:
        warnings.append(f"load average {load:.1f} on {processors} cores")
    return warnings, errors


def _processor_share(start: Moment, end: Moment) -> float:
    """Return the share of the wanted processor time that the process got."""
    # The calling thread computes or spins, so on a quiet machine it is never off the processor. Beside the run delay
    # of all threads this also sees throttling by a quota and waiting for swapped memory.
    calling = (end.thread - start.thread) / (end.wall - start.wall)
    wanted = end.ran - start.ran + end.waited - start.waited
    if wanted <= 0:
        return calling
    return min(calling, (end.ran - start.ran) / wanted)


def relative_spread(values: Sequence[float]) -> float:
    """Return the interquartile range over the median; 0 for a single value."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float((high - low) / middle)


def noise_reasons(block_seconds: Sequence[float]) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) in words on the spread of blocks."""
    spread = relative_spread(block_seconds)
    reasons = [f"IQR {spread:.0%} of the median"]
    if spread > SPREAD_ERROR:
        return [], reasons
    return (reasons if spread > SPREAD_WARNING else []), []
