"""Metrics on size and cost: parameters, multiply-accumulates, training time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from vitbench import Measurement, Skip, Verdict
from vitbench.measuring.flops import count_macs, count_params
from vitbench.protocols import Subject


def params(subject: Subject) -> Iterator[Measurement]:
    """Give the number of parameters, frozen ones included."""
    yield Measurement(name="params", value=count_params(_architecture(subject)()))


def macs(subject: Subject) -> Iterator[Measurement]:
    """Give the multiply-accumulates of one image: FLOPs are twice as many."""
    yield Measurement(name="macs", value=count_macs(_architecture(subject)(), subject.input_shape))


def train_seconds(subject: Subject) -> Iterator[Measurement]:
    """Give the wall time of the recipe."""
    if subject.training is None:
        raise Skip("there was no training")
    warnings = subject.training.warnings
    verdict = Verdict(level="warn" if warnings else "valid", reasons=warnings)
    yield Measurement(name="train_seconds", value=subject.training.seconds, verdict=verdict)


def _architecture(subject: Subject) -> Callable[[], nn.Module]:
    if subject.architecture is None:
        raise Skip("a baseline has no architecture to count")
    return subject.architecture
