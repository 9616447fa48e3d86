"""Peak memory: a spike of milliseconds is seen, and what is not the model's is not charged to it.

Each measurement runs in a process of its own, as in use: in a test process, freed memory lies about in the heap.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vitbench.errors import Skip
from vitbench.measuring import memory
from vitbench.measuring.memory import measure_memory, memory_baseline

MIB = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs")


def measured(code: str) -> list[float]:
    """Run code in a fresh process, and return what it prints, in MiB."""
    preamble = """
import torch
from torch import nn
from vitbench.measuring.memory import measure_memory, memory_baseline
torch.set_num_threads(1)
CPU = torch.device("cpu")
class Spike(nn.Module):
    def __init__(self, mib):
        super().__init__()
        self.linear, self.mib = nn.Linear(12, 3), mib
    def forward(self, images):
        spike = torch.ones(self.mib, 2**18)
        return self.linear(images.flatten(1)) + 0 * spike[0, 0]
def show(use):
    print(use.peak_bytes / 2**20, use.absolute_peak_bytes / 2**20, use.baseline_bytes / 2**20)
images = [torch.ones(2, 3, 2, 2)]
"""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", preamble + code], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return [float(word) for word in answer.stdout.split()]


@linux
def test_a_spike_of_64_mib_is_seen_and_the_peak_starts_anew_each_time() -> None:
    large, absolute, baseline, small, *_ = measured(
        """
baseline = memory_baseline(CPU, "inference")
show(measure_memory(Spike(64), images, baseline=baseline))
show(measure_memory(Spike(8), images, baseline=baseline))
"""
    )
    assert large == pytest.approx(64, rel=0.05)
    assert small == pytest.approx(8, abs=2)
    assert absolute >= baseline + 64


@linux
def test_weights_count_but_not_memory_that_was_freed_before() -> None:
    peak, *_ = measured(
        """
junk = [torch.ones(2**18) for _ in range(200)]
del junk
baseline = memory_baseline(CPU, "inference")
model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2**20), nn.Linear(2**20, 10))
show(measure_memory(model, images, baseline=baseline))
"""
    )
    weights = (12 * 2**20 + 2**20 + 10 * 2**20 + 10) * 4 / MIB
    activations = 2 * 2**20 * 4 / MIB
    assert peak == pytest.approx(weights + activations, rel=0.05)


@linux
def test_training_holds_gradients_and_optimiser_state_too() -> None:
    peak, *_ = measured(
        """
baseline = memory_baseline(CPU, "training")
model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2**10), nn.Linear(2**10, 2**13))
show(measure_memory(model, images, baseline=baseline))
"""
    )
    weights = (12 * 2**10 + 2**10 + 2**23 + 2**13) * 4 / MIB
    # Weights, gradients, two moments; and two more of their size while AdamW divides by the root of the second.
    assert peak == pytest.approx(6 * weights, rel=0.05)


@linux
def test_libraries_that_are_first_used_now_are_not_the_models() -> None:
    peak, *_ = measured(
        """
baseline = memory_baseline(CPU, "inference")
model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 3))
show(measure_memory(model, images, baseline=baseline))
"""
    )
    assert 0 <= peak < 8


def test_a_locked_high_water_mark_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PROCESS", tmp_path)
    with pytest.raises(Skip, match="clear_refs, which this system does not have"):
        memory_baseline(torch.device("cpu"), "inference")
    (tmp_path / "clear_refs").mkdir()
    with pytest.raises(Skip, match="is not writable"):
        memory_baseline(torch.device("cpu"), "inference")
    (tmp_path / "clear_refs").rmdir()
    (tmp_path / "clear_refs").touch()
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(Skip, match="status has no VmRSS"):
        memory_baseline(torch.device("cpu"), "inference")


def test_a_device_without_a_peak_is_no_number() -> None:
    with pytest.raises(Skip, match="peak memory cannot be measured on mps"):
        memory_baseline(torch.device("mps"), "training")


def test_the_kernels_figures_are_read_and_library_growth_is_taken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_PROCESS", tmp_path)
    (tmp_path / "clear_refs").touch()

    def kernel_says(rss: int, high: int, library: int) -> None:
        (tmp_path / "status").write_text(f"VmHWM:\t  {high} kB\nVmRSS:\t  {rss} kB\n")
        (tmp_path / "smaps").write_text(
            f"7f00-7f10 r-xp 00000000 08:01 12  /usr/lib/libtorch_cpu.so\nSize: 900 kB\nRss: {library} kB\n"
            f"7f20-7f30 rw-p 00000000 00:00 0\nRss: 5000 kB\nVmFlags: rd ex\n"
        )

    kernel_says(rss=1000, high=1000, library=100)
    baseline = memory_baseline(torch.device("cpu"), "inference")
    assert (baseline.used, baseline.libraries) == (1000 * 1024, 100 * 1024)

    class Grows(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            kernel_says(rss=1500, high=1800, library=150)
            return super().forward(images)

    use = measure_memory(Grows(4, 3), [torch.ones(2, 4)], baseline=baseline)
    assert use.peak_bytes == (1800 - 1000 - 50) * 1024
    assert use.absolute_peak_bytes == 1800 * 1024
    assert use.baseline_bytes == 1000 * 1024
    assert (tmp_path / "clear_refs").read_text() == "5"
