"""Audits: each finds the model that it is for, and none finds anything in a sound one."""

from __future__ import annotations

import time
from collections.abc import Callable

import known_models
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from vitbench.measuring import audits as module
from vitbench.measuring.audits import audit
from vitbench.measuring.predictions import predict

SHAPE = {"in_channels": 3, "num_classes": 5}
CLOCK = time.perf_counter_ns


@pytest.fixture(autouse=True)
def _still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass, so that a busy machine makes no model look as if it kept results."""
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 0)


class Net(nn.Module):
    """A linear model whose logits something may spoil."""

    def __init__(self, spoil: Callable[[Net, torch.Tensor], torch.Tensor] = lambda net, logits: logits) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(12, 5)
        self.register_buffer("seen", torch.zeros(()))
        self.spoil = spoil
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.spoil(self, self.linear(images.flatten(1)))


def audited(model: nn.Module, images: int = 300, precision: str = "float32") -> tuple[tuple[str, ...], tuple[str, ...]]:
    data = torch.randn(images, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    logits = predict(model, data.split(100))

    def take(rows: NDArray[np.int64]) -> torch.Tensor:
        return data[torch.from_numpy(rows)]

    rows = np.random.default_rng(0).permutation(images)[: module.AUDIT_IMAGES]
    return audit(model, rows, logits[rows], take, precision=precision)


def faults(model: nn.Module) -> tuple[str, ...]:
    return audited(model)[0]


@pytest.mark.parametrize("images", [300, 1])
def test_a_sound_model(images: int) -> None:
    assert audited(Net(), images) == ((), ())


def test_rounding_is_no_fault() -> None:
    near = Net(lambda net, logits: torch.ones_like(logits) + 1e-5 * torch.tensor(np.random.rand(*logits.shape)).float())
    assert faults(near) == ()


OFFSET = -1000.0


def test_rounding_beside_a_common_offset_is_no_fault() -> None:
    """Of float32 numbers near 1000 the last bit is 6e-5; these differ by some of them, and from pass to pass."""
    rng = np.random.default_rng(0)
    near = Net(lambda net, logits: 0 * logits + OFFSET + 3e-4 * torch.from_numpy(rng.random(logits.shape)).float())
    assert faults(near) == ()
    assert faults(Net(lambda net, logits: logits + OFFSET)) == ()


@pytest.mark.parametrize(
    "depends",
    [
        lambda logits: logits.flip(0),
        lambda logits: logits - logits.mean(0),
        lambda logits: logits + len(logits) % 5 * torch.eye(5)[2],
    ],
    ids=["order", "batch mates", "batch size"],
)
def test_a_common_offset_hides_no_dependence(depends: Callable[[torch.Tensor], torch.Tensor]) -> None:
    (finding,) = faults(Net(lambda net, logits: depends(logits) + OFFSET))
    assert finding.startswith("predictions are dependent on the order of the images or on the batch size: ")


def test_an_image_with_huge_logits_does_not_hide_the_others() -> None:
    (finding,) = faults(Net(lambda net, logits: logits.flip(0) * torch.where(logits[:, :1] > 1.5, 1e4, 1.0)))
    assert "dependent on the order" in finding


@pytest.mark.parametrize(("precision", "unit"), [("bfloat16", 4.0), ("float16", 0.5)])
def test_the_last_bit_of_a_reduced_precision_is_rounding(precision: str, unit: float) -> None:
    """Logits near 1000, of which one pass rounds some up that another rounds down."""
    rng = np.random.default_rng(0)

    def rounded(net: Net, logits: torch.Tensor) -> torch.Tensor:
        return 0 * logits + 1000 + unit * torch.from_numpy(rng.integers(0, 2, logits.shape)).float()

    assert audited(Net(rounded), precision=precision)[0] == ()
    (finding,) = audited(Net(rounded))[0]
    assert finding.startswith("predictions are not deterministic: ")


def test_chance() -> None:
    (finding,), warnings = audited(Net(lambda net, logits: logits + torch.randn(logits.shape)))
    assert finding.startswith("predictions are not deterministic: ")
    assert finding.endswith(" of 128 images got a different class in a second pass")
    assert warnings == ("evaluation used or reset torch's random number generator",)


@pytest.mark.parametrize("images", [300, 12])
def test_dependence_on_the_batch(images: int) -> None:
    (finding,) = audited(known_models.OrderDependent(**SHAPE), images)[0]
    assert finding.startswith("predictions are dependent on the order of the images or on the batch size: ")


def test_what_is_not_finite_in_the_second_pass_only() -> None:
    """The first batch of the second pass, the fourth call, has 48 images."""
    spoilt = Net(lambda net, logits: logits if net.calls != 4 else logits.masked_fill(logits > 0, torch.nan))
    (finding,) = faults(spoilt)
    assert finding.endswith(" of 128 images have a logit that is not finite in a second pass")
    assert 30 < int(finding.split()[0]) <= 48


def test_a_buffer_that_evaluation_changes() -> None:
    def count(net: Net, logits: torch.Tensor) -> torch.Tensor:
        net.seen += len(logits)
        return logits

    assert faults(Net(count)) == ("evaluation changed the buffer seen",)


def test_a_part_that_stays_in_training_mode() -> None:
    found, warnings = audited(known_models.TrainModeKeeper(**SHAPE))
    assert found[0] == "dropout was in training mode during evaluation"
    assert len(warnings) == 1, "dropout draws"


@pytest.mark.parametrize("draw", [lambda: torch.rand(3), lambda: torch.manual_seed(0)], ids=["draws", "sets a seed"])
def test_random_numbers_that_change_nothing_are_a_warning(draw: Callable[[], object]) -> None:
    def disturb(net: Net, logits: torch.Tensor) -> torch.Tensor:
        draw()
        return logits

    assert audited(Net(disturb)) == ((), ("evaluation used or reset torch's random number generator",))


def test_the_audit_itself_leaves_the_generator_as_it_was() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model = known_models.Linear(**SHAPE)
    torch.manual_seed(3)
    audited(model)
    assert torch.equal(torch.rand(2), expected)


class TestMemory:
    """Times come from a clock that only the model's own work moves, so that a busy machine changes nothing."""

    @pytest.fixture
    def work(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        now = 0.0

        def work(seconds: float) -> None:
            nonlocal now
            now += seconds

        monkeypatch.setattr(time, "perf_counter_ns", lambda: round(1e9 * now))
        return work

    def model(self, seconds: Callable[[torch.Tensor], float], work: Callable[[float], None]) -> nn.Module:
        class Working(Net):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                work(seconds(images))
                return super().forward(images)

        return Working()

    @pytest.mark.parametrize("size", [1, 1000])
    def test_a_model_that_keeps_results_is_found(self, size: int, work: Callable[[float], None]) -> None:
        kept: list[bytes] = []

        def seconds(images: torch.Tensor) -> float:
            key = images.numpy().tobytes()
            seen = key in kept
            if not seen:
                kept.append(key)
                del kept[:-size]
            return 0.001 if seen else 0.009

        assert faults(self.model(seconds, work)) == (
            "inputs seen before run 9.0 times faster than fresh ones: the model caches results",
        )

    def test_a_model_that_knows_a_tensor_by_its_identity_is_found(self, work: Callable[[float], None]) -> None:
        known: set[tuple[int, int]] = set()

        def seconds(images: torch.Tensor) -> float:
            key = len(images), images.data_ptr()
            took = 0.001 if key in known else 0.009
            known.add(key)
            return took

        assert len(faults(self.model(seconds, work))) == 1

    def test_the_real_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "perf_counter_ns", CLOCK)
        [finding] = faults(known_models.Caching(0.01, size=1000, **SHAPE))
        assert finding.endswith("times faster than fresh ones: the model caches results")
        assert faults(known_models.Sleeper(0.005, **SHAPE)) == ()
