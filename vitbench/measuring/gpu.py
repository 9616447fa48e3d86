"""What an NVIDIA GPU says of itself through NVML: clock, heat, throttling, other processes, memory, energy.

NVML numbers the GPUs by itself, whatever CUDA_VISIBLE_DEVICES says, so a device is found by the UUID that CUDA gives.
What a GPU, a slice of one (MIG), a driver or a container does not tell is None; nothing here raises.
https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml
import torch

__all__ = ["GpuMoment", "energy_joules", "gpu_disturbances", "gpu_facts", "observe_gpu", "process_memory"]

CLOCK_WARNING = 0.05
"""Share by which the SM clock may fall; boost clocks move by a few steps of 15 MHz, which is 1 to 3 %."""
CLOCK_ERROR = 0.25
"""Beyond it, the blocks at the end were of another machine than those at the start."""
NEAR_SLOWDOWN = 3
"""Degrees below the slow-down at which a GPU is hot: one more model, and it throttles."""

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


def observe_gpu(device: torch.device) -> GpuMoment | None:
    """Ask a GPU now; None where the device is no NVIDIA GPU or NVML is not there."""
    handle = _handle(device)
    if handle is None:
        return None
    utilisation = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    # The older name of the call, which all drivers know.
    bits = _ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    return GpuMoment(
        sm_clock_mhz=_ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        max_sm_clock_mhz=_ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        temperature_c=_ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        slowdown_c=_ask(pynvml.nvmlDeviceGetTemperatureThreshold, handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
        utilisation=None if utilisation is None else utilisation.gpu / 100,
        clock_reasons=None if bits is None else tuple(words for bit, words in _CLOCK_REASONS.items() if bits & bit),
        other_processes=_other_processes(handle, device),
    )


def gpu_disturbances(start: GpuMoment, end: GpuMoment, *, peers: int = 0) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) in words on what a GPU did between two moments of one measurement.

    Args:
        start: from after the warm-up.
        end: from right after the last synchronisation.
        peers: other processes on the GPU that are known to be idle meanwhile.
    """
    warnings: list[str] = []
    errors: list[str] = []
    fall = _clock_fall(start, end)
    if fall > CLOCK_WARNING:
        (errors if fall > CLOCK_ERROR else warnings).append(f"SM clock fell {fall:.0%}")
    told = {*(start.clock_reasons or ()), *(end.clock_reasons or ())}
    crippled = [reason for reason in _CRIPPLED if reason in told]
    if len(crippled) > 1 and crippled[-1] == "hardware slow-down":  # which the others bring along
        crippled.pop()
    errors += [f"the GPU was throttled: {reason}" for reason in crippled]
    warnings += [f"the GPU was throttled: {reason}" for reason in _SLOWED if reason in told]
    heat, limit = end.temperature_c, end.slowdown_c
    if heat is not None and limit is not None and heat >= limit - NEAR_SLOWDOWN:
        warnings.append(f"the GPU is at {heat} °C and slows down at {limit} °C")
    others = max(start.other_processes or 0, end.other_processes or 0) - peers
    if others > 0:
        warnings.append("another process on the GPU" if others == 1 else f"{others} other processes on the GPU")
    return warnings, errors


def _clock_fall(start: GpuMoment, end: GpuMoment) -> float:
    """Return the share by which the clock fell under load; below 0 where it rose, as it does on the way from idle."""
    # An idle GPU lowers its clock: such a reading at the end came too late to tell of the load.
    if not start.sm_clock_mhz or end.sm_clock_mhz is None or _IDLE in (end.clock_reasons or ()):
        return 0.0
    return 1 - end.sm_clock_mhz / start.sm_clock_mhz


def gpu_facts(start: GpuMoment, end: GpuMoment) -> dict[str, float]:
    """Return what is known, by name: clocks at both moments, the rest at the end."""
    facts = {
        "gpu_sm_clock_start_mhz": start.sm_clock_mhz,
        "gpu_sm_clock_mhz": end.sm_clock_mhz,
        "gpu_max_sm_clock_mhz": end.max_sm_clock_mhz,
        "gpu_temperature_c": end.temperature_c,
        "gpu_utilisation": end.utilisation,
        "gpu_power_capped": None if end.clock_reasons is None else _POWER_CAP in end.clock_reasons,
        "gpu_other_processes": end.other_processes,
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
    millijoules = None if handle is None or _is_sliced(handle) else _ask(_total_energy, handle)
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


def _processes(handle: Any | None) -> list[Any] | None:
    if handle is None or _is_sliced(handle):
        return None
    processes: list[Any] | None = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    return processes


def _in_use(device: torch.device) -> bool:
    """Whether this process surely has a context on a GPU."""
    return torch.cuda.memory_reserved(device) > 0


def _is_sliced(handle: Any) -> bool:
    """Whether a handle is of a whole GPU whose slices (MIG) work apart: its processes and energy are all slices'."""
    mode = _ask(pynvml.nvmlDeviceGetMigMode, handle)
    return mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE


def _handle(device: torch.device) -> Any | None:
    if device.type != "cuda":
        return None
    return _handle_of(str(torch.cuda.get_device_properties(device).uuid))


@functools.cache  # starting NVML takes tens of milliseconds
def _handle_of(uuid: str) -> Any | None:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver; or a ROCm build of torch, which calls its devices cuda, too
        return None
    handles = (_ask(pynvml.nvmlDeviceGetHandleByUUID, kind + uuid) for kind in ("GPU-", "MIG-"))
    return next((handle for handle in handles if handle is not None), None)


def _ask(call: Callable[..., Any], *arguments: Any) -> Any | None:
    """Return what NVML answers; None where it does not tell."""
    try:
        return call(*arguments)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
        return None
