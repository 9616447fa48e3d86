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


PREAMBLE = """
import torch
from torch import nn
from vitbench.measuring.memory import measure_memory, memory_baseline
torch.set_num_threads(1)
CPU = torch.device("cpu")
images = [torch.ones(2, 3, 2, 2)]
class Spike(nn.Module):
    def __init__(self, mib):
        super().__init__()
        self.linear, self.mib = nn.Linear(12, 3), mib
    def forward(self, images):
        spike = torch.ones(self.mib, 2**18)
        return self.linear(images.flatten(1)) + 0 * spike[0, 0]
def show(use):
    print(use.peak_bytes / 2**20, use.absolute_peak_bytes / 2**20, use.baseline_bytes / 2**20)
"""


def measured(code: str) -> list[tuple[float, ...]]:
    """Run code in a fresh process; return rise, peak and baseline in MiB for each `show` in it."""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + code], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return [tuple(float(word) for word in line.split()) for line in answer.stdout.splitlines()]


@linux
def test_peaks_of_a_fresh_process() -> None:
    training, small_model, wide, spike, small_spike = measured(
        """
baseline = memory_baseline(CPU)
model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2**10), nn.Linear(2**10, 2**13))
show(measure_memory(model, images, baseline=baseline, mode="training"))
del model
baseline = memory_baseline(CPU)
model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 3))
show(measure_memory(model, images, baseline=baseline, mode="inference"))
junk = [torch.ones(2**18) for _ in range(200)]
del junk
baseline = memory_baseline(CPU)
model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2**20), nn.Linear(2**20, 10))
show(measure_memory(model, images, baseline=baseline, mode="inference"))
del model
baseline = memory_baseline(CPU)
show(measure_memory(Spike(64), images, baseline=baseline, mode="inference"))
show(measure_memory(Spike(8), images, baseline=baseline, mode="inference"))
"""
    )
    # Weights, gradients, two moments; and two more of their size while AdamW divides by the root of the second.
    assert training[0] == pytest.approx(6 * (12 * 2**10 + 2**10 + 2**23 + 2**13) * 4 / MIB, rel=0.05)
    # Libraries that are touched first by this convolution are not the model's.
    assert 0 <= small_model[0] < 8
    # Weights and activations count; 200 MiB that were freed before do not.
    weights = (12 * 2**20 + 2**20 + 10 * 2**20 + 10) * 4 / MIB
    assert wide[0] == pytest.approx(weights + 2 * 2**20 * 4 / MIB, rel=0.05)
    # A spike of milliseconds is seen, and the peak starts anew for each measurement.
    assert spike[0] == pytest.approx(64, rel=0.05)
    assert spike[1] == pytest.approx(spike[2] + 64, abs=4)
    assert small_spike[0] == pytest.approx(8, abs=2)


def test_a_locked_high_water_mark_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PROCESS", tmp_path)
    with pytest.raises(Skip, match="clear_refs, which this system does not have"):
        memory_baseline(torch.device("cpu"))
    (tmp_path / "clear_refs").mkdir()
    with pytest.raises(Skip, match="is not writable"):
        memory_baseline(torch.device("cpu"))
    (tmp_path / "clear_refs").rmdir()
    (tmp_path / "clear_refs").touch()
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(Skip, match="status has no VmRSS"):
        memory_baseline(torch.device("cpu"))


def test_a_device_without_a_peak_is_no_number() -> None:
    with pytest.raises(Skip, match="peak memory cannot be measured on mps"):
        memory_baseline(torch.device("mps"))


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
    baseline = memory_baseline(torch.device("cpu"))
    assert (baseline.used, baseline.libraries) == (1000 * 1024, 100 * 1024)

    class Grows(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            kernel_says(rss=1500, high=1800, library=150)
            return super().forward(images)

    use = measure_memory(Grows(4, 3), [torch.ones(2, 4)], baseline=baseline, mode="inference")
    assert use.peak_bytes == (1800 - 1000 - 50) * 1024
    assert use.absolute_peak_bytes == 1800 * 1024
    assert use.baseline_bytes == 1000 * 1024
    assert (tmp_path / "clear_refs").read_text() == "5"
