"""What an NVIDIA GPU says of itself through NVML: clock, heat, power, throttling, other processes, memory, energy.

What a GPU does not tell is None, see `vitbench.nvidia`; nothing here raises.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import pynvml
import torch

from vitbench.nvidia import ask, handle_of, is_sliced

__all__ = [
    "GpuMoment",
    "GpuWatch",
    "energy_joules",
    "gpu_disturbance",
    "gpu_disturbances",
    "gpu_facts",
    "observe_gpu",
    "process_memory",
]

CLOCK_WARNING = 0.05
"""Share by which the SM clock may fall; boost clocks move by a few steps of 15 MHz, which is 1 to 3 %."""
CLOCK_ERROR = 0.25
"""Beyond it, the blocks at the end were of another machine than those at the start."""
NEAR_SLOWDOWN = 3
"""Degrees below the slow-down at which a GPU is hot: one more model, and it throttles."""
BUSY_WARNING = 0.01
"""Share of the time in which another process's kernels ran. One that holds the GPU and computes nothing, such as an
open notebook, takes no time from anybody."""
WATCH_SECONDS = 0.25
"""How often a GPU is asked between blocks: an answer takes a millisecond or two, which is a per cent of that."""
NEIGHBOUR_SECONDS = 1.0
"""How far back another process's work counts as of now: the driver samples it every sixth of a second to a second."""

_IDLE, _POWER_CAP = "idle", "power cap"
_CLOCK_REASONS = {
    pynvml.nvmlClocksThrottleReasonGpuIdle: _IDLE,
    pynvml.nvmlClocksThrottleReasonSwPowerCap: _POWER_CAP,
    pynvml.nvmlClocksThrottleReasonSyncBoost: "sync boost with a slower GPU",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "software thermal slow-down",
    pynvml.nvmlClocksThrottleReasonHwSlowdown: "hardware slow-down",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "hardware thermal slow-down",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "hardware power brake",
}
# No reason for a verdict are: idle; the power cap, which a large model at full load reaches on a healthy GPU (where it
# bites within a measurement, the clock falls, and that is told); and the clocks that somebody set for applications,
# for the display, or that the board's voltage allows, which are the same from one run to the next.
_SLOWED = ("sync boost with a slower GPU", "software thermal slow-down")
_CRIPPLED = ("hardware thermal slow-down", "hardware power brake", "hardware slow-down")
"""These halve the clock or worse."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuMoment:
    """What a GPU said at one moment; None where it does not tell."""

    sm_clock_mhz: int | None
    """Clock of the multiprocessors."""
    max_sm_clock_mhz: int | None
    """The highest that this model of GPU can have."""
    temperature_c: int | None
    """Degrees Celsius."""
    slowdown_c: int | None
    """Degrees Celsius at which the hardware slows itself down."""
    utilisation: float | None
    """Share of the last moments (0.2 to 1 s) in which a kernel ran."""
    clock_reasons: tuple[str, ...] | None
    """Why the clock is not higher, in words."""
    other_processes: int | None
    """Processes on the GPU beside this one."""
    others_busy: float | None = None
    """Share of the last second in which kernels of other processes ran."""
    power_w: float | None = None
    """Watts that the board takes."""


def observe_gpu(device: torch.device) -> GpuMoment | None:
    """Ask a GPU now; None where the device is no NVIDIA GPU or NVML is not there."""
    handle = _handle(device)
    if handle is None:
        return None
    utilisation = ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    # The older name of the call, which all drivers know.
    bits = ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    milliwatts = ask(pynvml.nvmlDeviceGetPowerUsage, handle)
    others = _other_processes(handle, device)
    return GpuMoment(
        sm_clock_mhz=ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        max_sm_clock_mhz=ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        temperature_c=ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        slowdown_c=ask(pynvml.nvmlDeviceGetTemperatureThreshold, handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
        utilisation=None if utilisation is None else utilisation.gpu / 100,
        clock_reasons=None if bits is None else tuple(words for bit, words in _CLOCK_REASONS.items() if bits & bit),
        other_processes=others,
        others_busy=_others_busy(handle) if others else None,
        power_w=None if milliwatts is None else milliwatts / 1000,
    )


class GpuWatch:
    """Asks a GPU again and again, between blocks and never within one, and keeps what it said.

    Of a device that is no NVIDIA GPU there is nothing to keep, and asking costs nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self.moments: list[GpuMoment] = []
        self._device = device
        self._next = 0.0

    @property
    def latest(self) -> GpuMoment | None:
        """What was said last."""
        return self.moments[-1] if self.moments else None

    def look(self) -> None:
        """Ask, unless that was done a moment ago; to be called when the GPU has done its work, before it is idle."""
        if self._device.type != "cuda" or time.perf_counter() < self._next:
            return
        moment = observe_gpu(self._device)
        if moment is not None:
            self.moments.append(moment)
        self._next = time.perf_counter() + WATCH_SECONDS

    def forget(self) -> None:
        """Keep nothing of what was said so far."""
        self.moments.clear()
        self._next = 0.0


def gpu_disturbances(
    start: GpuMoment, end: GpuMoment, *, between: Sequence[GpuMoment] = (), peers: int = 0, slows: bool = True
) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) in words on what a GPU did between two moments of one measurement.

    Args:
        start: from after the warm-up.
        end: from right after the last synchronisation.
        between: what it said meanwhile.
        peers: other processes on the GPU that are known to be idle meanwhile.
        slows: whether clocks and heat are disturbances; not where they are what is measured.
    """
    moments = (start, *between, end)
    warnings, errors = _slow_reasons(moments) if slows else ([], [])
    others = max(moment.other_processes or 0 for moment in moments) - peers
    # The work of a peer, which has its turn between blocks of this process, cannot be told from that of a neighbour.
    busy = None if peers else _busy(moments)
    if others > 0 and (busy is None or busy > BUSY_WARNING):
        who = "another process on the GPU" if others == 1 else f"{others} other processes on the GPU"
        warnings.append(who if busy is None else f"{who}, busy for {busy:.0%} of the time")
    return warnings, errors


def gpu_disturbance(start: GpuMoment, end: GpuMoment, *, peers: int = 0) -> float:
    """Return the share of a GPU that was taken from a measurement between two moments, 0 to 1.

    It is the share of the time in which other processes' kernels ran, or all of it: where the GPU does not tell who
    worked and others are on it, and where its clock fell or it was throttled.
    """
    slowed, crippled = _slow_reasons((start, end), heat=False)
    if slowed or crippled:
        return 1.0
    others = max(moment.other_processes or 0 for moment in (start, end)) - peers
    if others <= 0:
        return 0.0
    busy = None if peers else _busy((start, end))
    return 1.0 if busy is None else busy


def _slow_reasons(moments: Sequence[GpuMoment], *, heat: bool = True) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) on what made a GPU slower than it was at the first moment, or may soon."""
    warnings: list[str] = []
    errors: list[str] = []
    fall = _clock_fall(moments)
    if fall > CLOCK_WARNING:
        (errors if fall > CLOCK_ERROR else warnings).append(f"SM clock fell {fall:.0%}")
    told = {reason for moment in moments for reason in moment.clock_reasons or ()}
    crippled = [reason for reason in _CRIPPLED if reason in told]
    if len(crippled) > 1 and crippled[-1] == "hardware slow-down":  # which the others bring along
        crippled.pop()
    errors += [f"the GPU was throttled: {reason}" for reason in crippled]
    warnings += [f"the GPU was throttled: {reason}" for reason in _SLOWED if reason in told]
    hot, limit = moments[-1].temperature_c, moments[-1].slowdown_c
    if heat and hot is not None and limit is not None and hot >= limit - NEAR_SLOWDOWN:
        warnings.append(f"the GPU is at {hot} °C and slows down at {limit} °C")
    return warnings, errors


def _clock_fall(moments: Sequence[GpuMoment]) -> float:
    """Return the share by which the clock fell under load; below 0 where it rose, as it does on the way from idle.

    Between the first moment and the last the median counts, so that a single reading makes no verdict.
    """
    first, *others, last = moments
    # An idle GPU lowers its clock: such a reading came too late to tell of the load.
    loaded = [m.sm_clock_mhz for m in others if m.sm_clock_mhz is not None and _IDLE not in (m.clock_reasons or ())]
    seen = [median(loaded)] if loaded else []
    if last.sm_clock_mhz is not None and _IDLE not in (last.clock_reasons or ()):
        seen.append(last.sm_clock_mhz)
    if not first.sm_clock_mhz or not seen:
        return 0.0
    return 1 - min(seen) / first.sm_clock_mhz


def _busy(moments: Sequence[GpuMoment]) -> float | None:
    """Return the largest share in which other processes worked; None where a GPU with others on it does not tell."""
    known = [moment.others_busy for moment in moments if moment.other_processes]
    return None if None in known else max((share for share in known if share is not None), default=0.0)


def gpu_facts(start: GpuMoment, end: GpuMoment, *, between: Sequence[GpuMoment] = ()) -> dict[str, float]:
    """Return what is known, by name: the clock's course, the highest temperature and power, the rest at the end."""
    moments = (start, *between, end)
    clocks = [moment.sm_clock_mhz for moment in moments if moment.sm_clock_mhz is not None]
    heats = [moment.temperature_c for moment in moments if moment.temperature_c is not None]
    powers = [moment.power_w for moment in moments if moment.power_w is not None]
    facts = {
        "gpu_moments": len(moments),
        "gpu_sm_clock_start_mhz": start.sm_clock_mhz,
        "gpu_sm_clock_min_mhz": min(clocks, default=None),
        "gpu_sm_clock_mean_mhz": mean(clocks) if clocks else None,
        "gpu_sm_clock_mhz": end.sm_clock_mhz,
        "gpu_max_sm_clock_mhz": end.max_sm_clock_mhz,
        "gpu_temperature_c": max(heats, default=None),
        "gpu_power_mean_w": mean(powers) if powers else None,
        "gpu_power_max_w": max(powers, default=None),
        "gpu_utilisation": end.utilisation,
        "gpu_power_capped": None
        if end.clock_reasons is None
        else any(_POWER_CAP in (moment.clock_reasons or ()) for moment in moments),
        "gpu_other_processes": end.other_processes,
        "gpu_others_busy": _busy(moments) if end.other_processes else None,
    }
    return {name: float(value) for name, value in facts.items() if value is not None}


def process_memory(device: torch.device) -> int | None:
    """Return the bytes that this process holds on a GPU, the CUDA context included; None where NVML does not tell."""
    processes = _processes(_handle(device))
    own = [process for process in processes or () if process.pid == os.getpid()]
    if not own and processes and len(processes) == 1 and _in_use(device):
        own = processes  # under its number outside the container
    # Within a container, some drivers know the process and give 0 for its memory.
    return (own[0].usedGpuMemory or None) if own else None


def energy_joules(device: torch.device) -> float | None:
    """Return the energy that a GPU took since its driver was loaded; None where it does not count it."""
    handle = _handle(device)
    millijoules = None if handle is None or is_sliced(handle) else ask(_total_energy, handle)
    return None if millijoules is None else millijoules / 1000


def _total_energy(handle: Any) -> int:
    return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))


def _other_processes(handle: Any, device: torch.device) -> int | None:
    processes = _processes(handle)
    if processes is None:
        return None
    numbers = {process.pid for process in processes}
    if os.getpid() in numbers:
        return len(numbers) - 1
    # In a container NVML may give the numbers outside it, where one that is not ours is ours.
    return max(len(numbers) - _in_use(device), 0)


def _others_busy(handle: Any) -> float | None:
    """Return the share of the last second in which kernels of other processes ran; None where that is not told.

    Of processes under their numbers outside a container it is not known which is this one.
    """
    numbers = {process.pid for process in _processes(handle) or ()}
    if os.getpid() not in numbers:
        return None
    since = int((time.time() - NEIGHBOUR_SECONDS) * 1e6)  # as NVML stamps its samples: microseconds since the epoch
    try:
        samples = pynvml.nvmlDeviceGetProcessUtilization(handle, since)
    except pynvml.NVMLError as error:
        # So it answers where nobody has worked since.
        return 0.0 if error.value in (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_SUCCESS) else None
    most = dict.fromkeys(numbers - {os.getpid()}, 0.0)  # its buffer may hold others, which have ended
    for sample in samples:
        if sample.pid in most:
            most[sample.pid] = max(most[sample.pid], sample.smUtil / 100)
    return min(1.0, sum(most.values()))


def _processes(handle: Any | None) -> list[Any] | None:
    if handle is None or is_sliced(handle):
        return None
    processes: list[Any] | None = ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    return processes


def _in_use(device: torch.device) -> bool:
    """Whether this process surely has a context on a GPU."""
    return torch.cuda.memory_reserved(device) > 0


def _handle(device: torch.device) -> Any | None:
    if device.type != "cuda":
        return None
    return handle_of(str(torch.cuda.get_device_properties(device).uuid))
