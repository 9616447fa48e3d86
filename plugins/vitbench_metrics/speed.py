"""Metrics on times: throughput from pipelined batches, sustained or not, latency from synchronised single calls.

Neither is ever made from the other: a batch of one is not pipelined, and a mean hides the tail.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vitbench import Measurement, Skip, Verdict
from vitbench.protocols import InTurn, Subject, Sustained, Timing

PERCENTILES = ((50, 10), (95, 64))
"""Percentile, and the least samples for it: with 64, three or so lie above the 95th."""
IN_TURN = 2
"""Samples of a median that is timed in turn with the reference network, as of a model that takes seconds for an image:
several processes say how well it is known."""
TAIL = (99, 662)
"""The same, as MLPerf's rule asks: six or so lie above the 99th. In the time that a latency gets, fast models alone
reach so many calls; of others this figure is left out, rather than shown as invalid in every record."""


def throughput(subject: Subject) -> Iterator[Measurement]:
    """Give the images per second of forward passes; nothing for single images, which are a matter of latency."""
    timing = _timing(subject)
    if timing.mode == "inference" and timing.batch_size > 1:
        yield _images_per_second("throughput", timing)


def train_throughput(subject: Subject) -> Iterator[Measurement]:
    """Give the images per second of training steps."""
    timing = _timing(subject)
    if timing.mode == "training":
        yield _images_per_second("train_throughput", timing)


def sustained_throughput(subject: Subject) -> Iterator[Measurement]:
    """Give the images per second of forward passes in the second half of a long window."""
    window = _window(subject)
    if window.mode == "inference":
        yield _of_window("sustained_throughput", window)


def sustained_train_throughput(subject: Subject) -> Iterator[Measurement]:
    """Give the images per second of training steps in the second half of a long window."""
    window = _window(subject)
    if window.mode == "training":
        yield _of_window("sustained_train_throughput", window)


def latency(subject: Subject) -> Iterator[Measurement]:
    """Give percentiles of the seconds of a forward pass on one image; nothing for larger batches.

    A median or a 95th percentile with too few samples has no value, and says so; a 99th is not given at all.
    """
    timing = _timing(subject)
    if timing.mode != "inference" or timing.batch_size > 1:
        return
    samples = timing.call_seconds
    tail = [TAIL] if len(samples) >= TAIL[1] else []
    for percentile, usual in (*PERCENTILES, *tail):
        name = f"latency_p{percentile}"
        needed = IN_TURN if percentile == 50 and timing.in_turn else usual
        if len(samples) < needed:
            few = f"{len(samples)} samples, p{percentile} needs {needed}"
            verdict = Verdict(level="invalid", reasons=(few, *timing.errors, *timing.warnings))
            yield Measurement(name=name, value=None, n=len(samples), samples=(samples,), verdict=verdict)
        else:
            value = float(np.percentile(samples, percentile))
            # The mood of a machine divides out of a median; a tail is made by what disturbs single calls.
            turns = timing.in_turn if percentile == 50 else None
            yield Measurement(
                name=name,
                value=value,
                n=len(samples),
                samples=(samples,),
                ratio=turns.of_seconds(timing.batch_size) if turns else None,
                verdict=_verdict(turns or timing),
            )


def _images_per_second(name: str, timing: Timing) -> Measurement:
    """Return all images over all time; the samples are the blocks."""
    images = timing.batch_size * timing.calls_per_block
    blocks = timing.block_seconds
    return Measurement(
        name=name,
        value=images * len(blocks) / sum(blocks),
        n=len(blocks),
        samples=(tuple(images / seconds for seconds in blocks),),
        ratio=timing.in_turn.of_speed() if timing.in_turn else None,
        verdict=_verdict(timing.in_turn or timing),
    )


def _of_window(name: str, window: Sustained) -> Measurement:
    """Return all images over all time of the blocks that count; samples would be asked of processes that only time."""
    blocks = window.block_seconds[window.counts_from :]
    images = window.batch_size * window.calls_per_block * len(blocks)
    return Measurement(name=name, value=images / sum(blocks), n=len(blocks), verdict=_verdict(window))


def _window(subject: Subject) -> Sustained:
    if subject.sustained is None:
        raise Skip("there is no sustained window")
    return subject.sustained


def _verdict(found: Timing | InTurn | Sustained) -> Verdict:
    reasons = (*found.errors, *found.warnings)
    if found.errors:
        return Verdict(level="invalid", reasons=reasons)
    return Verdict(level="warn" if reasons else "valid", reasons=reasons)


def _timing(subject: Subject) -> Timing:
    if subject.timing is None:
        raise Skip("there is no timing")
    return subject.timing
