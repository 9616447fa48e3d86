"""Peak memory: a spike of milliseconds is seen, and what is not the model's is not charged to it; and its parts.

Each measurement of a peak runs in a process of its own, as in use: in a test process, freed memory lies about in the
heap. The parts of a training step are held against closed forms.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from timed import plain_training_step
from torch import Tensor, nn

from vitbench.errors import Skip
from vitbench.measuring import memory
from vitbench.measuring.memory import MemoryBaseline, measure_memory, memory_baseline
from vitbench.measuring.steps import inference_step, plain_train_step
from vitbench.measuring.training_memory import TrainingMemory, split_training_memory, weight_bytes
from vitbench.protocols import MemoryUse, TrainStep
from vitbench.records import Mode

MIB = 2**20
IMAGES = torch.ones(2, 4)
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs")


def weighed(
    model: nn.Module, *, baseline: MemoryBaseline, mode: Mode, **arguments: Callable[[], TrainingMemory]
) -> MemoryUse:
    step = (inference_step if mode == "inference" else plain_training_step)(model, [IMAGES])
    return measure_memory(step, model, baseline=baseline, mode=mode, **arguments)


PREAMBLE = """
import gc
import torch
import torch._dynamo  # which the first optimiser imports
from torch import nn
from vitbench.measuring.memory import memory_baseline
from vitbench.worker.bench import Bench
torch.set_num_threads(1)
CPU = torch.device("cpu")
gc.collect()
gc.freeze()  # each measurement begins with a collection
images = [torch.ones(2, 3, 2, 2)]
class Spike(nn.Module):
    def __init__(self, mib):
        super().__init__()
        self.linear, self.mib = nn.Linear(12, 3), mib
    def forward(self, images):
        spike = torch.ones(self.mib, 2**18)
        return self.linear(images.flatten(1)) + 0 * spike[0, 0]
def weighed(model, images, *, baseline, mode):
    conditions = {"precision": "float32", "device": CPU, "input_shape": (3, 2, 2), "num_classes": None}
    return Bench(model=model, mode=mode, batch_size=len(images[0]), **conditions).weigh(baseline)
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


@pytest.mark.process
@linux
def test_peaks_of_a_fresh_process() -> None:
    training, activations, parts, small_model, wide, spike, small_spike = measured(
        """
baseline = memory_baseline(CPU)
model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2**10), nn.Linear(2**10, 2**12))
show(weighed(model, images, baseline=baseline, mode="training"))
del model
baseline = memory_baseline(CPU)
layers = [layer for _ in range(8) for layer in (nn.Linear(256, 256), nn.GELU())]
model = nn.Sequential(nn.Flatten(), nn.Linear(12, 256), *layers)
use = weighed(model, [torch.ones(2**11, 3, 2, 2)], baseline=baseline, mode="training")
show(use)
print((use.weights_bytes + use.gradient_bytes + use.optimiser_bytes + use.activation_bytes) / 2**20)
del model
baseline = memory_baseline(CPU)
model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 3))
show(weighed(model, images, baseline=baseline, mode="inference"))
junk = [torch.ones(2**18) for _ in range(200)]
del junk
baseline = memory_baseline(CPU)
model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2**18), nn.Linear(2**18, 10))
show(weighed(model, images, baseline=baseline, mode="inference"))
del model
baseline = memory_baseline(CPU)
show(weighed(Spike(64), images, baseline=baseline, mode="inference"))
show(weighed(Spike(8), images, baseline=baseline, mode="inference"))
"""
    )
    # Weights, gradients, two moments; fused AdamW needs nothing more in passing.
    assert training[0] == pytest.approx(4 * (12 * 2**10 + 2**10 + 2**22 + 2**12) * 4 / MIB, rel=0.05)
    # The parts are most of the peak, and not more than it; the rest is what the backward pass needs in passing.
    assert 0.6 * activations[0] < parts[0] < 1.1 * activations[0]
    # Libraries that are touched first by this convolution are not the model's.
    assert 0 <= small_model[0] < 8
    # Weights and activations count; 200 MiB that were freed before do not.
    weights = (12 * 2**18 + 2**18 + 10 * 2**18 + 10) * 4 / MIB
    assert wide[0] == pytest.approx(weights + 2 * 2**18 * 4 / MIB, rel=0.05)
    # A spike of milliseconds is seen, and the peak starts anew for each measurement.
    assert spike[0] == pytest.approx(64, rel=0.05)
    assert spike[1] == pytest.approx(spike[2] + 64, abs=4)
    assert small_spike[0] == pytest.approx(8, abs=2)


SPIKE_TARGET = """
import resource, time
import torch
from torch import nn
from vitbench.execution.messages import CellResult
from vitbench.measuring.memory import measure_memory, memory_baseline
from vitbench.measuring.steps import inference_step

class Spike(nn.Module):
    def forward(self, images):
        held = torch.ones(64, 2**18)  # 64 MiB
        time.sleep(0.002)
        return images.flatten(1)[:, :3] + 0 * held[0, 0]

def weigh(request, folder, send):
    torch.set_num_threads(1)
    baseline = memory_baseline(torch.device("cpu"))
    model, images = Spike(), torch.ones(2, 3, 2, 2)
    step = inference_step(model, [images])
    use = measure_memory(step, model, baseline=baseline, mode="inference")
    return CellResult(status="ok", splits={"rise": use.peak_bytes, "peak": use.absolute_peak_bytes})
"""
PARENT_OF_800_MB = """
import resource
from vitbench.execution.local import LocalExecutor
from vitbench.execution.messages import CellResult, Say
held = b"1" * 800_000_000
ending = LocalExecutor().run("spike_target:weigh", Say(text=""), CellResult)
print(ending.answer.splits["rise"], ending.answer.splits["peak"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, len(held))
"""


@pytest.mark.process
@linux
def test_a_spike_of_two_milliseconds_is_seen_beneath_a_parent_that_holds_800_mb(tmp_path: Path) -> None:
    (tmp_path / "spike_target.py").write_text(SPIKE_TARGET)
    parent = tmp_path / "parent.py"
    parent.write_text(PARENT_OF_800_MB)
    answer = subprocess.run([sys.executable, parent], capture_output=True, text=True, check=True)
    rise, peak, parents_peak, held = (int(word) for word in answer.stdout.split())
    assert parents_peak > held == 800_000_000
    assert rise == pytest.approx(64 * MIB, rel=0.05)
    assert rise < peak < held


@pytest.mark.compute
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


@pytest.mark.compute
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
            f"7f30-7f40 r--p 00000000 08:01 13  /models/vit.sorted\nRss: {rss} kB\n"
            f"7f40-7f50 r--p 00000000 08:01 14  /lib/libm.so.6 (deleted)\nRss: 1 kB\n"
        )

    kernel_says(rss=1000, high=1000, library=100)
    baseline = memory_baseline(torch.device("cpu"))
    assert (baseline.used, baseline.libraries) == (1000 * 1024, 101 * 1024)

    class Grows(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            kernel_says(rss=1500, high=1800, library=150)
            return super().forward(images)

    use = weighed(Grows(4, 3), baseline=baseline, mode="inference")
    assert use.peak_bytes == (1800 - 1000 - 50) * 1024
    assert use.absolute_peak_bytes == 1800 * 1024
    assert use.baseline_bytes == 1000 * 1024
    assert (use.device_bytes, use.weights_bytes, use.activation_bytes) == (None, (4 * 3 + 3) * 4, None)
    assert (tmp_path / "clear_refs").read_text() == "5"

    # Memory that shrank is a rise of nothing.
    baseline = memory_baseline(torch.device("cpu"))
    kernel_says(rss=900, high=900, library=150)
    use = weighed(nn.Linear(4, 3), baseline=baseline, mode="inference")
    assert use.peak_bytes == 0


@pytest.mark.compute
def test_the_split_is_made_after_the_peak_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PROCESS", tmp_path)
    for name, text in (("clear_refs", ""), ("smaps", ""), ("status", "VmHWM: 70 kB\nVmRSS: 50 kB\n")):
        (tmp_path / name).write_text(text)

    def split() -> TrainingMemory:
        (tmp_path / "status").write_text("VmHWM: 900 kB\nVmRSS: 50 kB\n")
        return TrainingMemory(gradient_bytes=1, optimiser_bytes=2, activation_bytes=3)

    baseline = memory_baseline(torch.device("cpu"))
    use = weighed(nn.Linear(4, 3), baseline=baseline, mode="training", split=split)
    assert (use.peak_bytes, use.absolute_peak_bytes) == (20 * 1024, 70 * 1024)
    assert (use.weights_bytes, use.gradient_bytes, use.optimiser_bytes, use.activation_bytes) == (60, 1, 2, 3)


@pytest.mark.parametrize(("nvml", "device_bytes"), [(1700, 1700), (None, 9000 - 7800)])
def test_on_cuda_the_allocators_peaks_and_the_devices_figure(
    monkeypatch: pytest.MonkeyPatch, nvml: int | None, device_bytes: int
) -> None:
    said = {"memory_allocated": 100, "max_memory_allocated": 900, "max_memory_reserved": 1200}
    for name, value in said.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    free = iter((9000, 7800))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (next(free), 16000))
    monkeypatch.setattr(memory, "process_memory", lambda _: nvml)
    cuda = torch.device("cuda", 0)
    done: list[str] = []
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: done.append("workspaces"), raising=False)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("cache"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: done.append("peak"))
    baseline = memory_baseline(cuda)  # no step of ours, whose workspace would be in the model's peak
    assert done == ["workspaces", "cache", "peak"]
    assert baseline == MemoryBaseline(device=cuda, used=100, device_free=9000)
    monkeypatch.setattr(memory, "_take_steps", lambda *_, **__: None)
    use = weighed(nn.Linear(4, 3), baseline=baseline, mode="inference")
    assert (use.peak_bytes, use.absolute_peak_bytes, use.baseline_bytes) == (900, 1200, 100)
    assert use.device_bytes == device_bytes


BATCH, IN, HIDDEN, CLASSES = 5, 7, 11, 3
MLP_WEIGHTS = (IN * HIDDEN + HIDDEN) + (HIDDEN * CLASSES + CLASSES)
# The second layer and ReLU keep one and the same tensor; the loss keeps log-probabilities and the weight of its labels.
MLP_ACTIVATIONS = 4 * (BATCH * HIDDEN + BATCH * CLASSES + 1)
STEP_COUNTER = 4
"""Bytes of AdamW's count of steps, one for each parameter."""
LABELS = torch.zeros(BATCH, dtype=torch.int64)


def mlp(*, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(IN, HIDDEN, bias=bias), nn.ReLU(), nn.Linear(HIDDEN, CLASSES, bias=bias))


def split(
    model: nn.Module,
    train: TrainStep | None = None,
    *,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> tuple[int | None, ...]:
    """Return the bytes of weights, gradients, optimiser state and activations; of a plain step unless one is given."""
    parts = split_training_memory(train or plain_train_step(model, autocast), model, torch.ones(BATCH, IN), LABELS)
    return weight_bytes(model), parts.gradient_bytes, parts.optimiser_bytes, parts.activation_bytes


def test_the_parts_of_a_training_step_are_the_closed_form() -> None:
    weights = 4 * MLP_WEIGHTS
    assert split(mlp()) == (weights, weights, 2 * weights + 4 * STEP_COUNTER, MLP_ACTIVATIONS)


def test_frozen_parameters_have_neither_gradient_nor_state() -> None:
    model = mlp()
    model[0].requires_grad_(False)
    trained = 4 * (HIDDEN * CLASSES + CLASSES)
    assert split(model) == (4 * MLP_WEIGHTS, trained, 2 * trained + 2 * STEP_COUNTER, MLP_ACTIVATIONS)


def test_a_shared_parameter_counts_once_and_buffers_are_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(IN, IN, bias=False)
            self.second = nn.Linear(IN, IN, bias=False)
            self.second.weight = self.first.weight
            self.register_buffer("scale", torch.ones(IN))

        def forward(self, images: Tensor) -> Tensor:
            return self.second(self.first(images) * self.scale)

    shared = 4 * IN * IN
    # What the second layer gets, and the log-probabilities; multiplying keeps the buffer, which is a weight.
    kept = 4 * (BATCH * IN + BATCH * IN + 1)
    assert split(Tied()) == (shared + 4 * IN, shared, 2 * shared + STEP_COUNTER, kept)


def test_what_autocast_casts_is_kept_and_gradients_stay_in_float32() -> None:
    weights = 4 * MLP_WEIGHTS
    found = split(mlp(), autocast=partial(torch.autocast, "cpu", torch.bfloat16))
    # In half the bytes: the images, what lies between the layers, and both weights; the loss is made in float32.
    kept = 2 * (BATCH * IN + BATCH * HIDDEN + HIDDEN * CLASSES) + 4 * (BATCH * CLASSES + 1)
    assert found == (weights, weights, 2 * weights + 4 * STEP_COUNTER, kept)


def test_what_does_not_lead_to_the_loss_is_not_kept() -> None:
    class WithIdleBranch(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            self[0](images).exp().square().sum()
            return super().forward(images)

    assert split(WithIdleBranch(*mlp()))[3] == MLP_ACTIVATIONS


def test_the_parts_are_those_of_the_step_that_is_taken() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def take(images: Tensor, labels: Tensor) -> Tensor:
        loss = model(images).square().sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    weights = 4 * MLP_WEIGHTS
    # One moment; no logarithms, but the output that is squared; and gradients that are gone when the step is done.
    kept = 4 * (BATCH * HIDDEN + BATCH * CLASSES)
    assert split(model, TrainStep(optimizer=optimizer, take=take)) == (weights, weights, weights, kept)


def test_of_two_passes_the_larger_counts_and_the_state_may_be_nested() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def take(images: Tensor, labels: Tensor) -> Tensor:
        for share in (BATCH, 2):  # of the second pass less is kept
            loss = nn.functional.cross_entropy(model(images[:share]), labels[:share])
            loss.backward()
        optimizer.state[model[0].weight]["before"] = {"weight": [model[0].weight.detach().clone()], "steps": 2}
        optimizer.state[model[0].weight]["shared"] = model[0].weight.detach()
        return loss.detach()

    weights = 4 * MLP_WEIGHTS
    found = split(model, TrainStep(optimizer=optimizer, take=take))
    assert found == (weights, weights, 4 * IN * HIDDEN, MLP_ACTIVATIONS)


def test_a_sparse_gradient_has_no_storage_to_count() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(3, CLASSES, sparse=True)

        def forward(self, images: Tensor) -> Tensor:
            return self.table(images[:, 0].long())

    model = Words()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def take(images: Tensor, labels: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss.detach()

    assert split(model, TrainStep(optimizer=optimizer, take=take))[1] is None


def test_the_split_leaves_no_gradient_and_no_hook_and_gradients_from_before_do_not_count_twice() -> None:
    model = mlp()
    split(model)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not parameter._post_accumulate_grad_hooks for parameter in model.parameters())

    model = mlp()
    model(torch.ones(BATCH, IN)).sum().backward()
    assert split(model)[1] == 4 * MLP_WEIGHTS


def test_a_model_that_lets_no_hook_in_has_no_figure_of_activations() -> None:
    class Closed(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
                return super().forward(images)

    weights = 4 * MLP_WEIGHTS
    assert split(Closed(*mlp())) == (weights, weights, 2 * weights + 4 * STEP_COUNTER, None)


def test_a_sparse_weight_has_no_storage_to_count() -> None:
    model = mlp()
    model.register_buffer("mask", torch.eye(3).to_sparse())
    assert split(model)[0] is None


@pytest.mark.compute
def test_a_compiled_model_keeps_what_its_compiled_graph_keeps() -> None:
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own
        model = torch.compile(mlp(), backend="aot_eager")
        found = split(model)
    weights = 4 * MLP_WEIGHTS
    assert found[:3] == (weights, weights, 2 * weights + 4 * STEP_COUNTER)
    assert found[3] == pytest.approx(MLP_ACTIVATIONS, abs=BATCH * HIDDEN)  # ReLU may keep a mask
