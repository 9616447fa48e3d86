"""A benchmark in the process that asks for it, with a loop whose times are made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from vitbench.environment import machine_class
from vitbench.errors import Skip, UnusableError, UsageError
from vitbench.measuring import timing
from vitbench.measuring.steps import InvalidOutput
from vitbench.protocols import MemoryUse
from vitbench.pytest_plugin import benchmark
from vitbench.pytest_plugin import rounds as benchmarking
from vitbench.pytest_plugin.benchmark import benchmark_model
from vitbench.pytest_plugin.model import BenchmarkConditions, given_model
from vitbench.worker import bench

pytestmark = pytest.mark.compute

PACE = timing.WarmUpPace(block_seconds=1e-3, seconds=0.01)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let warm-up and rounds be short, and the machine be quiet: the times are made up."""
    monkeypatch.setattr(timing.time_step, "__defaults__", (None, PACE))
    monkeypatch.setattr(timing, "STABLE_SPREAD", 1e9)
    monkeypatch.setattr(timing, "disturbances", lambda start, end, **_: ([], []))
    monkeypatch.setattr(benchmarking, "ENOUGH_CALLS", 12)
    monkeypatch.setattr(benchmarking, "ENOUGH_CALL_SECONDS", 0.0)
    monkeypatch.setattr(benchmarking, "NOISY_SECONDS", 0.0)
    monkeypatch.setattr(timing.gc, "collect", lambda: 0)  # of all that the tests hold, several times a benchmark


def run(step: Callable[[], Tensor], rounds: int, calls: int, after: Callable[[], None]) -> Sequence[float]:
    for _ in range(rounds):
        for _ in range(calls):
            step()
        after()
    return [0.004] * rounds


class Net(nn.Module):
    """Three channel means through a linear layer."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.mean((2, 3)))
        return logits


def info(
    model: object, run: Callable[..., Sequence[float]] = run, *, timed: bool = True, **changed: object
) -> dict[str, object]:
    usual = {"mode": "inference", "batch_size": 1, "device": "cpu", "precision": "float32"}
    conditions = BenchmarkConditions(**{**usual, "num_classes": 10, "image_size": 4, **changed})  # type: ignore[arg-type]
    return benchmark_model(given_model(model, conditions), conditions, run, timed=timed)  # type: ignore[arg-type]


def test_single_images_have_a_latency_and_a_rate() -> None:
    times = [0.001 * (1 + turn % 3) for turn in range(12)]  # of three kinds, and of no trend
    found = info(Net(), lambda step, rounds, calls, after: times)
    assert found["latency_p50"] == pytest.approx(0.002)
    assert found["images_per_second"] == pytest.approx(12 / 0.024)
    assert found["train_step"] is None
    assert info(Net(), lambda *_: times[:9])["latency_p50"] is None


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_batches_have_a_rate_alone(mode: str) -> None:
    found = info(Net(), mode=mode, batch_size=8)
    assert found["latency_p50"] is None
    assert found["images_per_second"] == pytest.approx(8 / 0.004)
    assert (found["verdict"], found["reasons"]) == ("valid", [])


def test_training_on_one_image_is_no_latency_and_says_its_step() -> None:
    found = info(Net(), mode="training")
    assert (found["latency_p50"], found["train_step"]) == (None, "adamw")


def test_the_conditions_are_told_and_are_json() -> None:
    found = info(Net(3), batch_size=2)
    assert (
        found
        | {
            "model": "Net",
            "mode": "inference",
            "batch_size": 2,
            "precision": "float32",
            "num_classes": None,
            "image_size": 4,
            "device": "cpu",
            "threads": torch.get_num_threads(),
            "params": 12,
            "machine_class": machine_class("cpu"),
            "torch": str(torch.__version__),
        }
        == found
    )
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("found", "verdict"),
    [((["a load"], []), "warn"), ((["a load"], ["a quota"]), "invalid")],
)
def test_the_verdict_is_the_worst_reasons(
    monkeypatch: pytest.MonkeyPatch, found: tuple[list[str], list[str]], verdict: str
) -> None:
    monkeypatch.setattr(timing, "disturbances", lambda start, end, **_: found)
    result = info(Net(), batch_size=2)
    assert result["verdict"] == verdict
    assert result["reasons"] == [*found[1], *found[0]]


def test_a_model_that_keeps_results_is_invalid() -> None:
    class Remembers(Net):
        def forward(self, images: Tensor) -> Tensor:
            known = self.__dict__.setdefault("known", {})
            key = float(images.sum())
            if key not in known:
                product = images.new_ones(300, 300)
                for _ in range(20):
                    product = product @ product * 0
                known[key] = super().forward(images) + product[0, 0]
            answer: Tensor = known[key]
            return answer

    result = info(Remembers(), batch_size=2)
    assert result["verdict"] == "invalid"
    assert "the model caches results" in str(result["reasons"])


def test_the_flags_of_the_test_are_as_they_were() -> None:
    precision, threads, seed = torch.get_float32_matmul_precision(), torch.get_num_threads(), torch.initial_seed()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.no_grad():
            found = info(Net(), mode="training")
            assert not torch.is_grad_enabled()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(precision)
    assert (found["threads"], torch.get_num_threads(), torch.initial_seed()) == (threads, threads, seed)


def test_flags_and_generators_are_restored_and_a_model_that_writes_them_is_named() -> None:
    class Writes(Net):
        def forward(self, images: Tensor) -> Tensor:
            torch.rand(1)
            torch.set_float32_matmul_precision("medium")
            return super().forward(images)

    model = Writes()
    before, precision = torch.get_rng_state(), torch.get_float32_matmul_precision()
    result = info(model, batch_size=2)
    assert result["verdict"] == "warn"
    [reason] = result["reasons"]  # type: ignore[misc]
    assert reason.startswith("the model changed torch's ")
    assert "float32_matmul_precision" in reason
    assert torch.get_float32_matmul_precision() == precision
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("mode", "changed"), [("inference", False), ("training", True)])
@pytest.mark.parametrize("timed", [True, False])
def test_training_changes_the_weights_of_what_is_built_and_never_of_the_tests_module(
    mode: str, changed: bool, timed: bool
) -> None:
    built: list[Net] = []
    kept: list[Tensor] = []

    def build(**_: object) -> nn.Module:
        built.append(Net())
        kept.append(built[-1].head.weight.detach().clone())
        return built[-1]

    info(build, mode=mode, timed=timed)
    assert len(built) == 1
    assert torch.equal(built[0].head.weight, kept[0]) != changed
    assert built[0].training == changed
    own = Net().eval()
    weight = own.head.weight.detach().clone()
    info(own, mode=mode, timed=timed)
    assert torch.equal(own.head.weight, weight)
    assert not own.training
    assert own.head.weight.grad is None


def test_disabled_the_step_runs_once() -> None:
    calls: list[int] = []

    class Counts(Net):
        def forward(self, images: Tensor) -> Tensor:
            calls.append(len(images))
            assert torch.is_inference_mode_enabled()
            return super().forward(images)

    def once(step: Callable[[], Tensor], rounds: int, calls: int, after: Callable[[], None]) -> list[float]:
        step()
        return []

    result = info(Counts(), once, timed=False, batch_size=5)
    assert calls == [5]
    figures = ("latency_p50", "images_per_second", "peak_memory", "verdict")
    assert [result[name] for name in figures] == [None] * 4
    assert result["reasons"] == ["benchmarks are disabled: the step ran once and nothing was measured"]
    assert result["params"] == 40
    with pytest.raises(InvalidOutput, match="must return logits"):
        info(nn.Flatten(0), once, timed=False)


@pytest.mark.parametrize(("precision", "mode"), [("bfloat16", "inference"), ("float16", "training")])
def test_reduced_precision_reaches_the_model(precision: str, mode: str) -> None:
    seen = set()

    class Probe(Net):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            seen.add(logits.dtype)
            return logits

    probe = Probe()
    info(probe, precision=precision, mode=mode, batch_size=2)
    assert seen == {getattr(torch, precision)}
    assert {parameter.dtype for parameter in probe.parameters()} == {torch.float32}, "the model is the user's own"


def test_an_output_that_is_not_as_asked_is_refused() -> None:
    with pytest.raises(InvalidOutput, match=r"must return logits of shape \(1, 10\)"):
        info(lambda **_: Net(9))


def test_a_device_or_a_precision_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        info(Net(), device="gpu")
    with pytest.raises(UnusableError, match="tf32 needs a CUDA device"):
        info(Net(), precision="tf32")


def test_memory_is_the_rise_and_holds_the_weights() -> None:
    result = info(nn.Sequential(nn.Flatten(), nn.Linear(48, 2**17)))
    weights = 49 * 2**17 * 4
    assert 0.9 * weights < result["peak_memory"] < 1.6 * weights  # type: ignore[operator]
    assert "resident set" in str(result["peak_memory_note"])


def test_memory_that_cannot_be_told_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Net()
    model._orig_mod = nn.Identity()  # type: ignore[assignment]
    result = info(model, batch_size=2)
    assert (result["peak_memory"], result["peak_memory_note"]) == (None, benchmark.COMPILED_ON_CPU)

    def cannot(device: torch.device) -> None:
        raise Skip("peak memory cannot be measured here")

    monkeypatch.setattr(bench, "memory_baseline", cannot)
    result = info(Net(), batch_size=2)
    assert (result["peak_memory"], result["peak_memory_note"]) == (None, "peak memory cannot be measured here")
    assert result["verdict"] == "valid"


def test_a_peak_below_the_weights_is_no_figure() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    use = MemoryUse(mode="inference", peak_bytes=500, absolute_peak_bytes=900, baseline_bytes=300, weights_bytes=501)
    assert benchmark._peak(use, Net(), cpu) == (None, benchmark.TOO_SMALL)
    assert benchmark._peak(use, Net(), cuda) == (200, benchmark.ON_CUDA)
