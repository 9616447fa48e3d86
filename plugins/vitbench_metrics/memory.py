"""Metrics on memory: the peak of a forward pass and of a training step, and what the latter is made of, in bytes.

On the CPU the peak is the rise over what was in use before the model was built; the absolute peak of the process stands
beside it, under a name of its own. On CUDA they are the peaks of what was allocated and of what was reserved, and the
device's own figure for the process, which has torch's CUDA context in it, is a third.
"""

from __future__ import annotations

from collections.abc import Iterator

from vitbench import Measurement, Skip, Verdict
from vitbench.protocols import MemoryUse, Subject

MIB = 2**20


def peak_memory(subject: Subject) -> Iterator[Measurement]:
    """Give the peak of a forward pass; nothing for training."""
    memory = _memory(subject)
    if memory.mode == "inference":
        yield from _peaks(memory, "")


def train_peak_memory(subject: Subject) -> Iterator[Measurement]:
    """Give the peak of a training step; nothing for inference."""
    memory = _memory(subject)
    if memory.mode == "training":
        yield from _peaks(memory, "train_")


def train_memory(subject: Subject) -> Iterator[Measurement]:
    """Give the parts of a training step's memory that are known; nothing for inference."""
    memory = _memory(subject)
    if memory.mode == "inference":
        return
    parts = {
        "weights": memory.weights_bytes,
        "gradients": memory.gradient_bytes,
        "optimiser": memory.optimiser_bytes,
        "activations": memory.activation_bytes,
    }
    for part, used in parts.items():
        if used is not None:
            yield Measurement(name=f"train_memory_{part}", value=used)


def _peaks(memory: MemoryUse, prefix: str) -> Iterator[Measurement]:
    verdict = Verdict()
    if memory.weights_bytes is not None and memory.peak_bytes < memory.weights_bytes:
        # The heap of a fresh process has some free space, which a tiny model fills before the resident set rises.
        reason = f"less than the weights alone, {memory.weights_bytes / MIB:.2f} MiB: too small to measure"
        verdict = Verdict(level="warn", reasons=(reason,))
    yield Measurement(name=f"{prefix}peak_memory", value=memory.peak_bytes, verdict=verdict)
    yield Measurement(name=f"{prefix}peak_memory_absolute", value=memory.absolute_peak_bytes)
    if memory.device_bytes is not None:
        yield Measurement(name=f"{prefix}device_memory", value=memory.device_bytes)


def _memory(subject: Subject) -> MemoryUse:
    if subject.memory is None:
        raise Skip("memory was not measured")
    return subject.memory
