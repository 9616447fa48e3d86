"""Cells on a GPU: a speed cell of each kind gives its figures. A whole run is a part of `benchmarks/gpu_check.py`."""

from __future__ import annotations

import subprocess
import sys

import factories
import pytest
import torch

from vitbench.catalog import load_catalog
from vitbench.execution.messages import CellJob, CellResult
from vitbench.measuring.gpu import observe_gpu
from vitbench.records import Measurement, Mode, Precision
from vitbench.worker.speed import run_speed

VIT = {**factories.SMALL_VIT, "depth": 2, "width": 64}


def timed(
    device: torch.device, *, mode: Mode = "inference", precision: Precision = "float32", **cell: object
) -> CellResult:
    fields = {"batch_size": 32, "mode": mode, "precision": precision, "device": str(device), **cell}
    planned = factories.speed_cell("vit", options=VIT, **fields)  # type: ignore[arg-type]
    return run_speed(CellJob(planned=planned), load_catalog(), lambda _: None)


def figures(found: CellResult) -> dict[str, Measurement]:
    assert found.status == "ok", found.reason
    return {one.name: one for one in found.measurements}


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
def test_throughput_and_memory_of_a_forward_pass(device: torch.device, precision: Precision) -> None:
    if precision == "tf32" and device.type != "cuda":
        pytest.skip("no TF32")
    found = timed(device, precision=precision)
    measured = figures(found)
    assert measured["throughput"].value
    assert not [reason for reason in found.faults if "disagrees" in reason], found.faults
    if device.type != "cuda":
        return
    assert measured["peak_memory"].value
    weights = sum(parameter.numel() for parameter in _vit().parameters()) * 2  # bytes at the least
    assert measured["peak_memory"].value > weights
    if observe_gpu(device) is not None:
        assert found.evidence["gpu_sm_clock_mhz"] > 0


def _vit() -> torch.nn.Module:
    from vitbench_scratch.vit import build

    return build(num_classes=10, image_size=(8, 8), in_channels=1, **VIT)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_training_step(device: torch.device, precision: Precision) -> None:
    measured = figures(timed(device, mode="training", precision=precision))
    assert measured["train_throughput"].value
    if device.type == "cuda":
        assert measured["train_memory_gradients"].value
        assert measured["train_peak_memory"].value


def test_a_latency_and_a_cold_start_with_the_device_in_it(device: torch.device) -> None:
    measured = figures(timed(device, batch_size=1))
    assert measured["latency_p50"].value
    assert measured["cold_start"].value
    if device.type != "cpu":
        assert 0 < measured["connect_seconds"].value < measured["cold_start"].value  # type: ignore[operator]


def test_a_compiled_model_agrees_with_the_eager_one(cuda: torch.device) -> None:
    found = timed(cuda, compile="default")
    assert figures(found)["throughput"].value
    assert not [reason for reason in found.faults if "disagrees" in reason], found.faults


def test_channels_last(device: torch.device) -> None:
    found = timed(device, channels_last=True)
    assert figures(found)["throughput"].value
    assert not [reason for reason in found.faults if "disagrees" in reason], found.faults


def test_what_the_fork_server_imports_does_not_touch_cuda(cuda: torch.device) -> None:
    code = (
        "import os, torch, vitbench.worker.preload\n"
        "assert not torch.cuda.is_initialized()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    torch.zeros(1, device='cuda').item()\n"
        "    os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_first_use_of_a_device_is_what_takes_long(cuda: torch.device) -> None:
    code = (
        "import torch\nfrom vitbench.measuring.steps import connect\n"
        "device = torch.device('cuda')\nassert not torch.cuda.is_initialized()\n"
        "first, second = connect(device), connect(device)\n"
        "assert torch.cuda.is_initialized()\nassert first > 5 * second, (first, second)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
