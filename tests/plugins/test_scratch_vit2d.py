"""The spatial ViT: each scheme does exactly what it says, and timm's weights are its own where timm has the same."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import vitbench_scratch
from timm.layers import resample_abs_pos_embed
from timm.layers.pos_embed_sincos import (
    RotaryEmbeddingCat,
    RotaryEmbeddingMixed,
    apply_rot_embed_cat,
    build_sincos2d_pos_embed,
)
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from vitbench_scratch.positions import POSITIONS, RelativeKeysValues, coordinates
from vitbench_scratch.vit import PatchEmbedding, VisionTransformer
from vitbench_scratch.vit2d import FORMS, STEMS, ShiftedPatches, SpatialTransformer, build, visible

from vitbench.errors import UnusableError, UsageError
from vitbench.training.card import Card, save_weights
from vitbench.training.setup import decay_groups

pytestmark = pytest.mark.compute

[SPEC] = [spec for spec in vitbench_scratch.vitbench_models() if spec.name == "vit2d"]
SMALL = dict(SPEC.defaults) | {"depth": 2, "width": 32, "dropout": 0.0}
SIZES = {"prefix": 1, "width": 32, "heads": 4, "depth": 2}
PLAIN = ("patch_size", "depth", "width", "heads", "mlp_ratio", "dropout", "drop_path")
"""What the plain ViT has, too."""
TABLES = ("learned", "relative")
"""Schemes whose tables have the size of a grid."""


def vit2d(*, size: tuple[int, int] = (16, 16), channels: int = 3, seed: int = 0, **options) -> SpatialTransformer:
    """Build a small one whose weights are all away from zero."""
    torch.manual_seed(seed)
    return scrambled(built(size=size, channels=channels, **options))


def built(*, size: tuple[int, int] = (16, 16), channels: int = 3, **options) -> SpatialTransformer:
    return build(num_classes=10, image_size=size, in_channels=channels, **{**SMALL, **options})


def scrambled(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@torch.inference_mode()
def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


def images_of(*size: int, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(1))


def close(found: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    assert expected.std() > 0.05
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_the_options_list_what_there_is():
    assert {name: {*SPEC.declared[name].choices} for name in FORMS} == {name: {*FORMS[name]} for name in FORMS}


# Weights that are timm's, and the plain ViT's


def timm_twin(kind: str, pool: str) -> nn.Module:
    sizes = {"img_size": (16, 24), "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0}
    if kind == "relative":
        kinds = {
            "class_token": pool == "cls",
            "global_pool": "token" if pool == "cls" else "avg",
        }
        return VisionTransformerRelPos(**sizes, **kinds, num_classes=10, rel_pos_type="bias", init_values=None)
    if kind == "learned":
        return TimmVisionTransformer(**sizes, num_classes=10)
    return Eva(
        **sizes,
        num_classes=10,
        attn_type="rope",
        init_values=None,
        global_pool="token",
        use_abs_pos_emb=False,
        use_rot_pos_emb=True,
        rope_type="mixed" if kind == "rope-mixed" else "cat",
        rope_grid_indexing="xy",
        rope_temperature=10.0 if kind == "rope-mixed" else 100.0,
    )


@pytest.mark.parametrize(
    ("position", "pool"),
    [("learned", "cls"), ("relative", "mean"), ("relative", "cls"), ("rope", "cls"), ("rope-mixed", "cls")],
)
def test_weights_interchange_with_timm(position, pool):
    ours, images = vit2d(size=(16, 24), position=position, pool=pool), images_of(16, 24)
    for source, target in ((ours, timm_twin(position, pool)), (scrambled(timm_twin(position, pool)), ours)):
        target.load_state_dict(source.state_dict())  # strict: every name and shape agrees
        close(logits_of(target.eval(), images), logits_of(source, images))


def test_the_default_is_the_plain_vit():
    ours = vit2d(size=(16, 24))
    sizes = {
        name: SMALL[name] for name in ("patch_size", "depth", "width", "heads", "mlp_ratio", "dropout", "drop_path")
    }
    plain = VisionTransformer(num_classes=10, image_size=(16, 24), in_channels=3, **sizes).eval()
    plain.load_state_dict(ours.state_dict())
    close(logits_of(ours, images_of(16, 24)), logits_of(plain, images_of(16, 24)), atol=1e-6)


def test_names_survive_within_another_module():
    first, second = (nn.ModuleDict({"vit": vit2d(position="relative", seed=seed)}) for seed in (0, 1))
    assert "vit.blocks.1.attn.rel_pos.relative_position_bias_table" in first.state_dict()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first["vit"].position.tables[1], second["vit"].position.tables[1])


def test_positions_have_no_weight_decay():
    for position in POSITIONS:
        model = vit2d(position=position)
        spared = {id(parameter) for parameter in decay_groups(model, 0.1)[1]["params"]}
        assert {id(parameter) for parameter in model.position.parameters()} <= spared
        assert id(model.blocks[0].mlp.fc1.weight) not in spared


def test_the_study_s_trunk_has_its_parameters():
    with torch.device("meta"):
        model = build(num_classes=10, image_size=(32, 32), in_channels=3, **SPEC.defaults)
    assert sum(parameter.numel() for parameter in model.parameters()) == 811_146


# Positions


@pytest.mark.parametrize("position", ["relative", "relative-kv", "rope-mixed", "cpe", "learned"])
def test_a_scheme_whose_weights_are_zero_is_none(position):
    model, plain = vit2d(position=position), vit2d(position="none")
    with torch.no_grad():
        for parameter in model.position.parameters():
            parameter.zero_()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if name in plain.state_dict()})
    close(logits_of(model, images_of(16, 16)), logits_of(plain, images_of(16, 16)), atol=1e-6)


@pytest.mark.parametrize("position", POSITIONS)
def test_patches_are_a_set_without_positions_alone(position):
    model, images = vit2d(position=position), images_of(16, 16)
    shuffled = images.unflatten(2, (4, 4))[:, :, [2, 0, 3, 1]].flatten(2, 3)  # the rows of patches
    same = torch.allclose(logits_of(model, shuffled), logits_of(model, images), atol=1e-5)
    assert same == (position == "none")


@pytest.mark.parametrize("position", ["rope", "rope-mixed", "relative", "relative-kv"])
def test_logits_of_attention_depend_on_the_offset_alone(position):
    grid = (5, 4)
    scheme = POSITIONS[position](grid=grid, **SIZES)
    q, k = (torch.randn(8, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3))
    q, k = (each.expand(1, 4, 1 + math.prod(grid), -1) for each in (q, k))
    with torch.inference_mode():
        places, (q, k) = coordinates(grid), scheme.rotate(q, k, 1, grid)
        bias = scheme.bias(1, grid)
        logits = (q @ k.transpose(2, 3))[0] + (0 if bias is None else bias)  # [H, N, N]
    logits, found = logits[:, 1:, 1:], {}
    for i, j in itertools.product(range(len(places)), repeat=2):
        offset = tuple((places[i] - places[j]).tolist())
        torch.testing.assert_close(logits[:, i, j], found.setdefault(offset, logits[:, i, j]), rtol=0, atol=1e-5)
    assert torch.stack([*found.values()]).std(dim=0).min() > 1e-3


@pytest.mark.parametrize(("position", "temperature"), [("rope", 100.0), ("rope-mixed", 10.0)])
def test_rotations_are_timm_s_keep_norms_and_leave_the_class_token(position, temperature):
    grid, generator = (3, 5), torch.Generator().manual_seed(4)
    scheme = POSITIONS[position](grid=grid, **SIZES)
    q, k = (torch.randn(2, 4, 16, 8, generator=generator) for _ in range(2))
    if position == "rope":
        theirs = RotaryEmbeddingCat(
            8, in_pixels=False, temperature=temperature, feat_shape=grid, grid_indexing="xy"
        ).get_embed()
    else:
        mixed = RotaryEmbeddingMixed(32, 2, 4, temperature=temperature, feat_shape=grid, grid_indexing="xy")
        mixed.load_state_dict({"freqs": scheme.freqs})
        theirs = mixed.get_embed()[1]
        torch.testing.assert_close(mixed.freqs.norm(dim=0)[0, :, :2], scheme.freqs.norm(dim=0)[1, :, 2:])
    with torch.inference_mode():
        for before, after in zip((q, k), scheme.rotate(q, k, 1, grid), strict=True):
            torch.testing.assert_close(
                after[:, :, 1:], apply_rot_embed_cat(before[:, :, 1:], theirs), rtol=0, atol=1e-5
            )
            torch.testing.assert_close(after.norm(dim=3), before.norm(dim=3))
            assert torch.equal(after[:, :, :1], before[:, :, :1])
            assert not torch.allclose(after[:, :, 2:], before[:, :, 2:], atol=0.1)


def test_sincos_is_timm_s():
    scheme = POSITIONS["sincos"](grid=(3, 5), **SIZES)
    expected = build_sincos2d_pos_embed([3, 5], 32)
    found = scheme.add(torch.zeros(1, 16, 32), 0, (3, 5))[0]
    torch.testing.assert_close(found[1:], expected, rtol=0, atol=1e-6)
    assert not found[0].any()


def test_relative_keys_and_values_are_the_study_s_sums_over_pairs():
    """Against the sums written out: q (k + R) as logits, means of v + S, R and S of clipped columns, then rows."""
    grid, generator = (4, 6), torch.Generator().manual_seed(5)
    scheme = RelativeKeysValues(grid=grid, **SIZES)
    q, k, v = (torch.randn(2, 4, 25, 8, generator=generator) for _ in range(3))
    pairs = (coordinates(grid)[None] - coordinates(grid)[:, None]).clamp(-2, 2) + 3  # of keys from queries, [n, n, 2]
    pairs = nn.functional.pad(pairs, (0, 0, 1, 0, 1, 0))  # the class token's row is the first
    of_keys, of_values = (
        torch.cat([table[1][axis][pairs[..., axis]] for axis in range(2)], dim=-1)  # [N, N, E]
        for table in (scheme.keys, scheme.values)
    )
    with torch.inference_mode():
        logits = torch.einsum("bhqe,bhke->bhqk", q, k) + torch.einsum("bhqe,qke->bhqk", q, of_keys)
        weights = (logits / 8**0.5).softmax(dim=-1)
        expected = weights @ v + torch.einsum("bhqk,qke->bhqe", weights, of_values)
        rotated = scheme.rotate(q, k, 1, grid)
        met = nn.functional.scaled_dot_product_attention(*rotated, scheme.mark(v, grid), scale=8**-0.5)
        close(scheme.read(met, 1, grid), expected)


def test_cpe_enters_after_the_first_block():
    scheme, x = POSITIONS["cpe"](grid=(2, 3), **SIZES), torch.randn(1, 7, 32)
    assert [torch.equal(scheme.add(x, block, (2, 3)), x) for block in range(3)] == [True, False, True]
    assert torch.equal(scheme.add(x, 1, (2, 3))[:, 0], x[:, 0])


def test_only_a_learned_bias_leaves_the_fused_kernel_of_the_cpu():
    images, refused = images_of(16, 16), set()
    for position in POSITIONS:
        model = vit2d(position=position).train()
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            try:
                model(images)
            except RuntimeError:
                refused.add(position)
            logits_of(model, images)
    assert refused == {"relative"}


# Other sizes


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("attention", ["full", "local"])
def test_another_size_than_the_model_s_own(position, attention):
    """What is no table is the same as built for that size; a table is interpolated, and the outermost offsets stay."""
    model = vit2d(position=position, attention=attention)
    images = images_of(24, 20)
    found = logits_of(model, images)
    if position not in TABLES:
        other = vit2d(size=(24, 20), position=position, attention=attention, seed=1)
        other.load_state_dict(model.state_dict())
        close(found, logits_of(other, images))
    elif position == "learned":
        other = vit2d(size=(24, 20), attention=attention, seed=1)
        moved = resample_abs_pos_embed(model.position.pos_embed.detach(), [6, 5], [4, 4], num_prefix_tokens=1)
        other.load_state_dict({**model.state_dict(), "pos_embed": moved})
        close(found, logits_of(other, images))
    else:
        before, after = (model.position.bias(0, grid)[:, 1:, 1:] for grid in ((4, 4), (6, 5)))
        for token in (0, -1):  # from a corner to the opposite one
            torch.testing.assert_close(after[:, token, -1 - token], before[:, token, -1 - token])
        torch.testing.assert_close(after.diagonal(dim1=1, dim2=2)[:, 3], before.diagonal(dim1=1, dim2=2)[:, 7])
        assert found.std() > 0.05


@pytest.mark.parametrize("pool", ["cls", "mean"])
@pytest.mark.parametrize("position", TABLES)
def test_a_checkpoint_of_another_size_is_interpolated_as_the_model_does_it(position, pool, tmp_path):
    model = vit2d(position=position, pool=pool)
    torch.save(model.state_dict(), path := tmp_path / "model.pt")
    other = built(size=(24, 24), position=position, pool=pool, checkpoint=str(path)).eval()
    assert other.facts == {"positions": "interpolated from 4x4 to 6x6"}
    images = images_of(24, 24)
    torch.testing.assert_close(logits_of(other, images), logits_of(model, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 32), (16, 32)])
@pytest.mark.parametrize("position", TABLES)
def test_a_checkpoint_that_says_no_size_and_fits_is_taken_as_it_is(position, size, tmp_path):
    model = vit2d(size=size, position=position)
    torch.save(model.state_dict(), path := tmp_path / "model.pt")
    other = built(size=size, position=position, checkpoint=str(path))
    assert all(map(torch.equal, other.state_dict().values(), model.state_dict().values()))


def test_a_rectangle_s_checkpoint_says_its_shape(tmp_path):
    model = vit2d(size=(8, 32))
    save_weights(model, path := tmp_path / "model.safetensors", Card(image_size=(8, 32)))
    other = built(size=(16, 16), checkpoint=str(path))  # as many patches
    assert other.facts == {"positions": "interpolated from 2x8 to 4x4"}


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("pos_embed", torch.zeros(1, 1, 32)),
        ("pos_embed", torch.zeros(1, 0, 32)),
        ("pos_embed", torch.zeros(1, 6, 32)),
        ("pos_embed", torch.zeros(1, 5, 16)),
        ("head.weight", torch.tensor(1.0)),
    ],
)
def test_a_checkpoint_that_does_not_fit_says_so_in_a_line(name, tensor, tmp_path):
    torch.save(vit2d().state_dict() | {name: tensor}, path := tmp_path / "model.pt")
    with pytest.raises(UnusableError, match=f"does not fit the model: {name} is "):
        built(checkpoint=str(path))


def test_another_size_must_be_divisible_too():
    with pytest.raises(
        UsageError, match=r"patch_size 4 does not divide the input of 18x16 pixels: use one of 1, 2, or an image_size"
    ):
        vit2d()(images_of(18, 16))


# Attention


def seen(attention: str, grid: tuple[int, int], window: int = 3, prefix: int = 1) -> Tensor:
    mask = visible(attention, grid, prefix, window)
    assert mask is not None
    assert mask[:prefix].all()
    assert mask[:, :prefix].all()
    return mask[prefix:, prefix:].view(*grid, *grid)  # row and column of the query, of the key


def test_a_local_window_as_large_as_the_grid_is_full_attention():
    assert seen("local", (4, 4), window=4).all()
    local, full = vit2d(attention="local", window=4), vit2d()
    close(logits_of(local, images_of(16, 16)), logits_of(full, images_of(16, 16)), atol=1e-6)
    smaller = vit2d(attention="local", window=3)
    assert not torch.allclose(logits_of(smaller, images_of(16, 16)), logits_of(full, images_of(16, 16)), atol=1e-3)


def test_a_local_window_stays_within_the_grid():
    mask = seen("local", (5, 7))
    assert (mask.flatten(2).sum(dim=2) == 9).all()
    assert mask[2, 3, 1:4, 2:5].all()
    assert mask[0, 0, :3, :3].all()
    assert mask[4, 5, 2:, 4:].all()


def test_axial_attention_sees_row_and_column_only():
    mask = seen("axial", (3, 5))
    for row, column, y, x in itertools.product(range(3), range(5), range(3), range(5)):
        assert mask[row, column, y, x] == (row == y or column == x)


@pytest.mark.parametrize(("attention", "position"), [("lsa", "none"), ("lsa", "relative"), ("axial", "relative")])
def test_what_is_not_seen_has_a_weight_of_exactly_zero(attention, position, monkeypatch):
    weights = []

    def explicit(q: Tensor, k: Tensor, v: Tensor, *, attn_mask: Tensor, scale: float) -> Tensor:
        bias = attn_mask if attn_mask.dtype != torch.bool else torch.zeros(()).where(attn_mask, -torch.inf)
        weights.append((q @ k.transpose(2, 3) * scale + bias).softmax(dim=-1))
        return weights[-1] @ v

    model = vit2d(attention=attention, position=position)
    expected = logits_of(model, images_of(16, 16))
    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", explicit)
    close(logits_of(model, images_of(16, 16)), expected)
    hidden = ~visible(attention, (4, 4), 1, 3)
    for each in weights:
        assert not each[:, :, hidden].any()
        assert (each[:, :, ~hidden] > 0).all()
    if attention == "lsa":
        assert torch.equal(hidden, torch.eye(17, dtype=torch.bool))


def test_lsa_starts_at_the_usual_scale_and_learns_one_of_each_head():
    torch.manual_seed(0)
    options = {**SMALL, "attention": "lsa"}
    model = build(num_classes=10, image_size=(16, 16), in_channels=3, **options)
    assert torch.equal(model.blocks[1].attn.temperature, torch.full((4,), 8**-0.5))
    images = images_of(16, 16)
    before = model.tokens(images)
    with torch.no_grad():
        model.blocks[0].attn.temperature[2] *= 3
    assert not torch.allclose(model.tokens(images), before, atol=1e-4)


# Stems and pools


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize(
    ("size", "patch", "count"),
    [((224, 224), 16, 196), ((20, 28), 4, 35), ((8, 8), 2, 16)],
)
def test_every_stem_gives_a_token_for_each_patch(stem, size, patch, count):
    with torch.device("meta"):
        model = build(num_classes=10, image_size=size, in_channels=3, **{**SMALL, "stem": stem, "patch_size": patch})
        assert model.tokens(torch.empty(2, 3, *size)).shape == (2, 1 + count, 32)
        assert model.features(torch.empty(2, 3, *size)).shape == (2, 32)


def test_shifted_patches_that_ignore_the_shifted_are_plain_patches():
    torch.manual_seed(0)
    shifted, plain = ShiftedPatches(3, 4, 32), PatchEmbedding(3, 4, 32)
    shifted.norm = nn.Identity()  # it mixes all channels of a patch
    with torch.no_grad():
        shifted.proj.weight[:, 3 * 16 :] = 0
        plain.proj.weight.copy_(shifted.proj.weight[:, : 3 * 16].view(32, 3, 4, 4))
        plain.proj.bias.copy_(shifted.proj.bias)
        close(shifted(images_of(16, 24)), plain(images_of(16, 24)))


def test_shifted_patches_see_half_a_patch_along_each_diagonal():
    shifted, inputs = ShiftedPatches(1, 4, 32), []
    shifted.norm.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    image = torch.arange(64.0).view(1, 1, 8, 8)
    shifted(image)
    first = inputs[0][0, 0].view(5, 4, 4)  # the patch at the upper left, and what the shifted have in its place
    assert torch.equal(first[0], image[0, 0, :4, :4])
    padded = nn.functional.pad(image, (2, 2, 2, 2))[0, 0]
    expected = {tuple(padded[y : y + 4, x : x + 4].flatten().tolist()) for y in (0, 4) for x in (0, 4)}
    assert {tuple(each.flatten().tolist()) for each in first[1:]} == expected


def test_the_head_reads_the_pool():
    images = images_of(16, 16)
    with torch.inference_mode():
        for pool in FORMS["pool"]:
            model = vit2d(pool=pool)
            tokens, features = model.tokens(images), model.features(images)
            assert tokens.shape[1] == 16 + (pool == "cls")
            assert torch.equal(model.head(features), model(images))
            if pool == "seqpool":
                model.score.weight.zero_()  # all weigh the same
            expected = tokens[:, 0] if pool == "cls" else tokens.mean(dim=1)
            close(model.features(images), expected, atol=1e-6)
            assert torch.allclose(features, expected, atol=1e-4) == (pool != "seqpool")


# What every combination owes


@pytest.mark.parametrize(
    ("stem", "position", "attention", "pool"),
    [
        *(("patch", position, "full", "cls") for position in POSITIONS),
        *(("patch", position, "local", "mean") for position in ("relative", "relative-kv", "rope")),
        *(("patch", "learned", attention, "seqpool") for attention in ("axial", "lsa")),
        *((stem, "learned", "full", "mean") for stem in ("spt", "conv", "cct")),
    ],
)
def test_gradients_reach_every_parameter_and_half_precision_works(stem, position, attention, pool):
    options = {"stem": stem, "position": position, "attention": attention, "pool": pool}
    model, images = vit2d(channels=1, **options).train(), images_of(16, 16, channels=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(images).isfinite().all()
    model(images).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    exact = logits_of(model.eval(), images)
    halved = logits_of(model.to(torch.bfloat16), images.to(torch.bfloat16)).float()
    torch.testing.assert_close(halved, exact, rtol=0, atol=0.2 * exact.std().item() + 0.05)


def test_initial_loss_is_that_of_a_guess():
    for position in POSITIONS:
        model = build(num_classes=7, image_size=(8, 8), in_channels=1, **{**SMALL, "position": position})
        assert not model(images_of(8, 8, channels=1)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 5}, "patch_size 5 does not divide the input of 16 pixels: use one of 1, 2, 4, 8, 16"),
        (
            {"position": "rope", "width": 24},
            "rope needs .* multiple of 4, and 4 heads .* have 6: use 1, 2, 3, 6 heads",
        ),
        ({"position": "rope-mixed", "width": 24}, "position rope-mixed needs heads whose width is a multiple of 4"),
        ({"position": "relative-kv", "width": 12}, "relative-kv .* multiple of 2, .* have 3: use 1, 2, 3, 6 heads"),
        ({"position": "rope", "width": 6, "heads": 2}, "have 3: use another width"),
        ({"position": "sincos", "width": 6, "heads": 2}, "sincos needs a width that is a multiple of 4, not 6"),
        ({"attention": "local", "window": 5}, "window must be 1 to 4 for a grid of 4x4 patches, not 5"),
        ({"attention": "lsa", "patch_size": 16, "pool": "mean"}, "lsa needs at least two tokens"),
        ({"stem": "conv", "patch_size": 1}, "stem conv needs a patch_size that is a power of two, 2 or more, not 1"),
        ({"position": "polar"}, "position must be one of none, learned, .*, cpe, not polar"),
        ({"depth": 0}, "depth must be at least 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError, match=message):
        vit2d(**options)
