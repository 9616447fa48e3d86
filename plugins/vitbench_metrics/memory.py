"""Metrics on memory: the peak of a forward pass and of a training step, in bytes.

On the CPU the peak is the rise over what was in use before the model was built; the absolute peak of the process stands
beside it, under a name of its own. On CUDA they are the peaks of what was allocated and of what was reserved.
"""

from __future__ import annotations

from collections.abc import Iterator

from vitbench import Measurement, Skip
from vitbench.protocols import MemoryUse, Subject


def peak_memory(subject: Subject) -> Iterator[Measurement]:
    """Give the peak of a forward pass; nothing for training."""
    memory = _memory(subject)
    if memory.mode == "inference":
        yield Measurement(name="peak_memory", value=memory.peak_bytes)
        yield Measurement(name="peak_memory_absolute", value=memory.absolute_peak_bytes)


def train_peak_memory(subject: Subject) -> Iterator[Measurement]:
    """Give the peak of a training step; nothing for inference."""
    memory = _memory(subject)
    if memory.mode == "training":
        yield Measurement(name="train_peak_memory", value=memory.peak_bytes)
        yield Measurement(name="train_peak_memory_absolute", value=memory.absolute_peak_bytes)


def _memory(subject: Subject) -> MemoryUse:
    if subject.memory is None:
        raise Skip("there is no measurement of memory")
    return subject.memory
