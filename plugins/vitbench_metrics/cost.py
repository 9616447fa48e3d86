"""Metrics on size and cost: parameters, multiply-accumulates, energy, training time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from vitbench import Measurement, Skip, Verdict
from vitbench.measuring.flops import count_macs, count_params
from vitbench.protocols import EnergyUse, Subject, TrainingLog

LEAST_SHARE = 0.05
"""Share of the energy that must be above idle; idle power itself is known to a few per cent only."""


def params(subject: Subject) -> Iterator[Measurement]:
    """Give the number of parameters, frozen ones included."""
    yield Measurement(name="params", value=count_params(_architecture(subject)()))


def macs(subject: Subject) -> Iterator[Measurement]:
    """Give the multiply-accumulates of one image: FLOPs are twice as many."""
    yield Measurement(name="macs", value=count_macs(_architecture(subject)(), subject.input_shape))


def energy_per_image(subject: Subject) -> Iterator[Measurement]:
    """Give the energy of a forward pass for each image, above what the idle device takes."""
    energy = subject.energy
    if energy is None:
        raise Skip("energy was not measured")
    work = energy.joules - energy.idle_watts * energy.seconds
    if work < LEAST_SHARE * energy.joules:
        watts = energy.joules / energy.seconds
        reason = (
            f"the device drew {watts:.1f} W under load and {energy.idle_watts:.1f} W idle: too close to distinguish"
        )
        verdict = Verdict(level="invalid", reasons=(reason, *energy.errors, *energy.warnings))
        yield Measurement(name="energy_per_image", value=None, n=energy.images, verdict=verdict)
        return
    value = work / energy.images
    yield Measurement(name="energy_per_image", value=value, n=energy.images, verdict=_verdict(energy))


def train_seconds(subject: Subject) -> Iterator[Measurement]:
    """Give the wall time of the recipe."""
    if subject.training is None:
        raise Skip("there was no training")
    yield Measurement(name="train_seconds", value=subject.training.seconds, verdict=_verdict(subject.training))


def _verdict(found: EnergyUse | TrainingLog) -> Verdict:
    if found.errors:
        return Verdict(level="invalid", reasons=(*found.errors, *found.warnings))
    return Verdict(level="warn" if found.warnings else "valid", reasons=found.warnings)


def _architecture(subject: Subject) -> Callable[[], nn.Module]:
    if subject.architecture is None:
        raise Skip("a baseline has no architecture to count")
    return subject.architecture
