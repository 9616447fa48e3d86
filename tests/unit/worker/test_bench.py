"""The one timed step: what it does in each mode, and what the passes over it need."""

from __future__ import annotations

from typing import Any

import factories
import known_models
import msgspec
import pytest
import torch
from torch import Tensor, nn

from vitbench.catalog import Catalog, Offer, load_catalog
from vitbench.errors import Skip, UnusableError
from vitbench.measuring import timing
from vitbench.measuring.steps import LEARNING_RATE, InvalidOutput
from vitbench.protocols import FitRun, TrainStep
from vitbench.records import SpeedCell
from vitbench.specs import RecipeSpec
from vitbench.worker import bench as module
from vitbench.worker.bench import Bench, read_baseline, recipe_step

pytestmark = pytest.mark.compute
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"BLOCK_SECONDS": 0.001, "WARMUP_SECONDS": 0.005, "NOISY_SECONDS": 0.005}.items():
        monkeypatch.setattr(timing, name, seconds)


class Probe(nn.Module):
    """A linear model that notes under what conditions it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)
        self.seen: list[tuple[object, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        self.seen.append((self.training, torch.is_inference_mode_enabled(), logits.dtype, tuple(images.shape)))
        return logits


def bench(model: nn.Module, **fields: Any) -> Bench:
    usual: dict[str, Any] = {"mode": "inference", "precision": "float32", "batch_size": 2, "num_classes": 3}
    return Bench(model=model, device=CPU, input_shape=(3, 2, 2), **usual | fields)


def test_a_cells_bench_has_its_conditions_and_another_batch_size_where_one_is_given() -> None:
    cell = factories.speed_cell(batch_size=4, precision="bfloat16", mode="training").cell
    assert isinstance(cell, SpeedCell)
    cell = msgspec.structs.replace(cell, channels_last=True)
    model = nn.Linear(2, 2)
    made = Bench.of_cell(model, cell)
    assert made == Bench(
        model=model,
        mode="training",
        precision="bfloat16",
        device=CPU,
        input_shape=cell.input_shape,
        batch_size=4,
        num_classes=cell.num_classes,
        channels_last=True,
    )
    assert Bench.of_cell(model, cell, batch_size=12).batch_size == 12


def test_inputs_are_the_same_at_each_call_and_others_with_another_seed() -> None:
    made = bench(nn.Identity(), batch_size=5, channels_last=True)
    first, again, others = made.inputs(), made.inputs(), made.inputs(seed=1)
    assert [tuple(batch.shape) for batch in first] == [(5, 3, 2, 2)] * 4
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in first)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, others))
    assert len(made.inputs(count=1)) == 1


@pytest.mark.parametrize(
    ("mode", "precision"),
    [("inference", "float32"), ("inference", "bfloat16"), ("training", "float32"), ("training", "float16")],
)
def test_every_pass_takes_the_step_of_its_mode_and_precision(mode: str, precision: str) -> None:
    model = Probe()
    weight = model.linear.weight.detach().clone()
    made = bench(model, mode=mode, precision=precision)
    inputs = made.inputs()
    made.weigh(read_baseline(CPU))
    assert made.time(inputs).mode == mode
    seen = set(model.seen)
    training = mode == "training"
    dtype = getattr(torch, precision)
    # The last pass of memory, which tells its parts, takes a training step of its own.
    assert seen == {(training, not training, dtype, (2, 3, 2, 2))}
    assert made.weights.remarks == ()
    assert model.linear.weight.dtype == (torch.float32 if training else dtype), "in inference it is cast once"
    made.weights.restore()
    assert torch.equal(model.linear.weight, weight) != training


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_first_output_of_each_step_is_checked(mode: str) -> None:
    wrong = bench(Probe(), mode=mode, num_classes=4)
    with pytest.raises(InvalidOutput, match=r"must return logits of shape \(2, 4\)"):
        wrong.step(wrong.inputs())()
    free = bench(Probe(), mode=mode, num_classes=None)
    assert free.step(free.inputs())().shape == ((2, 3) if mode == "inference" else ())


@pytest.mark.parametrize(("precision", "scaled"), [("float32", False), ("bfloat16", False), ("float16", True)])
def test_float16_alone_has_its_loss_scaled(precision: str, scaled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    scalers = []
    monkeypatch.setattr(module, "plain_train_step", lambda *_, scaler, **__: scalers.append(scaler))
    bench(Probe(), mode="training", precision=precision)
    assert [scaler.is_enabled() for scaler in scalers] == [scaled]


def test_where_there_is_no_baseline_there_is_no_peak_and_the_reason_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(device: torch.device) -> None:
        raise Skip("not here")

    monkeypatch.setattr(module, "memory_baseline", cannot)
    model = Probe()
    assert str(bench(model).weigh(read_baseline(CPU))) == "not here"
    assert model.seen == []


def test_a_model_that_keeps_results_is_told_in_inference_alone() -> None:
    kept = known_models.Caching(0.01, num_classes=3, in_channels=3)
    made = bench(kept)
    inputs = made.inputs()
    made.time(inputs)
    (reason,) = made.remembered(inputs)
    assert reason.endswith("the model caches results")
    assert bench(kept, mode="training").remembered(inputs) == []
    assert bench(Probe()).remembered(inputs) == []


def test_another_clock_and_loop_may_measure() -> None:
    timed = bench(Probe()).time(bench(Probe()).inputs(), lambda block, warm: [1.5, 1.5])
    assert timed.block_seconds == (1.5, 1.5)


# Steps of recipes


def catalog(step: object) -> Catalog:
    """A catalog with one recipe, whose step is given."""
    spec = RecipeSpec(name="own", fit="kitchen:fit", step=step, summary="A recipe of a test", options={"scale": 2.0})  # type: ignore[arg-type]
    offer = Offer(name="kitchen/own", plugin=load_catalog().plugins[0], spec=spec)
    return Catalog(
        **{name: {} for name in ("models", "datasets", "metrics", "suites")},
        plugins=(offer.plugin,),
        problems=(),
        recipes={"kitchen/own": offer},
    )


def training_cell(**fields: Any) -> SpeedCell:
    usual = {"mode": "training", "recipe": "kitchen/own", "recipe_options": {"scale": 3.0}, "batch_size": 2}
    cell = factories.speed_cell(**usual | fields).cell
    assert isinstance(cell, SpeedCell)
    return msgspec.structs.replace(cell, num_classes=3, input_shape=(3, 2, 2))


def test_a_recipes_step_is_made_once_of_the_placed_model_and_taken_by_every_pass() -> None:
    runs: list[FitRun] = []
    rates = []
    labels_seen: set[int] = set()

    def step(model: nn.Module, run: FitRun) -> TrainStep:
        runs.append(run)
        run.log(epoch=1, loss=0.5)
        run.log()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)

        def take(inputs: Tensor, labels: Tensor) -> Tensor:
            rates.append(optimizer.param_groups[0]["lr"])
            labels_seen.update(labels.tolist())
            optimizer.zero_grad()
            loss = run.options["scale"] * nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
            return loss

        return TrainStep(optimizer=optimizer, take=take)

    model = Probe()
    weight = model.linear.weight.detach().clone()
    cell = training_cell(precision="bfloat16")
    made = Bench.of_cell(model, cell, train=recipe_step(cell, catalog(step)))
    use = made.weigh(read_baseline(CPU))
    made.time(made.inputs())
    (run,) = runs
    assert (run.device, run.precision, run.seed, run.options) == (CPU, "bfloat16", 0, {"scale": 3.0})
    assert (run.budget.epochs, run.compile, run.channels_last) == (None, "", False)
    assert set(rates) == {LEARNING_RATE}
    assert labels_seen == {0, 1, 2}
    assert torch.allclose(model.linear.weight, weight, atol=0.5)  # thousands of steps, each of them tiny
    assert all(training for training, *_ in model.seen)
    if not isinstance(use, Skip):
        assert use.optimiser_bytes == use.gradient_bytes == use.weights_bytes == 4 * (12 * 3 + 3)


def test_a_step_that_is_none_ends_in_words() -> None:
    cell = training_cell()
    make = recipe_step(cell, catalog(lambda model: (torch.optim.SGD(model.parameters()), None)))
    assert make is not None
    with pytest.raises(
        InvalidOutput,
        match=(
            r"the step of recipe kitchen/own returned a tuple; it must return a "
            r"vitbench"
        ),
    ):
        Bench.of_cell(Probe(), cell, train=make)
    assert recipe_step(training_cell(recipe="", recipe_options={}), catalog(None)) is None, "none is looked for"
    with pytest.raises(UnusableError, match="recipe kitchen/own has no step, but it had one when this was planned"):
        recipe_step(cell, catalog(None))
