"""A speed cell in this process: what it measures, and that it does not end well without a figure."""

from __future__ import annotations

import dataclasses
import itertools
import weakref
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import factories
import known_models
import msgspec
import pytest
import torch
from torch import nn

from vitbench.catalog import Catalog, Offer, load_catalog
from vitbench.execution.messages import CellJob, CellResult
from vitbench.measuring import in_turn, sustained, timing
from vitbench.measuring.reference import REFERENCE
from vitbench.measuring.steps import InvalidOutput
from vitbench.measuring.timing import WarmUpPace
from vitbench.protocols import FitRun, TrainStep
from vitbench.records import KeyedCell, Measurement
from vitbench.specs import ModelSpec, RecipeSpec
from vitbench.worker import runtime, speed
from vitbench.worker.casting import CAST_AT_EACH_CALL
from vitbench.worker.speed import run_speed

pytestmark = pytest.mark.compute


OPTIONS = factories.SMALL_VIT


@pytest.fixture(scope="module")
def planned() -> KeyedCell:
    return factories.speed_cell("vit", options=OPTIONS, batch_size=2)


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"BLOCK_SECONDS": 0.01, "WARMUP_SECONDS": 0.05, "NOISY_SECONDS": 0.05}.items():
        monkeypatch.setattr(timing, name, seconds)
    for name, seconds in {"BLOCK_SECONDS": 0.002, "ENOUGH_CALL_SECONDS": 0.05, "TURN_SECONDS": 0.05}.items():
        monkeypatch.setattr(in_turn, name, seconds)
    monkeypatch.setattr(in_turn, "MOST_TURN_SECONDS", 0.1)
    monkeypatch.setattr(in_turn, "WARM_UP", WarmUpPace(block_seconds=0.003, seconds=0.02, slow_seconds=0.2))


def measured(planned: KeyedCell, catalog: Catalog) -> tuple[CellResult, list[object]]:
    sent: list[object] = []
    return run_speed(CellJob(planned=planned), catalog, sent.append), sent


def test_it_gives_throughput_memory_and_cost(planned: KeyedCell) -> None:
    outcome, sent = measured(planned, load_catalog())
    values = {one.name: one.value for one in outcome.measurements}
    assert outcome.status == "ok"
    assert values["params"] == params_of_the_vit()
    assert values["throughput"] > 0
    assert "latency_p50" not in values, "that is a matter of batch 1"
    assert "peak_memory" in values
    assert "variant_error" not in values, "float32 is no variant"
    energy = next(one for one in outcome.measurements if one.name == "energy_per_image")
    assert energy.value is None
    assert energy.verdict.reasons[0].startswith("energy needs the counter of an NVIDIA GPU")
    assert {one.name for one in outcome.measurements if one.ratio} == {"throughput"}
    assert len(sent) == 1, "one sign of life before, and silence while it measures"
    assert outcome.runtime["threads"] == 1


def params_of_the_vit() -> int:
    # 8x8 gray images in patches of 4: 5 tokens of width 16, one block with MLP ratio 2, 10 classes.
    width, tokens, patch, hidden = 16, 5, 16, 32
    block = 4 * width * width + 4 * width + 2 * width * hidden + hidden + width + 4 * width
    return patch * width + width + tokens * width + width + block + 2 * width + 10 * width + 10


def test_without_a_metric_it_is_no_success(planned: KeyedCell) -> None:
    without = Catalog(**{**catalog_fields(load_catalog()), "metrics": {}})
    outcome, _ = measured(planned, without)
    assert (outcome.status, outcome.measurements) == ("failed", ())
    assert "no installed metric" in outcome.reason


def catalog_fields(catalog: Catalog) -> dict[str, object]:
    return {name: getattr(catalog, name) for name in ("plugins", "problems", "models", "datasets", "recipes", "suites")}


def test_a_wrong_option_is_an_error_of_the_cell(planned: KeyedCell) -> None:
    wrong = msgspec.structs.replace(
        planned, cell=msgspec.structs.replace(planned.cell, options={**OPTIONS, "patchsize": 4})
    )
    with pytest.raises(TypeError, match="patchsize"):
        measured(wrong, load_catalog())


# Models with known behaviour


def speed_of(
    model: Callable[..., nn.Module],
    *,
    job: dict[str, object] | None = None,
    step: Callable[..., TrainStep] | None = None,
    **cell: object,
) -> CellResult:
    """Measure a model of the test as a plugin's, on images of 1x8x8; `step` is that of the recipe scratch/own."""

    def build(*, num_classes: int, image_size: int, in_channels: int) -> nn.Module:
        return model(num_classes=num_classes, in_channels=in_channels)

    installed = load_catalog()
    offer = Offer(
        name="scratch/known",
        plugin=installed.plugins[0],
        spec=ModelSpec(name="known", build=build, summary="A model of a test"),
    )
    recipe = RecipeSpec(name="own", fit="a:fit", step=step, summary="A recipe of a test")
    offers = {
        "metrics": installed.metrics,
        "models": {"scratch/known": offer},
        "recipes": {"scratch/own": Offer(name="scratch/own", plugin=offer.plugin, spec=recipe)},
    }
    catalog = Catalog(**{**catalog_fields(installed), **offers})
    planned = factories.speed_cell("known", options={}, **cell)
    return run_speed(CellJob(planned=planned, **(job or {})), catalog, lambda _: None)


def figures(outcome: CellResult) -> dict[str, Measurement]:
    return {one.name: one for one in outcome.measurements}


def test_a_sleeper_has_the_speed_that_it_sleeps_for() -> None:
    found = figures(speed_of(partial(known_models.Sleeper, 0.004), batch_size=8))
    assert 1000 < found["throughput"].value <= 2000
    assert found["throughput"].samples[0]


def test_a_window_is_sustained_where_the_cell_asks_for_it_and_not_by_processes_that_only_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sustained, "BLOCK_SECONDS", 0.01)
    model = partial(known_models.Sleeper, 0.004)
    outcome = speed_of(model, batch_size=8, sustained=0.1)
    value = figures(outcome)["sustained_throughput"].value
    assert value is not None
    assert 0 < value <= 2000
    assert outcome.course[-1]["seconds"] >= 0.1
    later = speed_of(model, batch_size=8, sustained=0.1, job={"process": 3, "timing_only": True})
    assert "sustained_throughput" not in figures(later)
    assert later.course == ()
    trained = speed_of(known_models.Linear, batch_size=8, sustained=0.1, mode="training")
    assert figures(trained)["sustained_train_throughput"].value


def test_cold_start_is_a_figure_of_its_own_and_evidence_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(known_models.Linear):
        """Takes 0.2 s to set itself up at the first call."""

        ready = False

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if not self.ready:
                known_models.time.sleep(0.2)
                self.ready = True
            return super().forward(images)

    stops = itertools.count(step=100)
    monkeypatch.setattr("vitbench.measuring.evidence._throttled", lambda: float(next(stops)))
    outcome = speed_of(Lazy, batch_size=1)
    found = figures(outcome)
    assert any("quota" in reason for reason in found["cold_start"].verdict.reasons)
    assert found["cold_start"].value > 0.2 > found["latency_p50"].value
    assert "compile_seconds" not in found
    assert outcome.evidence["seconds"] > 0


def test_random_weights_have_no_cold_start() -> None:
    found = figures(speed_of(known_models.Linear, batch_size=1, hub="away"))
    assert found["cold_start"].value is None
    assert found["cold_start"].verdict.reasons == ("its weights are random, since the hub did not answer",)
    assert found["latency_p50"].value


class LeftAlone(known_models.Linear):
    """A model that torch.compile does not touch."""

    @torch.compiler.disable
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images)


def test_a_model_of_which_nothing_was_compiled_has_no_compiled_speed() -> None:
    with pytest.raises(InvalidOutput, match="nothing was compiled"):
        speed_of(LeftAlone, batch_size=8, compile="default")


def test_training_tells_where_its_memory_goes() -> None:
    found = figures(speed_of(known_models.Linear, batch_size=8, mode="training"))
    weights = 4 * 20  # one channel to ten classes, and biases
    assert found["train_memory_weights"].value == found["train_memory_gradients"].value == weights
    assert found["train_memory_optimiser"].value >= 2 * weights
    assert found["train_throughput"].value > 0
    assert "cold_start" not in found


def test_training_takes_the_step_of_the_recipe_which_may_pass_through_the_model_twice() -> None:
    """Sharpness-aware minimisation (arXiv 2010.01412): its speed is that of two passes for each step."""
    passes, steps = 0, 0

    class Counting(known_models.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            nonlocal passes
            passes += images.device.type != "meta"
            return super().forward(images)

    def step(model: nn.Module, run: FitRun) -> TrainStep:
        parameters = list(model.parameters())
        optimizer = torch.optim.SGD(parameters, lr=0.1)

        def gradients(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            return loss

        def take(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            nonlocal steps
            steps += 1
            loss = gradients(inputs, labels)
            with torch.no_grad():
                scale = 0.05 / (torch.stack([parameter.grad.norm() for parameter in parameters]).norm() + 1e-12)
                moves = [scale * parameter.grad for parameter in parameters]
                torch._foreach_add_(parameters, moves)
            gradients(inputs, labels)
            with torch.no_grad():
                torch._foreach_sub_(parameters, moves)
            optimizer.step()
            return loss

        return TrainStep(optimizer=optimizer, take=take)

    found = figures(speed_of(Counting, batch_size=8, mode="training", step=step, recipe="scratch/own"))
    assert passes == 2 * steps
    assert found["train_throughput"].value > 0
    assert found["train_memory_optimiser"].value == 0  # plain SGD has no state
    assert found["train_memory_gradients"].value == 4 * 20


def test_a_model_that_keeps_results_is_at_fault() -> None:
    (fault,) = speed_of(partial(known_models.Caching, 0.02), batch_size=4).faults
    assert fault.endswith("the model caches results")


def test_outputs_that_are_not_finite_are_invalid() -> None:
    found = figures(speed_of(known_models.NaNRow, batch_size=32))["throughput"]
    assert found.verdict.level == "invalid"
    assert "the model's output was not finite" in found.verdict.reasons


def test_an_output_that_is_no_batch_of_logits_ends_the_cell() -> None:
    with pytest.raises(InvalidOutput, match="the model's output is on meta, not on cpu"):
        speed_of(known_models.OnMeta, batch_size=4)


def test_a_model_that_changes_flags_is_named_and_they_are_as_they_were() -> None:
    outcome = speed_of(known_models.FlagFlipper, batch_size=4)
    for flag in ("threads", "default_dtype", "cudnn.benchmark"):
        assert flag in outcome.warnings[0]
    assert torch.get_default_dtype() == torch.float32, (
        "nor did it change anything here when its operations were counted"
    )


class WrongInBfloat16(known_models.Linear):
    """Adds half of itself where autocast is on."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().forward(images)
        return logits * 1.5 if torch.is_autocast_enabled("cpu") else logits


def test_a_variant_that_computes_something_else_is_at_fault() -> None:
    sound = speed_of(known_models.Linear, batch_size=4, precision="bfloat16")
    assert (sound.faults, sound.warnings) == ((), ()), "its weights are cast once"
    assert 0 < figures(sound)["variant_error"].value < 0.05
    wrong = speed_of(WrongInBfloat16, batch_size=4, precision="bfloat16")
    assert wrong.faults[0].startswith("this variant disagrees with float32: the largest error is 5")


class OwnHead(known_models.Linear):
    """Computes its head in float32, whatever is around it, and notes the weights' type at each call."""

    seen: ClassVar[list[torch.dtype]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(self.head.weight.dtype)
        with torch.autocast("cpu", enabled=False):
            return super().forward(images)


def test_where_weights_cannot_be_cast_once_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnHead, "seen", [])
    found = speed_of(OwnHead, batch_size=4, precision="bfloat16")
    assert (found.status, found.faults, found.warnings) == ("ok", (), (CAST_AT_EACH_CALL,))
    assert OwnHead.seen.count(torch.bfloat16) == 1, "the first call, which failed"


def test_the_batch_that_is_searched_for_is_tried_with_cast_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnHead, "seen", [])
    found = speed_of(OwnHead, batch_size=4, precision="bfloat16", job={"probe": True})
    assert (found.status, OwnHead.seen[0], OwnHead.seen[-1]) == ("ok", torch.bfloat16, torch.float32)


def test_a_zero_head_does_not_hide_a_wrong_variant() -> None:
    class ZeroHead(WrongInBfloat16):
        def __init__(self, **shape: int) -> None:
            super().__init__(**shape)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    assert speed_of(ZeroHead, batch_size=4, precision="bfloat16").faults != ()


def test_later_processes_do_not_repeat_what_does_not_change_and_some_only_time() -> None:
    later = figures(speed_of(known_models.Linear, batch_size=4, precision="bfloat16", job={"process": 1}))
    assert {"throughput", "peak_memory"} <= set(later)
    assert not {"params", "macs", "variant_error"} & set(later)
    only_timed = {"process": 3, "timing_only": True}
    assert set(figures(speed_of(known_models.Linear, batch_size=4, job=only_timed))) == {"throughput"}
    single = set(figures(speed_of(known_models.Linear, batch_size=1, job=only_timed)))
    assert "latency_p50" in single
    assert all(name.startswith("latency") for name in single)


def test_a_probe_runs_the_batch_that_it_is_told_and_measures_nothing() -> None:
    seen = []

    class Counting(known_models.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return super().forward(images)

    outcome = speed_of(Counting, batch_size=4, largest_batch=True, job={"batch_size": 12, "probe": True})
    assert (outcome.status, outcome.measurements) == ("ok", ())
    assert set(seen) - {1} == {12}, "one image is for the count of operations"


def test_a_batch_that_takes_too_long_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PROBE_SECONDS", 0.02)
    slow = partial(known_models.Sleeper, 0.05)
    outcome = speed_of(slow, batch_size=4, largest_batch=True, job={"batch_size": 12, "probe": True})
    assert (outcome.status, outcome.reason) == ("timeout", "takes 0.1 s per step, over 0.02 s")


def test_figures_of_the_largest_batch_have_names_of_their_own() -> None:
    found = figures(speed_of(known_models.Linear, batch_size=4, largest_batch=True, job={"batch_size": 12}))
    assert {"largest_batch_throughput", "largest_batch_peak_memory"} <= set(found)
    assert "largest_batch_cold_start" not in found
    assert all(name.startswith("largest_batch_") for name in found)


# In turn with the reference network


@pytest.mark.parametrize(("batch_size", "mode"), [(1, "inference"), (4, "training")])
def test_a_speed_is_timed_in_turn_with_the_reference_network(batch_size: int, mode: str) -> None:
    found = figures(speed_of(nn_flat, batch_size=batch_size, mode=mode))
    name = "train_throughput" if mode == "training" else "latency_p50"
    ratio = found[name].ratio
    assert ratio is not None
    assert (ratio.network, ratio.quads >= 3) == (REFERENCE, True)
    assert ratio.value > 0 < ratio.reference
    assert {other for other, one in found.items() if one.ratio} == {name}


def nn_flat(*, num_classes: int, in_channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))


def test_a_largest_batch_that_leaves_no_room_for_the_reference_is_timed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    class Held:
        pass

    def no_room(*_: object) -> object:
        allocated = Held()
        held.append(weakref.ref(allocated))
        raise torch.OutOfMemoryError

    def alone(*args: object) -> object:
        assert held[-1]() is None, "what was allocated for the reference is given back before the model is timed"
        return time_alone(*args)

    time_alone = speed.Bench.time
    monkeypatch.setattr(speed, "make_reference", no_room)
    monkeypatch.setattr(speed.Bench, "time", alone)
    found = figures(speed_of(nn_flat, batch_size=4, largest_batch=True))["largest_batch_throughput"]
    assert found.value is not None
    assert found.ratio is None
    with pytest.raises(torch.OutOfMemoryError):
        speed_of(nn_flat, batch_size=4)


def test_the_reference_keeps_float32_where_the_model_has_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    flags: dict[str, set[str]] = {"model": set(), "reference": set()}

    def seen(of: str) -> None:
        flags[of].add(torch.get_float32_matmul_precision())

    make = speed.make_reference

    def reference(*arguments: object) -> object:
        made = make(*arguments)

        def step() -> torch.Tensor:
            seen("reference")
            return made.step()

        return dataclasses.replace(made, step=step)

    class Watched(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen("model")
            return super().forward(images)

    def model(*, num_classes: int, in_channels: int) -> nn.Module:
        return Watched(*nn_flat(num_classes=num_classes, in_channels=in_channels))

    monkeypatch.setattr(speed, "make_reference", reference)
    monkeypatch.setattr(runtime, "check_precision", lambda precision, device: None)
    speed_of(model, batch_size=4, precision="tf32")
    assert flags["reference"] == {"highest"}
    assert "high" in flags["model"]
