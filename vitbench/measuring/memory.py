"""Peak memory of a model in one process, in a pass of its own, apart from timing.

On the CPU the kernel's own high-water mark of the resident set is read (``VmHWM``) and reset
(``/proc/self/clear_refs``); it misses no spike, as polling does, and inherits nothing from the parent, as
``ru_maxrss`` does. https://docs.kernel.org/filesystems/proc.html. On CUDA the allocator's statistics are read, and
what the device says that the process holds: torch's CUDA context is in the latter alone.

What is not the model's is kept out: memory that was freed but not yet given back (trimmed before each reading), what
torch imports at its first step (70 MiB for an optimiser; on the CPU a tiny model takes that step before the baseline),
what the first pass sets up once (the second is measured), and pages of shared libraries that are touched only now
(subtracted). On CUDA cuBLAS takes a workspace of torch's allocator at its first product (8 to 32 MiB) and keeps it: one
that is there from before is given back, so that a model without products has none in its peak, and any other has its
own.
"""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vitbench.errors import Skip
from vitbench.measuring.gpu import process_memory
from vitbench.measuring.steps import Step, plain_train_step, synchronise, training_step
from vitbench.measuring.training_memory import TrainingMemory, weight_bytes
from vitbench.protocols import MemoryUse
from vitbench.records import Mode

__all__ = ["MemoryBaseline", "measure_memory", "memory_baseline"]


_PROCESS = Path("/proc/self")
_LIBRARY = re.compile(r"\.so\b[^/]*$")
"""The end of a shared library's path, version and "(deleted)" included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryBaseline:
    """Memory in use before a model was built."""

    device: torch.device
    used: int
    """Bytes. CPU: the resident set. CUDA: allocated, without cuBLAS's workspaces."""
    libraries: int = 0
    """Bytes of the resident set that are pages of shared libraries."""
    device_free: int = 0
    """CUDA: bytes of the device that nobody used."""


def memory_baseline(device: torch.device) -> MemoryBaseline:
    """Read the memory in use now; to be called before the model and its inputs are built.

    What building a model imports would count as the model's: build it on the meta device first.

    Raises:
        Skip: peak memory cannot be measured here; the message says why.
    """
    if device.type not in ("cpu", "cuda"):
        raise Skip(f"peak memory cannot be measured on {device.type}: its allocator does not track the peak")
    if device.type == "cuda":
        _reset_peak(device)
        free, _ = torch.cuda.mem_get_info(device)
        return MemoryBaseline(device=device, used=torch.cuda.memory_allocated(device), device_free=free)
    _take_steps(_tiny_step(), device, count=1)
    _reset_peak(device)
    return MemoryBaseline(device=device, used=_status_bytes("VmRSS"), libraries=_library_bytes())


def _tiny_step() -> Step:
    """Return a training step of the smallest model, on the CPU."""
    model = nn.Linear(1, 1)
    labels = torch.zeros(1, dtype=torch.int64)
    return training_step(plain_train_step(model), model, [torch.ones(1, 1)], [labels])


def measure_memory(
    step: Step,
    model: nn.Module,
    *,
    baseline: MemoryBaseline,
    mode: Mode,
    split: Callable[[], TrainingMemory] = TrainingMemory,
) -> MemoryUse:
    """Return the peak of one forward pass or one training step, weights, inputs and optimiser state included.

    Args:
        step: a forward pass of the model or a training step.
        model: maps ``[B, C, H, W]`` to logits; training changes its weights.
        baseline: from before the model and the inputs were built.
        mode: what the step is; a forward pass runs under `torch.inference_mode`.
        split: takes another training step for its parts, as `split_training_memory` does, after the peak was read.

    Raises:
        Skip: peak memory cannot be measured here; the message says why.
    """
    device = baseline.device
    with torch.inference_mode(mode == "inference"):
        _take_steps(step, device, count=2)
    if device.type == "cuda":
        peak, absolute = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    else:
        absolute = _status_bytes("VmHWM")
        # A model so small that it fits into free space of the heap can read a page below nothing.
        peak = max(0, absolute - baseline.used - (_library_bytes() - baseline.libraries))
    held = _device_bytes(baseline)
    parts = split()
    return MemoryUse(
        mode=mode,
        peak_bytes=peak,
        absolute_peak_bytes=absolute,
        baseline_bytes=baseline.used,
        device_bytes=held,
        weights_bytes=weight_bytes(model),
        gradient_bytes=parts.gradient_bytes,
        optimiser_bytes=parts.optimiser_bytes,
        activation_bytes=parts.activation_bytes,
    )


def _device_bytes(baseline: MemoryBaseline) -> int | None:
    """Return what a CUDA device says that this process holds; None on the CPU.

    torch keeps what it has reserved until it is told otherwise, so after a step this is what the step needed. Where
    NVML does not tell, as in some containers, it is what became less free since the baseline: without the CUDA context,
    and with what other processes took or gave back.
    """
    if baseline.device.type != "cuda":
        return None
    held = process_memory(baseline.device)
    if held is not None:
        return held
    free, _ = torch.cuda.mem_get_info(baseline.device)
    return max(0, baseline.device_free - free)


def _take_steps(step: Step, device: torch.device, *, count: int) -> None:
    """Take some steps, and let the peak start again before the last."""
    for _ in range(count):
        synchronise(device)
        _reset_peak(device)
        step()
    synchronise(device)


def _give_back(device: torch.device) -> None:
    """Free what is held without need, so that the next peak is of what is used."""
    gc.collect()
    if device.type == "cuda":
        # Not public; where a version of torch lacks it, the workspaces stay.
        getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)()
        torch.cuda.empty_cache()
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
    if trim is not None:
        trim(0)


def _reset_peak(device: torch.device) -> None:
    """Let the peak start again from what is in use now."""
    if device.type == "cuda":
        _give_back(device)
        torch.cuda.reset_peak_memory_stats(device)
        return
    reset = _PROCESS / "clear_refs"
    if not reset.exists():
        raise Skip(f"peak memory needs {reset}, which this system does not have")
    _give_back(device)
    try:
        reset.write_text("5")
    except OSError as error:
        raise Skip(f"peak memory cannot be reset: {reset} is not writable ({error.strerror})") from error


def _status_bytes(field: str) -> int:
    """Return a field of /proc/self/status, in bytes."""
    for line in (_PROCESS / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise Skip(f"peak memory cannot be read: {_PROCESS}/status has no {field}")


def _library_bytes() -> int:
    """Return the resident bytes of mapped shared libraries."""
    total, in_library = 0, False
    for line in (_PROCESS / "smaps").read_text().splitlines():
        if line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024 if in_library else 0
        elif "-" in line.partition(" ")[0]:  # the first line of a mapping: addresses, then more, then its path
            in_library = _LIBRARY.search(line) is not None
    return total
