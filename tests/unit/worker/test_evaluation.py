"""An evaluation in this process: what a variant is held against, what is audited, and what is timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import factories
import known_models
import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from vitbench.measuring.steps import InvalidOutput
from vitbench.protocols import Split
from vitbench.records import KeyedCell
from vitbench.specs import Preprocess
from vitbench.worker import evaluation as module
from vitbench.worker.casting import CAST_AT_EACH_CALL
from vitbench.worker.evaluation import Evaluation, evaluate
from vitbench.worker.runtime import changed_flags, runtime

pytestmark = pytest.mark.compute


IMAGES = 40
DISAGREES = "this variant disagrees with float32: "


def planned(*, baseline: bool = False, **conditions: Any) -> KeyedCell:
    cell = factories.quality_cell(baseline=baseline, in_channels=3)
    return msgspec.structs.replace(cell, cell=msgspec.structs.replace(cell.cell, **conditions))


def some_images() -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 1, 8, 8), dtype=np.uint8)
    return Split(images=images, index=rng.permutation(IMAGES), labels=np.arange(IMAGES) % 10)


def evaluated(model: nn.Module, **conditions: Any) -> Evaluation:
    cell = planned(**conditions)
    with runtime(precision=cell.cell.precision, threads=1, seed=0, device="cpu") as flags:
        found = evaluate(model, cell, some_images(), Preprocess(mean=(0.5,), std=(0.3,)), lambda: None)
        assert changed_flags(flags) == ()
    return found


class Net(nn.Module):
    """A small convolution whose logits something may change; it keeps the conditions of each call."""

    def __init__(self, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda images, y: y) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 10, 8)
        self.change = change
        self.calls: list[dict[str, object]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append(
            {
                "images": len(images),
                "autocast": torch.is_autocast_enabled("cpu"),
                "tf32": torch.backends.cudnn.allow_tf32,
                "last": is_channels_last(images),
                "weights last": is_channels_last(self.conv.weight),
            }
        )
        return self.change(images, self.conv(images).flatten(1))


def is_channels_last(x: torch.Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def wrong(logits: torch.Tensor) -> torch.Tensor:
    return logits.roll(1, dims=1)


PLAIN = {"autocast": False, "tf32": False, "last": False, "weights last": False}


def test_plain_float32_has_nothing_to_agree_with() -> None:
    model = Net()
    found = evaluated(model)
    assert (found.agreement, found.faults, found.warnings) == (None, (), ())
    assert all({name: call[name] for name in PLAIN} == PLAIN for call in model.calls)
    assert found.loading is not None
    assert found.loading.batch_size == module.LOADING_BATCH
    logits = model.conv(images_of(found)).flatten(1)
    assert np.array_equal(found.predictions.top_classes[:, 0], logits.argmax(1).numpy())


def images_of(found: Evaluation) -> torch.Tensor:
    split = some_images()
    assert np.array_equal(found.predictions.labels, split.labels)
    images = torch.from_numpy(split.images[split.index]).float() / 255
    return ((images - 0.5) / 0.3).repeat(1, 3, 1, 1)


def test_the_audit_takes_images_of_the_whole_set_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    audit = module.audit

    def kept(model: nn.Module, rows: np.ndarray, *given: Any, **named: Any) -> Any:
        seen.append(rows)
        return audit(model, rows, *given, **named)

    monkeypatch.setattr(module, "audit", kept)
    monkeypatch.setattr(module, "AUDIT_IMAGES", 12)
    evaluated(Net())
    [rows] = seen
    assert len(set(rows)) == len(rows) == 12
    assert max(rows) >= 12
    assert (np.diff(rows) < 0).any()


def test_reduced_precision_is_held_against_the_same_weights_in_plain_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPARED_IMAGES", 30)
    model = Net()
    found = evaluated(model, precision="bfloat16", channels_last=True)
    *variant, reference = model.calls
    assert reference == {"images": 30, **PLAIN}
    assert all((call["autocast"], call["last"], call["weights last"]) == (True, True, True) for call in variant)
    assert variant[0]["images"] == IMAGES
    assert found.agreement is not None
    assert (found.agreement.images, found.agreement.real_images) == (30, True)
    assert 1e-4 < found.agreement.largest_error < 0.03
    assert (found.faults, found.warnings) == ((), ())


@pytest.mark.parametrize(
    ("conditions", "strikes"),
    [
        ({"precision": "bfloat16"}, lambda images: torch.is_autocast_enabled("cpu")),
        ({"channels_last": True}, is_channels_last),
    ],
    ids=["bfloat16", "channels last"],
)
def test_a_model_that_is_wrong_in_a_variant_only_is_found_there(
    conditions: dict[str, Any], strikes: Callable[[torch.Tensor], bool]
) -> None:
    def change(images: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        return wrong(logits) if strikes(images) else logits

    assert evaluated(Net(change)).faults == ()
    [fault] = evaluated(Net(change), **conditions).faults
    assert fault.startswith(DISAGREES)
    assert f" of {IMAGES} images get a different class" in fault


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Put a fake in the place of the compiler, whose code is wrong by some error."""

    class Compiled(nn.Module):
        def __init__(self, model: nn.Module, error: float) -> None:
            super().__init__()
            self.model, self.error = model, error

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.model(images) + self.error * torch.arange(10)

    return lambda error: monkeypatch.setattr(torch, "compile", lambda model: Compiled(model, error))


def test_compiled_code_is_evaluated_and_found_where_it_is_wrong(compiled: Callable[[float], None]) -> None:
    compiled(1e-6)
    found = evaluated(Net(), compile="default")
    assert found.faults == ()
    assert found.agreement is not None
    assert found.agreement.largest_error > 1e-7
    compiled(1e-2)
    [fault] = evaluated(Net(), compile="default").faults
    assert fault.startswith(DISAGREES), "a mistake of the compiler is no dependence on the order of the images"


def test_a_compiled_model_is_audited_as_the_model_that_it_is(compiled: Callable[[float], None]) -> None:
    compiled(0.0)
    faults = evaluated(Net(lambda images, logits: logits - logits.mean(0)), compile="default").faults
    assert faults[0].startswith("predictions are dependent on the order of the images or on the batch size")


def test_weights_are_cast_once_as_for_speed_and_given_back() -> None:
    seen = []
    model = Net(lambda images, logits: (seen.append(model.conv.weight.dtype), logits)[1])
    found = evaluated(model, precision="bfloat16")
    assert set(seen[:-1]) == {torch.bfloat16}, "loading, which times the model, included"
    assert seen[-1] == torch.float32, "what it is held against"
    assert model.conv.weight.dtype == torch.float32, "what is stored"
    assert (found.faults, found.warnings) == ((), ())


def test_a_part_outside_of_autocast_is_evaluated_with_casts_at_each_call() -> None:
    def own(images: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return model.conv(images.float()).flatten(1)

    model = Net(own)
    found = evaluated(model, precision="bfloat16")
    assert found.faults == ()
    assert found.warnings == (CAST_AT_EACH_CALL,)


def test_a_head_of_zeros_cannot_be_judged() -> None:
    model = Net(lambda images, logits: logits * 0)
    found = evaluated(model, precision="bfloat16")
    assert found.faults == ()
    assert found.warnings == ("this variant cannot be compared with float32, whose logits are all alike or not finite",)


def test_a_baseline_is_no_variant_and_is_not_timed() -> None:
    found = evaluated(Net(), baseline=True, precision="bfloat16", compile="default")
    assert (found.agreement, found.loading) == (None, None)


def test_audits_find_faults_and_warnings() -> None:
    found = evaluated(Net(lambda images, logits: logits - logits.mean(0)))
    assert [fault.split(":")[0] for fault in found.faults] == [
        "predictions are dependent on the order of the images or on the batch size"
    ]
    found = evaluated(known_models.Reseeder())
    assert (found.faults, found.warnings) == ((), ("evaluation used or reset torch's random number generator",))


def test_what_gives_no_logits_is_an_error() -> None:
    with pytest.raises(InvalidOutput, match="on meta, not on cpu"):
        evaluated(known_models.OnMeta())


def test_a_compiled_model_sees_one_shape_and_no_gradients_of_its_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """For another shape it would be compiled again; a float32 gradient beside a cast weight breaks it into pieces."""

    class Compiled(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net
            self.shapes: list[tuple[int, ...]] = []

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.shapes.append(tuple(images.shape))
            assert all(parameter.grad is None for parameter in self.net.parameters())
            return self.net(images)  # type: ignore[no-any-return]

    called: list[Compiled] = []

    def placed(model: nn.Module, device: torch.device, **_: Any) -> tuple[nn.Module, nn.Module]:
        called.append(Compiled(model))
        return model, called[-1]

    monkeypatch.setattr(module, "placed", placed)
    monkeypatch.setattr(module, "EVALUATION_BATCH", 7)
    plain, model = evaluated(net := Net()), net
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    found = evaluated(model, compile="default", precision="bfloat16")
    assert {shape[0] for shape in called[-1].shapes} == {7}
    assert len(found.predictions.labels) == IMAGES
    assert np.array_equal(found.predictions.labels, plain.predictions.labels)
    assert found.loading is not None
    assert found.loading.batch_size == 7
