"""Weights cast once: the same logits without a cast at each call, the same weights afterwards, and a way out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vitbench.training import autocast
from vitbench.worker.casting import CAST_AT_EACH_CALL, CastWeights

CPU = torch.device("cpu")
REDUCED = [("bfloat16", torch.bfloat16), ("float16", torch.float16)]


class Net(nn.Module):
    """All that a small network has: convolution, norms, attention, a layer of another's making, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 2, stride=2)
        self.batch_norm, self.norm = nn.BatchNorm2d(8), nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.position = nn.Parameter(torch.randn(4, 8))
        self.standardised = Standardised(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.batch_norm(self.stem(images)).flatten(2).transpose(1, 2) + self.position
        x = self.norm(x)
        x = x + nn.functional.scaled_dot_product_attention(*self.qkv(x).chunk(3, dim=-1))
        logits: Tensor = self.head(self.standardised(x).mean(1))
        return logits


class Standardised(nn.Linear):
    """Computes with its weights in float32 before the product."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight - self.weight.mean(), self.bias)


class OwnHead(nn.Module):
    """Has a head that computes in float32, whatever is around it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(12, 4), nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.body(images.flatten(1))
        with torch.autocast("cpu", enabled=False):
            logits: Tensor = self.head(x.float())
        return logits


class Casts(TorchDispatchMode):
    """Counts the float32 tensors of some model that are copied to another type."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.of = {parameter.data_ptr() for parameter in model.parameters()}
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.to.dtype and args[0].data_ptr() in self.of:
            self.count += 1
        return func(*args, **(kwargs or {}))


def logits(model: nn.Module, precision: str) -> Tensor:
    images = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), autocast(precision, CPU):
        return model.eval()(images)


def casts(model: nn.Module, precision: str) -> int:
    with Casts(model) as found:
        logits(model, precision)
    return found.count


@pytest.mark.parametrize(("precision", "dtype"), REDUCED)
def test_the_logits_are_those_of_autocast_to_the_last_bit(precision: str, dtype: torch.dtype) -> None:
    model = Net()
    expected = logits(model, precision)
    CastWeights(model, precision)
    found = logits(model, precision)
    assert found.dtype == expected.dtype == dtype
    assert torch.equal(found, expected)


def test_no_call_casts_the_weights_of_torchs_layers() -> None:
    model = Net()
    assert casts(model, "bfloat16") == 7, "weights and biases of the stem, qkv and the head, and a bias"
    CastWeights(model, "bfloat16")
    assert casts(model, "bfloat16") == 1, "the bias of the layer that has another forward"
    kept = {name for name, parameter in model.named_parameters() if parameter.dtype == torch.float32}
    assert kept == {
        *(f"{norm}.{part}" for norm in ("batch_norm", "norm", "standardised") for part in ("weight", "bias")),
        "position",
    }
    assert model.head.weight.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "layer",
    [nn.MultiheadAttention(8, 2, batch_first=True), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)],
    ids=["attention", "encoder"],
)
def test_on_the_cpu_fused_layers_keep_their_kernels(layer: nn.Module) -> None:
    x = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(1))
    inputs = (x, x, x) if isinstance(layer, nn.MultiheadAttention) else (x,)
    with torch.inference_mode(), autocast("bfloat16", CPU):
        expected = layer.eval()(*inputs)
        weights = CastWeights(layer, "bfloat16")
        found = weights.settle(lambda: layer(*inputs))
    assert torch.equal(torch.as_tensor(found[0]), torch.as_tensor(expected[0]))
    assert not weights.failed


def test_tf32_casts_nothing() -> None:
    model = Net()
    CastWeights(model, "tf32")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_the_models_own_weights_come_back() -> None:
    model = Net()
    before = {name: (parameter.data_ptr(), parameter.clone()) for name, parameter in model.named_parameters()}
    weights = CastWeights(model, "bfloat16")
    weights.restore()
    weights.restore()
    for name, parameter in model.named_parameters():
        assert parameter.data_ptr() == before[name][0]
        assert torch.equal(parameter, before[name][1])


def test_weights_that_another_part_shares_are_left() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
    model[1].weight = model[0].weight
    CastWeights(model, "bfloat16")
    assert [model[1].weight.dtype, model[1].bias.dtype] == [torch.float32, torch.bfloat16]


def test_a_model_that_cannot_do_with_it_gets_its_weights_back_and_it_is_said() -> None:
    model = OwnHead()
    expected = logits_of(model)
    weights = CastWeights(model, "bfloat16")
    assert torch.equal(weights.settle(lambda: logits_of(model)), expected)
    assert (weights.failed, weights.remarks) == (True, (CAST_AT_EACH_CALL,))
    assert model.head.weight.dtype == torch.float32


def logits_of(model: nn.Module) -> Tensor:
    with torch.inference_mode(), autocast("bfloat16", CPU):
        return model(torch.ones(2, 3, 2, 2))


@pytest.mark.parametrize("error", [RuntimeError("a bug"), torch.OutOfMemoryError("no memory")])
def test_other_mistakes_stay_what_they_are(error: Exception) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise error

    weights = CastWeights(Net(), "bfloat16")
    with pytest.raises(type(error), match=str(error)):
        weights.settle(fail)
    assert not weights.failed
    assert len(calls) == (2 if type(error) is RuntimeError else 1)
