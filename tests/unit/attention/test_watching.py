"""Attention is watched while a model runs, and nothing of the model changes."""

import contextlib
import warnings
from collections.abc import Iterator

import families
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from vitbench.attention import watch
from vitbench.errors import UnusableError

pytestmark = pytest.mark.compute

COUNTS = {
    **dict.fromkeys(families.NAMES, 2),
    "vit_base_patch16_siglip_224": 3,
    "swin_tiny_patch4_window7_224": 5,
    "cait_xxs24_224": 4,
    "convit_tiny": 3,
    "levit_128s": 11,
    "mvitv2_tiny": 10,
    "pvt_v2_b0": 8,
    "visformer_tiny": 8,
    "hiera_tiny_224": 5,
    "volo_d1_224": 16,
    "torchvision Swin": 3,
}
"""Maps of each family; of XCiT those of the layers that look at the class token alone."""


@contextlib.contextmanager
def slow_path() -> Iterator[None]:
    """Leave torch's native fast path, as torch does under any mode."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def small(name: str, side: int) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=5, img_size=side).eval(), torch.rand(2, 3, side, side)


@pytest.mark.parametrize("name", COUNTS)
def test_each_family_gives_maps_and_its_own_logits(name: str) -> None:
    model, side = families.family(name)
    images = torch.rand(2, 3, side, side)
    with torch.inference_mode():
        with slow_path():
            alone = model(images)
        with watch(model) as seen:
            watched = model(images)
    assert torch.equal(alone, watched)
    assert len(seen.checked()) == COUNTS[name]
    for one in seen.maps:
        assert torch.allclose(one.weights.sum(-1), torch.ones(()), atol=1e-5)


def test_channel_attention_is_refused() -> None:
    model, images = small("xcit_nano_12_p16_224", 64)
    with torch.inference_mode(), watch(model) as seen:
        model(images)
    assert len(seen.over_channels) == 12
    seen.maps.clear()  # two of its layers look at the class token alone
    with pytest.raises(UnusableError, match="over channels"):
        seen.checked()


def test_a_network_without_attention_is_refused() -> None:
    with watch(nn.Conv2d(3, 4, 3)) as seen:
        pass
    with pytest.raises(UnusableError, match="has no attention"):
        seen.checked()


def test_a_compiled_model_is_refused() -> None:
    with pytest.raises(UnusableError, match="compiled"), watch(torch.compile(nn.Linear(2, 2))):
        pass


def test_a_model_with_a_scripted_part_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of newer versions of Python
        model = nn.Sequential(torch.jit.script(nn.Linear(2, 2)))
    with pytest.raises(UnusableError, match="compiled"), watch(model):
        pass


class Fused(nn.Module):
    """Fused attention and nothing else."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, **self.options)


class Toy(nn.Module):
    """Two layers over three tokens, whose weights are made by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Attend(1.0), Attend(2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


class Attend(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Queries and keys that do not depend on x: logits are scale * [[ln 1, ln 2, ln 5], ...].
        q = torch.ones(1, 1, 3, 1)
        k = torch.tensor([1.0, 2.0, 5.0]).log().reshape(1, 1, 3, 1)
        return F.scaled_dot_product_attention(q, k, x[None], scale=self.scale)[0]


def test_maps_equal_a_table_made_by_hand() -> None:
    with watch(model := Toy()) as seen:
        model(torch.rand(1, 3, 2))
    first, second = seen.maps
    assert (first.module, second.module) == ("first", "second")
    table = torch.tensor([1 / 8, 2 / 8, 5 / 8])
    assert torch.allclose(first.weights[0, 0], table.expand(3, 3))
    assert torch.allclose(second.weights[0, 0], torch.tensor([1 / 30, 4 / 30, 25 / 30]).expand(3, 3))


def encoder() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


def test_torchs_own_encoder_keeps_the_logits_of_its_slow_path() -> None:
    model, x = encoder(), torch.rand(2, 5, 16)
    with torch.inference_mode():
        fast = model(x)
        with slow_path():
            slow = model(x)
        with watch(model) as seen:
            watched = model(x)
    assert torch.equal(slow, watched)
    assert torch.allclose(fast, watched, atol=1e-5)
    assert [one.module for one in seen.maps] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert [tuple(one.weights.shape) for one in seen.maps] == [(2, 4, 5, 5)] * 2


@pytest.mark.parametrize("masked", [False, True])
def test_maps_of_multi_head_attention_are_torchs_own(masked: bool) -> None:
    torch.manual_seed(0)
    attention, x = nn.MultiheadAttention(16, 4, batch_first=True).eval(), torch.rand(2, 5, 16)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if masked else None
    expected = attention(x, x, x, attn_mask=mask, average_attn_weights=False)
    for gradients in (False, True):
        with watch(attention, gradients=gradients) as seen:
            output, no_weights = attention(x, x, x, attn_mask=mask, need_weights=False)
        assert no_weights is None
        assert torch.allclose(seen.maps[0].weights, expected[1], atol=1e-6)
        assert torch.allclose(output, expected[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["fused", "multi_head", "softmax"])
def test_maps_carry_the_gradient_of_the_logits(kind: str) -> None:
    if kind == "fused":
        model, x = small("vit_tiny_patch16_224", 32)
    elif kind == "softmax":
        model, x = small("cait_xxs24_224", 32)
    else:
        model, x = encoder(), torch.rand(2, 5, 16)
    with watch(model, gradients=True) as seen:
        output = model(x)
    weights = seen.maps[-1].weights
    assert torch.allclose(output, model(x), atol=1e-4)
    score = (output * torch.rand(output.shape)).sum()
    (slope,) = torch.autograd.grad(score, weights)
    assert slope.shape == weights.shape
    assert slope.abs().max() > 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": torch.rand(4, 4) > 0.3},
        {"attn_mask": torch.rand(4, 4)},
        {"enable_gqa": True},
    ],
    ids=["plain", "scale", "causal", "hidden", "bias", "grouped"],
)
def test_weights_beside_fused_attention_give_its_own_result(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    groups = 2 if "enable_gqa" in options else 4
    q, k, v = (torch.rand(2, heads, 4, 8) for heads in (4, groups, groups))
    if options.get("attn_mask") is not None and options["attn_mask"].dtype == torch.bool:
        options["attn_mask"].fill_diagonal_(True)
    with watch(model := Fused(**options)) as seen:
        result = model(q, k, v)
    if groups == 2:
        v = v.repeat_interleave(2, 1)
    assert torch.allclose(seen.maps[0].weights @ v, result, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_maps_of_a_model_in_half_precision_are_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, (q, k, v) = Fused(), torch.rand(3, 2, 2, 7, 4, dtype=dtype)
    for gradients in (False, True):
        with watch(model, gradients=gradients) as seen:
            output = model(q, k, v)
        assert torch.allclose(seen.maps[0].weights.sum(-1), torch.ones(()), atol=1e-6)
        assert output.dtype == dtype
        assert torch.allclose(output, model(q, k, v), atol=1e-2)


@pytest.mark.parametrize("heads", [1, 4])
def test_heads_that_lie_among_the_images_are_told_apart(heads: int) -> None:
    class Flat(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = images.repeat_interleave(heads, 0)  # [B * H, N, D]
            return F.scaled_dot_product_attention(x, x, x)

    model, images = Flat(), torch.rand(3, 5, 2)
    for gradients in (False, True):
        with watch(model, gradients=gradients) as seen:
            output = model(images)
        weights = seen.maps[0].weights
        assert weights.shape == (3, heads, 5, 5)
        assert torch.allclose(weights[:, 0], (images @ images.transpose(1, 2) / 2**0.5).softmax(-1), atol=1e-6)
        assert torch.allclose(output, model(images), atol=1e-6)


def test_a_query_from_which_all_is_hidden_gets_nothing_as_in_torch() -> None:
    mask = torch.tensor([[True, True], [False, False]])
    model, (q, k, v) = Fused(attn_mask=mask), torch.rand(3, 1, 1, 2, 4)
    with watch(model, gradients=True) as seen:
        output = model(q, k, v)
    assert torch.allclose(output, model(q, k, v), atol=1e-6)
    assert seen.maps[0].weights[0, 0, 1].tolist() == [0, 0]


def test_what_else_attends_in_the_block_is_not_the_models() -> None:
    model, other, (q, k, v) = Fused(), Fused(), torch.rand(3, 1, 1, 2, 4)
    with watch(model) as seen:
        other(q, k, v)
        q.softmax(-1)
        model(q, k, v)
        model(q, k, v)
    assert [one.module for one in seen.maps] == ["", ""], "two calls"


def test_a_model_that_attends_to_an_image_in_its_own_forward_is_not_taken_for_channels() -> None:
    class Whole(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = F.avg_pool2d(images, 8).flatten(2).transpose(1, 2).reshape(len(images), 2, 16, -1)
            return F.scaled_dot_product_attention(x, x, x)  # two heads and 16 tokens, and images 32 pixels wide

    with watch(model := Whole()) as seen:
        model(torch.rand(3, 4, 32, 32))
    assert (len(seen.maps), seen.over_channels) == (1, [])


def test_a_softmax_over_an_axis_is_one_over_a_dimension() -> None:
    class Named(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.softmax(axis=-1)

    with watch(model := Named()) as seen:
        model(torch.rand(1, 2, 3, 3))
    assert len(seen.maps) == 1


def test_an_attention_that_gives_no_map_is_named() -> None:
    class LinearAttention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with watch(model := nn.Sequential(LinearAttention(), Attend(1.0))) as seen:
        model(torch.rand(1, 3, 2))
    assert seen.uncalled == ["0"]


def test_training_draws_the_same_dropout_and_its_maps_are_without() -> None:
    attention, x = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True).train(), torch.rand(2, 5, 8)
    torch.manual_seed(0)
    alone, _ = attention(x, x, x, need_weights=False)
    torch.manual_seed(0)
    with watch(attention) as seen:
        watched, _ = attention(x, x, x, need_weights=False)
    assert torch.equal(alone, watched)
    assert torch.allclose(seen.maps[0].weights.sum(-1), torch.ones(()), atol=1e-6)


def test_the_model_is_left_as_it_was() -> None:
    model, images = small("vit_tiny_patch16_224", 32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    with contextlib.suppress(ZeroDivisionError), watch(model):
        model(images)
        1 / 0  # noqa: B018
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    assert not model.training
    assert _get_current_function_mode_stack() == []
