"""The real clock on models whose times are known: what sleeps cannot be disturbed much by a busy machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from known_models import Caching, Drifter, Sleeper, TwoSpeeds
from timed import time_inference
from torch import Tensor
from vitbench_metrics.speed import latency, throughput

from vitbench.environment import usable_cores
from vitbench.measuring.evidence import disturbances, facts, observe
from vitbench.measuring.steps import make_inputs
from vitbench.measuring.timing import FRESH_INPUTS, fresh_input_reasons
from vitbench.protocols import Subject, Timing

CPU = torch.device("cpu")
SPIN = "import time; print(flush=True); end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


def inputs(batch_size: int, seed: int = 0) -> tuple[Tensor, ...]:
    return make_inputs((3, 8, 8), batch_size=batch_size, device=CPU, seed=seed)


def subject(timing: Timing) -> Subject:
    return Subject(num_classes=10, input_shape=(3, 8, 8), device="cpu", precision="float32", timing=timing)


def test_a_model_that_sleeps_for_5_ms_is_read_as_5_ms() -> None:
    model = Sleeper(0.005)
    (batches,) = throughput(subject(time_inference(model, inputs(4), num_classes=10)))
    assert batches.value is not None
    assert 0.005 <= 4 / batches.value < 0.010
    p50, *_ = latency(subject(time_inference(model, inputs(1), num_classes=10)))
    assert p50.value is not None
    assert 0.005 <= p50.value < 0.010


def test_two_speeds_are_told() -> None:
    timing = time_inference(TwoSpeeds(0.004, 0.040), inputs(1))
    assert any(reason.startswith("the times fall into two groups: ") for reason in timing.warnings)


def test_a_model_that_becomes_slower_is_told() -> None:
    timing = time_inference(Drifter(0.002, growth=0.01), inputs(1))
    assert any(reason.startswith("the times drift") and "longer" in reason for reason in timing.warnings)


def test_a_model_that_keeps_results_looks_fast_and_is_told() -> None:
    model = Caching(0.02)
    timing = time_inference(model, inputs(4))
    assert statistics.median(timing.block_seconds) / timing.calls_per_block < 0.01
    unseen = [inputs(4, seed=seed)[0] for seed in range(1, 1 + FRESH_INPUTS)]
    with torch.inference_mode():
        (reason,) = fresh_input_reasons(model, inputs(4), unseen, CPU)
        assert fresh_input_reasons(Sleeper(0.02), inputs(4), unseen, CPU) == []
    assert reason.endswith(" times faster than fresh ones: the model caches results")


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep processors busy; should this process die, they end by themselves."""
    processes = [subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # it spins from now on
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_beside_busy_processes_the_verdict_turns() -> None:
    matrix = torch.ones(64, 64)
    with busy_processes(2 * usable_cores()):
        start = observe(CPU)
        until = time.perf_counter() + 0.3
        while time.perf_counter() < until:
            matrix @ matrix
        end = observe(CPU)
    warnings, errors = disturbances(start, end, threads=1, on_cpu=True)
    assert any(reason.startswith("had the processor") for reason in (*errors, *warnings))
    assert facts(start, end, threads=1)["processor_share"] < 0.95
