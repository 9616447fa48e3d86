"""The examining child of `vitbench doctor`: watch the machine while a fixed workload runs, then judge what was seen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
import torch

from vitbench.data.locate import default_cache_root
from vitbench.doctor import gpu_checks, host_checks
from vitbench.doctor.messages import Examined, MachineCheck
from vitbench.doctor.noise_floor import block_seconds, fixed_work
from vitbench.environment import cpu_quota, gpu_settings, machine_class, memory_bytes, resolve_device, usable_cores
from vitbench.errors import UnusableError
from vitbench.execution.executor import Send
from vitbench.measuring.evidence import Moment, facts, observe
from vitbench.measuring.noise import relative_spread
from vitbench.planning.suite import Conditions
from vitbench.store import default_output

__all__ = ["examine_in_child"]


def examine_in_child(request: bytes, folder: Path | None, send: Send) -> Examined:
    """Decode the conditions of a run and examine the machine for it.

    Raises:
        UsageError: the device is none.
        UnusableError: it is not there; the message says why, where that is known.
    """
    asked = msgspec.msgpack.decode(request, type=Conditions).device
    try:
        return _examine(resolve_device(asked), asked)
    except UnusableError as error:
        check = _driver_check()
        why = "" if check.ok else f" {check.found}. {check.advice}"
        raise UnusableError(f"{error}{why}") from error


def _examine(device: str, asked: str) -> Examined:
    threads = torch.get_num_threads()  # before anything sets it
    watched = _watch(torch.device(device))
    checks = [*_lasting_checks(threads), *_passing_checks(watched)]
    if asked == "auto" or device.startswith("cuda"):
        checks.append(_driver_check())
    if device.startswith("cuda"):
        checks.append(gpu_checks.gpu_check(watched.start.gpu, watched.end.gpu))
        checks.append(gpu_checks.settings_check(gpu_settings(device)))
    floor = relative_spread(watched.block_seconds)
    return Examined(
        machine_class=machine_class(device),
        checks=(*checks, host_checks.noise_check(floor)),
        noise_floor=floor,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Watched:
    """What was seen while the fixed workload ran."""

    block_seconds: list[float]
    start: Moment
    end: Moment
    busy: dict[str, float]
    """The share of one core that each other process took."""
    swapped: int
    """Bytes moved into and out of swap."""


def _watch(device: torch.device) -> _Watched:
    processes, swapped = host_checks.processor_seconds(), _swapped()
    start = observe(device)
    blocks = block_seconds(fixed_work())
    end = observe(device)
    return _Watched(
        block_seconds=blocks,
        start=start,
        end=end,
        busy=host_checks.busy_shares(processes, host_checks.processor_seconds(), end.wall - start.wall),
        swapped=_swapped() - swapped,
    )


def _swapped() -> int:
    """Return the bytes that were moved into and out of swap since the system started."""
    swap = psutil.swap_memory()
    return int(swap.sin + swap.sout)


def _lasting_checks(threads: int) -> list[MachineCheck]:
    """Judge what stays as it is until somebody changes it."""
    usable, processors = usable_cores(), os.cpu_count() or 1
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(processors))
    checks = [
        host_checks.cores_check(affinity=len(cores), processors=processors, quota=cpu_quota(), usable=usable),
        host_checks.threads_check(default=threads, usable=usable, variable=os.environ.get("OMP_NUM_THREADS")),
        host_checks.frequency_check(cores),
        host_checks.timer_check(),
        host_checks.folder_check("results folder", default_output().absolute()),
        host_checks.folder_check("image cache", default_cache_root().absolute()),
    ]
    battery = psutil.sensors_battery()
    if battery is not None:
        checks.append(host_checks.power_check(plugged=battery.power_plugged is not False))
    return checks


def _passing_checks(watched: _Watched) -> list[MachineCheck]:
    """Judge what may be otherwise a minute later."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    observed = facts(watched.start, watched.end, threads=1)
    checks = [
        host_checks.memory_check(
            available=memory.available,
            total=memory.total,
            limit=memory_bytes(),
            swap_used=swap.used,
            swapped=watched.swapped,
        ),
        host_checks.neighbours_check(
            watched.busy, load=observed["load"], usable=usable_cores(), processors=os.cpu_count() or 1
        ),
        host_checks.processor_check(observed["processor_share"]),
        host_checks.steal_check(observed["stolen_share"]),
    ]
    if cpu_quota() is not None and "throttled_share" in observed:
        checks.append(host_checks.throttling_check(observed["throttled_share"]))
    return checks


def _driver_check() -> MachineCheck:
    return gpu_checks.driver_check(gpu_checks.read_driver(), os.environ)
