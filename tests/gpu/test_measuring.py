"""Measuring on a GPU: clocks, memory, energy, neighbours. What must come out is known from how the work is made."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import psutil
import pytest
import torch
from torch import Tensor, nn

from vitbench.environment import describe
from vitbench.errors import Skip
from vitbench.measuring.energy import measure_energy
from vitbench.measuring.evidence import disturbances, observe
from vitbench.measuring.gpu import GpuWatch, observe_gpu, process_memory
from vitbench.measuring.memory import measure_memory, memory_baseline
from vitbench.measuring.numerics import compare, disagreement
from vitbench.measuring.reference import make_reference
from vitbench.measuring.steps import inference_step, make_inputs
from vitbench.measuring.sustained import sustain
from vitbench.measuring.timing import Block, time_step
from vitbench.worker.memory_errors import lack_of_memory
from vitbench.worker.runtime import runtime

MIB = 2**20
SECONDS = 0.004
"""Of a kernel that only waits."""


def waiting(device: torch.device) -> Callable[[], Tensor]:
    """Return a step that keeps the GPU's stream busy for `SECONDS`, and gives logits of 8 images."""
    cycles, output = 1_000_000, torch.zeros(8, 3, device=device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(3):  # the clock rises
        start.record()
        torch.cuda._sleep(cycles)
        end.record()
        torch.cuda.synchronize(device)
    wanted = int(cycles * SECONDS / (start.elapsed_time(end) / 1e3))

    def step() -> Tensor:
        torch.cuda._sleep(wanted)
        return output

    return step


def test_a_block_waits_for_the_device_and_both_clocks_agree(cuda: torch.device) -> None:
    block = Block(waiting(cuda), cuda, cross_check=True)
    with torch.cuda.device(cuda):
        seconds = [block(10) for _ in range(3)]
    assert min(seconds) > 0.7 * 10 * SECONDS, "a call that only starts the work would take microseconds"
    assert block.findings() == ([], [])
    assert block.device_seconds == pytest.approx(block.wall_seconds, rel=0.1)


def test_work_on_another_stream_is_found(cuda: torch.device) -> None:
    stream, wait = torch.cuda.Stream(cuda), waiting(cuda)

    def step() -> Tensor:
        with torch.cuda.stream(stream):
            return wait()

    block = Block(step, cuda, cross_check=True)
    block(10)
    warnings, errors = block.findings()
    assert errors == []
    assert "work on other streams" in warnings[0]


def test_a_timing_says_what_the_gpu_did(cuda: torch.device) -> None:
    (batch,) = make_inputs((3, 64, 64), batch_size=8, device=cuda, count=1)
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Flatten(), nn.LazyLinear(3)).to(cuda)
    model(batch)
    found = time_step(inference_step(model, [batch]), "inference", batch, 3)
    assert not [error for error in found.errors if "finite" in error]
    if observe_gpu(cuda) is None:
        pytest.skip("no NVML")
    assert found.evidence["gpu_sm_clock_mhz"] > 0
    assert found.evidence["gpu_sm_clock_min_mhz"] <= found.evidence["gpu_sm_clock_mean_mhz"]
    assert found.evidence["gpu_moments"] >= 3, "the two ends, and at least one between"
    assert found.evidence["delay_share"] <= 1


def test_asking_a_gpu_takes_little(cuda: torch.device) -> None:
    observe_gpu(cuda)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        observe_gpu(cuda)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_how_it_is_set_is_described(cuda: torch.device) -> None:
    described = describe(str(cuda))
    assert described.gpu
    assert described.gpu_settings["gpus_visible"] == torch.cuda.device_count()
    if observe_gpu(cuda) is not None:
        assert described.driver
        assert described.gpu_settings["memory_bytes"] > MIB


def test_the_memory_of_this_process_is_known_or_unknown_and_never_too_little(cuda: torch.device) -> None:
    held = torch.zeros(256 * MIB, dtype=torch.uint8, device=cuda)
    found = process_memory(cuda)
    assert found is None or found >= held.numel()


_NEIGHBOUR = """
import time, torch
x = torch.randn(4096, 4096, device="cuda")
print("ready", flush=True)
until = time.monotonic() + 20
while time.monotonic() < until:
    for _ in range(20):
        x = (x @ x).clamp_(-1, 1)
    torch.cuda.synchronize()
"""


def test_a_neighbour_that_works_is_told(cuda: torch.device) -> None:
    torch.zeros(1, device=cuda)
    alone = observe(cuda)
    if alone.gpu is None or alone.gpu.other_processes is None:
        pytest.skip("this GPU does not tell of its processes")
    with subprocess.Popen([sys.executable, "-c", _NEIGHBOUR], stdout=subprocess.PIPE, text=True) as neighbour:
        try:
            assert neighbour.stdout is not None
            assert neighbour.stdout.readline() == "ready\n"
            watch, until = GpuWatch(cuda), time.monotonic() + 6
            start = observe(cuda)
            while time.monotonic() < until:
                torch.zeros(1, device=cuda).item()
                watch.look()
                time.sleep(0.05)
            end = observe(cuda)
        finally:
            neighbour.kill()
    assert end.gpu is not None
    if end.gpu.other_processes == alone.gpu.other_processes:
        pytest.skip("this GPU shows the processes of this container alone, or none")
    warnings, _ = disturbances(start, end, threads=1, on_cpu=False, gpu_between=watch.moments)
    assert any("on the GPU" in reason for reason in warnings), watch.moments


class Scratch(nn.Module):
    """Logits of the mean, and so much memory in passing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.weight = size, nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        passing = torch.empty(self.size, dtype=torch.uint8, device=images.device)
        return images.mean(dim=(2, 3)) + self.weight + passing[:1]


def peak(model: Callable[[], nn.Module], device: torch.device) -> int:
    baseline = memory_baseline(device)
    built = model().to(device)
    inputs = make_inputs((3, 16, 16), batch_size=8, device=device, count=1)
    use = measure_memory(inference_step(built, inputs), built, baseline=baseline, mode="inference")
    return use.peak_bytes - use.baseline_bytes


def test_the_peak_is_what_the_model_takes(cuda: torch.device) -> None:
    assert peak(partial(Scratch, 200 * MIB), cuda) == pytest.approx(200 * MIB, abs=2 * MIB)


def test_a_workspace_from_before_is_not_in_the_peak_of_a_model_without_products(cuda: torch.device) -> None:
    square = torch.randn(512, 512, device=cuda)
    (square @ square).sum().item()
    del square
    assert peak(partial(Scratch, 4 * MIB), cuda) == pytest.approx(4 * MIB, abs=1 * MIB)


def test_what_does_not_fit_is_a_lack_of_the_devices_memory_and_leaves_none_behind(cuda: torch.device) -> None:
    before = torch.cuda.memory_allocated(cuda)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(1 << 44, dtype=torch.uint8, device=cuda)
    assert lack_of_memory(caught.value) == "device"
    assert torch.cuda.memory_allocated(cuda) == before


def test_inputs_are_drawn_on_the_device(device: torch.device) -> None:
    process = psutil.Process()
    make_inputs((3, 8, 8), batch_size=1, device=device, count=1)  # what it takes once
    before = process.memory_info().rss
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    (batch,) = make_inputs((3, 224, 224), batch_size=256, device=device, channels_last=True, count=1)
    assert batch.device.type == device.type
    if device.type == "cuda":
        assert process.memory_info().rss - before < 64 * MIB
        assert torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device) < 130 * MIB
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.mean().item() == pytest.approx(0, abs=1e-2)
    assert batch.std().item() == pytest.approx(1, abs=1e-2)
    (again,) = make_inputs((3, 224, 224), batch_size=256, device=device, count=1)
    assert torch.equal(batch, again)


def test_energy_is_counted_or_skipped(cuda: torch.device) -> None:
    square = torch.randn(8192, 8192, device=cuda)
    try:
        found = measure_energy(lambda: square @ square, device=cuda, images_per_call=1, seconds=1.0)
    except Skip as skip:
        pytest.skip(str(skip))
    assert found.joules > found.idle_watts * found.seconds


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_product_in_a_precision_is_of_that_precision(cuda: torch.device, precision: str) -> None:
    """A product of normal numbers, 2048 terms each; rounding of its inputs is 2^-24, 2^-11 and 2^-8."""
    if precision == "tf32" and torch.cuda.get_device_capability(cuda) < (8, 0):
        pytest.skip("this GPU has no TF32")
    left, right = (torch.randn(512, 2048, device=cuda, generator=torch.Generator(cuda).manual_seed(n)) for n in (0, 1))
    exact = left.double() @ right.double().T
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    kind = "float32" if precision == "bfloat16" else precision
    with runtime(precision=kind, threads=1, seed=0, device=str(cuda)):  # type: ignore[arg-type]
        found = (left.to(dtype) @ right.to(dtype).T).double()
    error = ((found - exact).abs().mean() / exact.abs().mean()).item()
    low, high = {"float32": (0, 2e-6), "tf32": (5e-5, 2e-3), "bfloat16": (1e-3, 2e-2)}[precision]
    assert low <= error < high


def test_logits_of_the_device_are_compared(device: torch.device) -> None:
    logits = torch.randn(64, 10, device=device)
    rounded = logits.bfloat16().float()
    assert disagreement(compare(logits, rounded, precision="bfloat16", real_images=True)) is None
    assert disagreement(compare(logits, logits.flip(0), precision="bfloat16", real_images=True)) is not None


def test_the_current_device_is_the_cells_and_comes_back(cuda: torch.device) -> None:
    last = torch.cuda.device_count() - 1
    before = torch.cuda.current_device()
    with runtime(precision="float32", threads=1, seed=0, device=f"cuda:{last}"):
        assert torch.cuda.current_device() == last
    assert torch.cuda.current_device() == before


def test_a_window_is_sustained(device: torch.device) -> None:
    reference = make_reference("inference", device)
    batch = torch.zeros(reference.batch_size, 3, 32, 32, device=device)
    found = sustain(reference.step, "inference", batch, 10, seconds=3.0)
    assert found.seconds >= 3
    assert not [error for error in found.errors if "finite" in error]
    assert len(found.course) == len(found.block_seconds)
    if device.type == "cuda" and observe_gpu(device) is not None:
        assert found.course[-1]["gpu_sm_clock_mhz"] > 0
