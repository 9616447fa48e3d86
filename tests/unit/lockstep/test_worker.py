"""The live worker's own half: what a block is made of, and what is said of it. Processes: tests/integration."""

from __future__ import annotations

import contextlib
import gc
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import factories
import msgspec
import pytest
import torch
from torch import nn

from vitbench.catalog import Catalog, select_plugins
from vitbench.errors import VitbenchError
from vitbench.lockstep import worker as live
from vitbench.lockstep.process import Order, Ran, Ready, RunCalls
from vitbench.lockstep.worker import model_block
from vitbench.measuring import evidence, steps
from vitbench.measuring.steps import InvalidOutput
from vitbench.protocols import FitRun, TrainStep
from vitbench.specs import RecipeSpec
from vitbench.worker import build
from vitbench.worker.casting import CAST_AT_EACH_CALL

OF_ONE_FILE = """
import vitbench
from torch import nn


@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="flat", build="of_one_file:build", summary="A linear model")


def build(*, num_classes, image_size, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_classes))
"""


def order(label: str = "vit", **of_cell: object) -> Order:
    return Order(planned=factories.speed_cell(label, **of_cell), target="")


class Probe(nn.Module):
    """A linear model that notes under what conditions it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.seen: list[tuple[object, ...]] = []
        self.factor = 1.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        modes = self.training, torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        self.seen.append((*modes, tuple(images.shape), torch.get_num_threads()))
        return self.linear(images.flatten(1)) * self.factor


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    model = Probe()
    monkeypatch.setattr(Catalog, "member", lambda self, name: None)
    monkeypatch.setattr(build, "build_model", lambda planned, spec, num_classes: model)
    return model


def test_a_cells_model_is_called_under_the_cells_conditions(probe: Probe) -> None:
    with model_block(order(batch_size=5, precision="bfloat16")) as block:
        assert block(3).seconds > 0
        assert probe.seen == [(False, True, True, (5, 1, 8, 8), 1)] * 3
    assert probe.linear.weight.dtype == torch.bfloat16, "cast once, as in a run"
    probe.float()
    weight = probe.linear.weight.clone()
    with model_block(order(batch_size=5, mode="training")) as block:
        block(2)
        assert probe.seen[3:] == [(True, False, False, (5, 1, 8, 8), 1)] * 2
    assert not torch.equal(weight, probe.linear.weight)


def test_a_model_of_which_nothing_was_compiled_is_not_timed_as_compiled(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda model: model)  # what a disabled compiler does
    with model_block(order(batch_size=2)) as block:
        block(1)
    with (
        model_block(order(batch_size=2, compile="default")) as block,
        pytest.raises(InvalidOutput, match="nothing was comp"),
    ):
        block(1)


@pytest.fixture
def events(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what happens in order: calls of the model, and waits for the device."""
    seen: list[str] = []
    monkeypatch.setattr(steps, "synchronise", lambda device: seen.append("wait"))
    probe.register_forward_pre_hook(lambda *_: seen.append("call"))
    return seen


def test_at_batch_1_each_call_is_synchronised(events: list[str]) -> None:
    with model_block(order(batch_size=1)) as block:
        block(3)
    assert events == ["wait", "call", "wait"] * 3


@pytest.mark.parametrize("cell", [{"batch_size": 2}, {"batch_size": 1, "mode": "training"}], ids=["batch", "training"])
def test_throughput_is_pipelined(events: list[str], cell: dict[str, Any]) -> None:
    with model_block(order(**cell)) as block:
        block(3)
    assert events == ["wait", "call", "call", "call", "wait"]


def test_a_block_at_batch_1_counts_as_its_median_call(events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = itertools.cycle([2, 90, 3])  # one call in three meets an interrupt
    now = itertools.accumulate(itertools.chain.from_iterable((0, next(lengths)) for _ in itertools.count()))
    monkeypatch.setattr(steps.time, "perf_counter_ns", lambda: 10**9 * next(now))
    with model_block(order(batch_size=1)) as block:
        assert block(3).seconds == 3 * 3.0
    with model_block(order(batch_size=2)) as block:
        assert block(2).seconds == 2.0, "a pipelined block is timed as a whole"


def test_a_model_that_cannot_do_with_cast_weights_is_timed_without_and_it_is_said(probe: Probe) -> None:
    head = nn.Linear(10, 10)

    def own_head(module: nn.Module, inputs: object, logits: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return head(logits.float())

    probe.add_module("head", head)
    probe.register_forward_hook(own_head)
    with model_block(order(batch_size=5, precision="bfloat16")) as block:
        assert CAST_AT_EACH_CALL in block(2).remarks
        assert CAST_AT_EACH_CALL in block(2).remarks
    assert head.weight.dtype == torch.float32


def test_a_training_step_is_that_of_the_cells_recipe(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def step(model: nn.Module, run: FitRun) -> TrainStep:
        def take(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            taken.append(run.options)
            return model(inputs).sum()

        return TrainStep(optimizer=torch.optim.SGD(model.parameters(), lr=0.1), take=take)

    spec = RecipeSpec(name="own", fit="a:fit", step=step, summary="x")
    monkeypatch.setattr(Catalog, "recipe", lambda self, name: SimpleNamespace(name=name, spec=spec))
    with model_block(order(mode="training", recipe="zoo/own", recipe_options={"rho": 0.5})) as block:
        block(3)
    assert taken == [{"rho": 0.5}] * 3


def test_a_model_that_is_not_finite_or_gives_no_logits_is_an_error(probe: Probe) -> None:
    with model_block(order()) as block:
        block(1)
        probe.factor = float("nan")
        with pytest.raises(VitbenchError, match="the model's output was not finite"):
            block(1)
    probe.factor, probe.linear = 1.0, nn.Linear(64, 7)
    with model_block(order()) as block, pytest.raises(VitbenchError, match=r"shape \(32, 7\)"):
        block(1)


def test_a_model_that_changes_torchs_flags_is_reported(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "disturbances", lambda *_, **__: ([], []))
    with model_block(order()) as block:
        assert block(1).remarks == ()
        probe.register_forward_hook(lambda *_: torch.backends.cudnn.__setattr__("benchmark", True))
        changed = block(1)
        assert changed.remarks == ("the model changed torch's cudnn.benchmark",)
    assert not torch.backends.cudnn.benchmark


def test_a_block_says_what_the_machine_took_from_it(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "disturbances", lambda *_, **__: ([], []))
    monkeypatch.setattr(
        evidence, "disturbance", lambda start, end, on_cpu, gpu_peers, since: 0.25 if on_cpu and gpu_peers == 1 else 0.5
    )
    with model_block(order()) as block:
        assert block(1).disturbance == 0.25


def test_a_block_carries_what_the_machine_did(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def disturbances(
        start: Any, end: Any, *, threads: int, on_cpu: bool, gpu_peers: int, since: Any
    ) -> tuple[Any, Any]:
        asked.append((start.seen, end.seen, threads, on_cpu, gpu_peers))
        return ["a load"], ["no processor"]

    monkeypatch.setattr(
        evidence, "observe", lambda device: SimpleNamespace(wall=0.0, gpu=None, seen=(len(probe.seen), str(device)))
    )
    monkeypatch.setattr(evidence, "disturbances", disturbances)
    monkeypatch.setattr(evidence, "disturbance", lambda *_, **__: 0.0)
    with model_block(order()) as block:
        assert block(3).remarks == ("no processor", "a load")
        assert block(5).remarks == ("no processor", "a load")
    assert asked == [((0, "cpu"), (3, "cpu"), 1, True, 1), ((3, "cpu"), (8, "cpu"), 1, True, 1)]


def test_the_hosts_share_is_counted_over_the_last_fifth_of_a_second_at_least(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Built at 0; blocks of 30 ms, and as long a wait for the other side: 0.06 to 0.09, 0.12 to 0.15, ...
    times = iter(itertools.chain([0.0], *((0.06 * i, 0.06 * i + 0.03) for i in range(1, 7))))
    spans = []

    def disturbances(start: Any, end: Any, *, since: Any, **_: Any) -> tuple[list[str], list[str]]:
        spans.append((round(since.wall, 2), round(end.wall, 2)))
        return [], []

    def disturbance(start: Any, end: Any, *, since: Any, **_: Any) -> float:
        assert (round(since.wall, 2), round(end.wall, 2)) == spans[-1]
        return 0.0

    monkeypatch.setattr(evidence, "observe", lambda device: SimpleNamespace(wall=next(times), gpu=None))
    monkeypatch.setattr(evidence, "disturbances", disturbances)
    monkeypatch.setattr(evidence, "disturbance", disturbance)
    with model_block(order()) as block:
        for _ in range(6):
            block(1)
    assert spans == [(0, 0.09), (0, 0.15), (0, 0.21), (0.06, 0.27), (0.12, 0.33), (0.18, 0.39)]


def test_a_model_of_a_plugin_file_is_built_from_the_text_that_was_read(tmp_path: Path) -> None:
    file = tmp_path / "of_one_file.py"
    file.write_text(OF_ONE_FILE)
    plugins = select_plugins([file])
    file.unlink()
    planned = factories.speed_cell(options={})
    cell = msgspec.structs.replace(planned.cell, model="of_one_file/flat")
    planned = msgspec.structs.replace(planned, cell=cell)
    try:
        with model_block(Order(planned=planned, target="", plugins=plugins)) as block:
            assert block(2).seconds > 0
    finally:
        sys.modules.pop("of_one_file", None)


@contextlib.contextmanager
def counting(order: Order) -> Iterator[live.Block]:
    """Give blocks of a second for each call, and say whether garbage is collected meanwhile."""

    def block(calls: int) -> Ran:
        if calls == 0:
            raise ZeroDivisionError
        return Ran(seconds=float(calls), remarks=(f"collecting: {gc.isenabled()}",))

    yield block


@pytest.mark.compute
def test_blocks_run_one_by_one_without_garbage_collection_and_rest_before_they_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "load_target", lambda target: counting)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    orders = Order(planned=factories.speed_cell(), target=""), RunCalls(calls=3), RunCalls(calls=5), RunCalls(calls=0)
    lines = map(msgspec.json.encode, orders)
    said: list[object] = []
    monkeypatch.setattr(live, "_rest", lambda: said.append("rest"))
    try:
        with pytest.raises(ZeroDivisionError):
            live._serve(lambda: next(lines), said.append)
    finally:
        gc.enable()
    remarks = ("collecting: False",)
    assert said == [Ready(), "rest", Ran(seconds=3.0, remarks=remarks), "rest", Ran(seconds=5.0, remarks=remarks)]


def test_a_worker_rests_until_its_threads_do(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, naps = iter([0.0, 0.0049, 0.01, 0.0140, 0.02, 0.0205]), []
    monkeypatch.setattr(time, "process_time", lambda: next(busy))
    monkeypatch.setattr(time, "sleep", naps.append)
    live._rest()
    assert len(naps) == 3, "4.9 ms, then 4 ms, then half a millisecond of computing in naps of 5 ms"


def test_a_worker_that_never_rests_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REST_MOST", 0.05)
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            pass

    spinner = threading.Thread(target=spin)
    spinner.start()
    live._rest()
    over.set()
    spinner.join()
