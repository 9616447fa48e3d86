"""NVIDIA's library NVML: a GPU's handle, questions that may stay unanswered, and how the GPU is set.

NVML numbers the GPUs by itself, whatever CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER say, so a device is found by the
UUID that CUDA gives. What a GPU, a slice of one (MIG), a driver or a container does not tell is None; nothing here
raises. https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pynvml

__all__ = ["ask", "driver_version", "gpu_settings", "handle_of", "is_sliced", "uuids"]


@functools.cache  # starting NVML takes tens of milliseconds
def handle_of(uuid: str) -> Any | None:
    """Return NVML's handle of a GPU or of a slice of one, by the UUID that CUDA gives; None where it has none."""
    if not _starts():
        return None
    handles = (ask(pynvml.nvmlDeviceGetHandleByUUID, kind + uuid) for kind in ("GPU-", "MIG-"))
    return next((handle for handle in handles if handle is not None), None)


def ask(call: Callable[..., Any], *arguments: Any) -> Any | None:
    """Return what NVML answers; None where it does not tell."""
    try:
        return call(*arguments)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
        return None


def is_sliced(handle: Any) -> bool:
    """Whether a handle is of a whole GPU whose slices (MIG) work apart: its processes and energy are all slices'."""
    mode = ask(pynvml.nvmlDeviceGetMigMode, handle)
    return mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE


def driver_version() -> str:
    """Return the driver's version; empty where NVML is not there."""
    version = ask(pynvml.nvmlSystemGetDriverVersion) if _starts() else None
    return "" if version is None else str(version)


def uuids() -> list[str]:
    """Return the UUIDs of the GPUs that the driver knows, by NVML's numbers; an empty list where NVML is not there."""
    count = ask(pynvml.nvmlDeviceGetCount) if _starts() else None
    handles = [ask(pynvml.nvmlDeviceGetHandleByIndex, index) for index in range(count or 0)]
    return [str(ask(pynvml.nvmlDeviceGetUUID, handle)) for handle in handles if handle is not None]


def gpu_settings(handle: Any | None) -> dict[str, float]:
    """Return what is set of a GPU and changes its speed, by name; what it does not tell is left out.

    Watts for limits, MHz for clocks, bytes for memory; 1 and 0 for what is on or off.
    """
    if handle is None:
        return {}
    of_the_gpu = functools.partial(_asked_of, handle)
    ecc = of_the_gpu(pynvml.nvmlDeviceGetEccMode)
    memory = of_the_gpu(pynvml.nvmlDeviceGetMemoryInfo)
    mig = of_the_gpu(pynvml.nvmlDeviceGetMigMode)
    known = {
        "gpus_of_the_machine": ask(pynvml.nvmlDeviceGetCount),
        "memory_bytes": None if memory is None else memory.total,
        "power_limit_w": _watts(of_the_gpu(pynvml.nvmlDeviceGetEnforcedPowerLimit)),
        "default_power_limit_w": _watts(of_the_gpu(pynvml.nvmlDeviceGetPowerManagementDefaultLimit)),
        "max_sm_clock_mhz": of_the_gpu(pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_SM),
        "max_memory_clock_mhz": of_the_gpu(pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_MEM),
        "application_sm_clock_mhz": of_the_gpu(pynvml.nvmlDeviceGetApplicationsClock, pynvml.NVML_CLOCK_SM),
        "ecc": None if ecc is None else ecc[0],
        "persistence": of_the_gpu(pynvml.nvmlDeviceGetPersistenceMode),
        "mig": None if mig is None else mig[0],
        # The link's present generation says nothing: an idle GPU lowers it.
        "pcie_generation": of_the_gpu(pynvml.nvmlDeviceGetMaxPcieLinkGeneration),
        "pcie_width": of_the_gpu(pynvml.nvmlDeviceGetCurrPcieLinkWidth),
        "max_pcie_width": of_the_gpu(pynvml.nvmlDeviceGetMaxPcieLinkWidth),
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def _asked_of(handle: Any, call: Callable[..., Any], *arguments: Any) -> Any | None:
    return ask(call, handle, *arguments)


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _starts() -> bool:
    """Start NVML, which may be done again; False where there is no driver, as with a ROCm build of torch."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True
