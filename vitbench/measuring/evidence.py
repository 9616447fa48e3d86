"""Evidence on how undisturbed a timed region was, and the rules that turn it into reasons for a verdict.

The sharpest witness is the kernel's run delay (``/proc/self/task/*/schedstat``: nanoseconds on a processor, nanoseconds
runnable but waiting for one): it needs no assumption on how many threads a model keeps busy, and no time to build up,
as the load average does. https://docs.kernel.org/scheduler/sched-stats.html. Stops by a quota are counted in
``cpu.stat`` (https://docs.kernel.org/scheduler/sched-bwc.html), clocks in ``cpufreq``
(https://docs.kernel.org/admin-guide/pm/cpufreq.html).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from vitbench.environment import control_groups, cpu_quota, usable_cores
from vitbench.measuring.gpu import GpuMoment, gpu_disturbance, gpu_disturbances, gpu_facts, observe_gpu

if TYPE_CHECKING:
    import torch

__all__ = ["Moment", "disturbance", "disturbances", "facts", "glance", "observe", "run_delay"]

# Seen on two cores of a virtual machine with one and with two threads: share 0.99 to 1.00 when quiet, 0.2 to 0.5 beside
# three busy processes.
SHARE_WARNING = 0.95
"""Below this share of the processor time that it wanted, a process was disturbed."""
SHARE_ERROR = 0.70
"""Below this share, the time belongs more to the neighbours than to the model."""
DELAY_WARNING = 0.05
"""Share of the time for which a GPU's host threads may wait for a processor. A model whose kernels are short waits with
them, one whose kernels are long does not: it is not an error, and the spread shows it."""
THROTTLED_WARNING = 0.01
"""Share of the time that the quota took; a process that keeps within its quota is never stopped."""
CLOCK_WARNING = 0.10
"""Share by which the processor's clock may fall; a busy core moves by a few per cent."""
STOLEN_WARNING = 0.05
"""Share of the processors that the host of a virtual machine took; a few per cent are always gone."""
LOAD_MARGIN = 1.0
"""Load average above the number of cores. A full machine has a load of its cores, often from the cell before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Counters at one moment; the difference of two describes the time between them."""

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
    load: float
    """Load average of the last minute, of the whole host."""
    throttled: float | None = None
    """Seconds that the quota stopped the control group, summed over processors; None where this is not counted."""
    clock_mhz: float | None = None
    """Clock of the core that the calling thread is on; None where it is hidden, as in most virtual machines."""
    gpu: GpuMoment | None = None
    """None where the device is no NVIDIA GPU."""


def observe(device: torch.device) -> Moment:
    """Read the counters now, those of a GPU too where `device` is one; this takes one or two milliseconds."""
    gpu = observe_gpu(device)  # first: an idle GPU soon lowers its clock
    clock, throttled = _clock_mhz(), _throttled()
    return replace(glance(gpu), clock_mhz=clock, throttled=throttled)


def glance(gpu: GpuMoment | None = None) -> Moment:
    """Read the counters of the processor alone, in a tenth of a millisecond: between blocks that take turns.

    Args:
        gpu: what a GPU said just now.
    """
    ran, waited = _scheduled()
    return Moment(
        wall=time.perf_counter(),
        thread=time.thread_time(),
        ran=ran,
        waited=waited,
        stolen=getattr(psutil.cpu_times(), "steal", 0.0),
        switches=psutil.Process().num_ctx_switches().involuntary,
        load=psutil.getloadavg()[0],
        gpu=gpu,
    )


def run_delay() -> float:
    """Return the seconds that the calling thread could have run and waited for a processor; 0 if that is not told."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


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


def _throttled(root: Path = Path("/")) -> float | None:
    """Return the seconds that a quota stopped this process's control group or one above it, whichever was worse."""
    stopped = []
    for folder in control_groups(root, "cpu"):
        try:
            counters = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
        except OSError:
            continue
        if "throttled_usec" in counters:
            stopped.append(int(counters["throttled_usec"]) / 1e6)
        elif "throttled_time" in counters:  # version 1, nanoseconds
            stopped.append(int(counters["throttled_time"]) / 1e9)
    return max(stopped, default=None)


def _clock_mhz(root: Path = Path("/")) -> float | None:
    """Return the clock of the core that the calling thread is on: idle cores lower theirs, and say nothing."""
    try:
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the 39th field, of which a name with spaces is
        # the second.
        core = (root / "proc/thread-self/stat").read_text().rpartition(")")[2].split()[36]
        return int((root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq").read_text()) / 1000
    except OSError:
        return None


def disturbances(
    start: Moment,
    end: Moment,
    *,
    threads: int,
    on_cpu: bool,
    gpu_peers: int = 0,
    gpu_between: Sequence[GpuMoment] = (),
    clocks: bool = True,
    since: Moment | None = None,
) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) in words on the time between two moments.

    Args:
        start: counters before the timed region.
        end: counters after it.
        threads: torch's threads.
        on_cpu: whether the model runs on the CPU; on a GPU, the host's threads rightly sleep, but should not have to
            wait for a processor when they have a kernel to start.
        gpu_peers: other processes on the GPU that are known to be idle meanwhile.
        gpu_between: what the GPU said between the two moments.
        clocks: whether it is a disturbance that clocks fall, or that a GPU is hot; not where that is what is measured.
        since: an earlier moment, from which on the host's share is counted: it moves in ticks of 10 ms, and one of them
            is a large share of a short region. None: `start`.
    """
    warnings, errors = _processor_reasons(start, end, threads, clocks) if on_cpu else (_host_reasons(start, end), [])
    throttled = _throttled_share(start, end, threads if on_cpu else 1)
    if throttled is not None and throttled > THROTTLED_WARNING:
        warnings.append(f"the quota stopped the process for {throttled:.0%} of the time")
    stolen = _stolen_share(since or start, end)
    if stolen > STOLEN_WARNING:
        warnings.append(f"the host took {stolen:.0%} of the processors")
    # The load average counts the whole host, so it is compared with the host's cores.
    if end.load > _processors() + LOAD_MARGIN:
        warnings.append(f"load average {end.load:.1f} on {_processors()} cores")
    if start.gpu is not None and end.gpu is not None:
        of_gpu = gpu_disturbances(start.gpu, end.gpu, between=gpu_between, peers=gpu_peers, slows=clocks)
        warnings += of_gpu[0]
        errors += of_gpu[1]
    return warnings, errors


def disturbance(start: Moment, end: Moment, *, on_cpu: bool, gpu_peers: int = 0, since: Moment | None = None) -> float:
    """Return the share of the processor, or of the GPU, that the machine took between two moments, 0 to 1.

    It is what other processes took, by the kernel's run delay or, where that is hidden, by the process's own time where
    it was switched out; and what the host of a virtual machine took. On a GPU it is the time that the host's threads
    waited for a processor, or what other processes took of the GPU, whichever is more.

    Args:
        start: counters before the timed region.
        end: counters after it.
        on_cpu: whether the model runs on the CPU.
        gpu_peers: other processes on the GPU that are known to be idle meanwhile.
        since: an earlier moment, from which on the host's share is counted, as in `disturbances`.
    """
    stolen = _stolen_share(since or start, end)
    if not on_cpu:
        of_gpu = gpu_disturbance(start.gpu, end.gpu, peers=gpu_peers) if start.gpu and end.gpu else 0.0
        return min(1.0, max(_delay_share(start, end) + stolen, of_gpu))
    known = end.ran > start.ran
    waited = 1 - _processor_share(start, end) if known or end.switches > start.switches else 0.0
    return min(1.0, waited + stolen)


def _host_reasons(start: Moment, end: Moment) -> list[str]:
    """Return warnings on the threads that give a GPU its work."""
    share = _delay_share(start, end)
    return [f"the host's threads waited {share:.0%} of the time for a processor"] if share > DELAY_WARNING else []


def _processor_reasons(start: Moment, end: Moment, threads: int, clocks: bool) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) on the processor that a model ran on."""
    warnings: list[str] = []
    errors: list[str] = []
    share = _processor_share(start, end)
    if share < SHARE_WARNING:
        switches = end.switches - start.switches
        reason = f"had the processor {share:.0%} of the time ({switches} involuntary context switches)"
        (errors if share < SHARE_ERROR else warnings).append(reason)
    quota, cores = cpu_quota(), usable_cores()
    if threads > cores:
        limit = f"a quota of {quota:g} cores" if quota is not None and quota < threads else f"{cores} usable cores"
        warnings.append(f"{threads} threads on {limit}")
    if clocks and start.clock_mhz and end.clock_mhz is not None:
        fall = 1 - end.clock_mhz / start.clock_mhz
        if fall > CLOCK_WARNING:
            warnings.append(f"the CPU clock fell {fall:.0%}")
    return warnings, errors


def facts(start: Moment, end: Moment, *, threads: int, gpu_between: Sequence[GpuMoment] = ()) -> dict[str, float]:
    """Return what was observed between two moments, by name, for the record; what is not known is left out.

    Seconds for times, shares of 1, MHz for clocks; of the GPU, as `vitbench.measuring.gpu.gpu_facts` names it.
    """
    known = {
        "seconds": end.wall - start.wall,
        "processor_share": _processor_share(start, end),
        "delay_share": _delay_share(start, end),
        "involuntary_switches": end.switches - start.switches,
        "stolen_share": _stolen_share(start, end),
        "throttled_share": _throttled_share(start, end, threads),
        "load": end.load,
        "threads": threads,
        "usable_cores": usable_cores(),
        "quota": cpu_quota(),
        "clock_start_mhz": start.clock_mhz,
        "clock_mhz": end.clock_mhz,
    }
    of_gpu = gpu_facts(start.gpu, end.gpu, between=gpu_between) if start.gpu is not None and end.gpu is not None else {}
    return {name: float(value) for name, value in known.items() if value is not None} | of_gpu


def _processor_share(start: Moment, end: Moment) -> float:
    """Return the share of the wanted processor time that the process got, 0 to 1."""
    # The run delay, which counts a stop by a quota as well, and does not ask what threads do that have nothing to do:
    # they spin or sleep (OMP_WAIT_POLICY).
    ran, waited = end.ran - start.ran, end.waited - start.waited
    if ran > 0 and waited >= 0:
        return ran / (ran + waited)
    # The scheduler tells nothing, or took the counts of a thread that ended out of its sums.
    return min(1.0, max(0.0, (end.thread - start.thread) / (end.wall - start.wall)))


def _delay_share(start: Moment, end: Moment) -> float:
    """Return the share of the time for which this process's threads could have run and waited for a processor, 0 to 1.

    Of the wall time, or of what the threads wanted, where several of them want more than that. 0 where the scheduler
    reports nothing, or took the counts of a thread that ended out of its sums.
    """
    waited = max(0.0, end.waited - start.waited)
    return waited / max(end.wall - start.wall, end.ran - start.ran + waited)


def _throttled_share(start: Moment, end: Moment, threads: int) -> float | None:
    """Return the share of the time that the quota took; each processor with a busy thread counts its own stops."""
    if start.throttled is None or end.throttled is None:
        return None
    return min(1.0, (end.throttled - start.throttled) / (threads * (end.wall - start.wall)))


def _stolen_share(start: Moment, end: Moment) -> float:
    """Return the share of all processors' time that the host took."""
    return (end.stolen - start.stolen) / ((end.wall - start.wall) * _processors())


def _processors() -> int:
    return os.cpu_count() or 1
