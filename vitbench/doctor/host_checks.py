"""What of the host spoils a measurement: one small function a cause, from what was read to a `MachineCheck` in words.

Where a number also judges a measurement, its threshold is the one of `vitbench.measuring.evidence`: what doctor calls
well does not turn a verdict.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from vitbench.doctor.messages import MachineCheck, judged
from vitbench.environment import read_or_empty
from vitbench.measuring.evidence import LOAD_MARGIN, SHARE_WARNING, STOLEN_WARNING, THROTTLED_WARNING

__all__ = [
    "busy_shares",
    "cores_check",
    "folder_check",
    "frequency_check",
    "memory_check",
    "neighbours_check",
    "noise_check",
    "power_check",
    "processor_check",
    "processor_seconds",
    "steal_check",
    "threads_check",
    "throttling_check",
    "timer_check",
]

NOISE_WARNING = 0.03
"""Spread of the fixed workload: the difference from which `vitbench` calls two speeds different."""
OTHERS_WARNING = 0.05
"""Share of the usable cores that other processes take, as for the host of a virtual machine."""
BUSIEST = 3
"""Other processes to name."""
FREE_MEMORY_WARNING = 0.10
"""Share of the memory that is free; below it the system soon gives up file caches, then swaps."""
FREE_DISK_WARNING = 1 << 30
"""Bytes; the weights of one ViT-B run take a third of it."""
TICK_WARNING = 1e-6
"""Seconds; a call of the fastest models takes a hundred times as long."""
TICKS = 100
"""Ticks of the clock to watch: a hundredth of a millisecond on a good clock, 1.6 s on the worst."""


def cores_check(*, affinity: int, processors: int, quota: float | None, usable: int) -> MachineCheck:
    """Judge what affinity and quota leave of the machine's cores."""
    limits = [f"affinity allows {affinity}"] if affinity < processors else []
    limits += [f"the quota is {quota:g}"] if quota is not None else ["no quota"]
    found = f"{usable} usable of {processors}; {', '.join(limits)}"
    enough = quota is None or quota >= usable
    if quota is not None and not enough:
        found += f": even one thread is throttled for {1 - quota:.0%} of the time"
    return judged(
        "cores", enough, found, "Give the control group at least one whole core (such as `docker run --cpus 1`)."
    )


def threads_check(*, default: int, usable: int, variable: str | None) -> MachineCheck:
    """Judge how many threads libraries start by themselves.

    Args:
        default: torch's threads before anything sets them.
        usable: cores that this process may use.
        variable: the value of ``OMP_NUM_THREADS``; None: not set.
    """
    cause = f" (OMP_NUM_THREADS={variable})" if variable is not None else ""
    found = f"torch starts {default} by itself{cause}"
    few = default <= usable
    if few:
        found += f"; a run uses {usable} unless --threads is given"
    else:
        found += f", on {usable} usable cores; a run sets {usable} for torch, but other libraries start too many"
    return judged("threads", few, found, f"Set OMP_NUM_THREADS={usable}.")


def frequency_check(cores: Iterable[int], root: Path = Path("/")) -> MachineCheck:
    """Judge the frequency governors of the usable cores.

    Args:
        cores: numbers of the usable cores.
        root: the folder that holds ``sys``.
    """
    system = root / "sys/devices/system/cpu"
    governors = {read_or_empty(system / f"cpu{core}/cpufreq/scaling_governor") for core in cores} - {""}
    if not governors:
        return judged("clock frequency", True, "cannot be read here (a virtual machine or a container?)")
    found = f"governor {' and '.join(sorted(governors))}"
    boost = {"0": "on", "1": "off"}.get(read_or_empty(system / "intel_pstate/no_turbo"))
    boost = boost or {"1": "on", "0": "off"}.get(read_or_empty(system / "cpufreq/boost"))
    if boost:
        found += f", turbo {boost}"
    steady = governors == {"performance"}
    if not steady:
        found += ": the clock follows the load, and the first blocks run slower"
    advice = "`sudo cpupower frequency-set --governor performance`; restore the governor afterwards."
    return judged("clock frequency", steady, found, advice)


def processor_seconds() -> dict[psutil.Process, float]:
    """Return the processor seconds so far of each process that can be seen, except this one."""
    seconds = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if process.pid != os.getpid() and times is not None:
            seconds[process] = times.user + times.system
    return seconds


def busy_shares(
    before: Mapping[psutil.Process, float], after: Mapping[psutil.Process, float], seconds: float
) -> dict[str, float]:
    """Return the share of one core that each process took between two readings, the busiest first.

    Its words are the process's name and id, never its command line, which may hold secrets.
    """
    shares = {
        f"{process.info['name'] or 'a process'} (pid {process.pid})": (spent - before.get(process, 0.0)) / seconds
        for process, spent in after.items()
    }
    return dict(sorted(shares.items(), key=lambda item: item[1], reverse=True))


def neighbours_check(shares: Mapping[str, float], *, load: float, usable: int, processors: int) -> MachineCheck:
    """Judge what other processes take.

    Args:
        shares: the share of one core that each takes, the busiest first.
        load: load average over one minute.
        usable: cores that this process may use.
        processors: cores of the machine, which the load average counts.
    """
    total = sum(shares.values())
    named = [f"{name} {share:.0%}" for name, share in list(shares.items())[:BUSIEST] if share >= 0.01]
    found = f"they use {total:.0%} of one core"
    if named:
        found += f": {', '.join(named)}"
    found += f"; load average {load:.1f} on {processors} core{'s' if processors != 1 else ''}"
    busy = total > OTHERS_WARNING * usable
    advice = (
        "Stop them, or wait for them to finish."
        if busy
        else "Wait a minute or two for it to fall, then run this again."
    )
    return judged("other processes", not busy and load <= processors + LOAD_MARGIN, found, advice)


def processor_check(share: float) -> MachineCheck:
    """Judge the share of the processor time that one busy thread wanted and got."""
    found = f"one busy thread had a core for {share:.0%} of the time"
    ok = share >= SHARE_WARNING
    advice = (
        "Something else is running on these cores: stop it, or give vitbench dedicated cores (`taskset`, a cpuset)."
    )
    return judged("processor", ok, found if ok else f"{found}, and waited for the rest", advice)


def steal_check(share: float) -> MachineCheck:
    """Judge the share of all processors that the host of a virtual machine took."""
    found = f"the host of a virtual machine took {share:.1%} of the processors"
    advice = (
        "Other guests are busy, which cannot be fixed here: compare speeds with "
        "`vitbench compare A B --measure` only, or use a machine with cores of its own."
    )
    return judged("host", share <= STOLEN_WARNING, found, advice)


def throttling_check(share: float) -> MachineCheck:
    """Judge the share of the time for which the control group's quota stopped its processes."""
    found = f"it stopped the control group for {share:.1%} of the time while one thread was busy"
    advice = "Stop other work in the same container, or raise its quota."
    return judged("quota", share <= THROTTLED_WARNING, found, advice)


def memory_check(*, available: int, total: int, limit: int, swap_used: int, swapped: int) -> MachineCheck:
    """Judge memory.

    Args:
        available: bytes free, or at once made so.
        total: bytes of the machine.
        limit: bytes that this process may use.
        swap_used: bytes in swap; by itself no fault, what lies there may never be wanted again.
        swapped: bytes moved in or out of swap while the fixed workload ran.
    """
    found = f"{_gib(available)} free of {_gib(total)}"
    if limit < total:
        found += f", of which the control group allows {_gib(limit)}"
    found += f"; {_gib(swap_used)} in swap" if swap_used else "; no swap in use"
    if swapped:
        found += "; the system swapped while it was watched"
        advice = "Close programs that use memory; timings on a machine that swaps are meaningless."
        return judged("memory", False, found, advice)
    ok = available >= FREE_MEMORY_WARNING * total
    return judged("memory", ok, found, "Close programs that use memory before the machine starts to swap.")


def timer_check(clock: Callable[[], int] = time.perf_counter_ns, root: Path = Path("/")) -> MachineCheck:
    """Judge the clock by the time between two readings that differ: its tick or its cost, whichever is larger.

    Args:
        clock: nanoseconds, monotonic.
        root: the folder that holds ``sys``.
    """
    steps: list[int] = []
    last = clock()
    while len(steps) < TICKS:
        now = clock()
        if now > last:
            steps.append(now - last)
            last = now
    # The median: a single step may hold an interruption.
    tick = statistics.median(steps) / 1e9
    source = read_or_empty(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    found = f"it resolves {tick * 1e9:.0f} ns" + (f" (clock source {source})" if source else "")
    fine = tick <= TICK_WARNING
    advice = "Trust throughput rather than latency here; on Linux, check whether the kernel can use clocksource=tsc."
    return judged("timer", fine, found if fine else f"{found}, too coarse for single calls of a small model", advice)


def power_check(*, plugged: bool) -> MachineCheck:
    """Judge the power supply of a machine with a battery."""
    found = "plugged in" if plugged else "on battery, which slows most machines down"
    return judged("power", plugged, found, "Plug it in.")


def folder_check(name: str, folder: Path) -> MachineCheck:
    """Judge whether a folder, which need not exist yet, can be written, and the free disk there."""
    place = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(place).free
    if not place.is_dir() or not os.access(place, os.W_OK):
        advice = (
            "Run from a folder that you can write to, or choose another (--output, VITBENCH_OUTPUT, VITBENCH_CACHE)."
        )
        return judged(name, False, f"{folder} cannot be written", advice)
    advice = "Free some disk space: each trained model stores its weights."
    return judged(name, free >= FREE_DISK_WARNING, f"{_gib(free)} free at {folder}", advice)


def noise_check(floor: float) -> MachineCheck:
    """Judge the interquartile range of the fixed workload's blocks over their median."""
    found = f"blocks of a fixed workload vary by {floor:.1%} (IQR over median, one thread)"
    quiet = floor <= NOISE_WARNING
    advice = (
        "Fix the other problems and run this again; if that does not help, compare speeds with "
        "`vitbench compare A B --measure` only."
    )
    found = found if quiet else f"{found}; differences of speed below that need `vitbench compare A B --measure`"
    return judged("noise floor", quiet, found, advice)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
