"""What is read from attention maps, against values made by hand."""

import math

import pytest
import torch

from vitbench.attention import attention_distance, patch_grid, rollout
from vitbench.errors import UnusableError


def test_rollout_of_identity_is_identity() -> None:
    identity = torch.eye(5).expand(2, 3, 5, 5)
    assert torch.allclose(rollout([identity] * 4), torch.eye(5).expand(2, 5, 5))


def test_rollout_of_uniform_attention() -> None:
    layers, tokens = 3, 5
    uniform = torch.full((1, 2, tokens, tokens), 1 / tokens)
    expected = 1 / tokens + 0.5**layers * (torch.eye(tokens) - 1 / tokens)
    assert torch.allclose(rollout([uniform] * layers)[0], expected)


def test_rollout_goes_from_the_first_layer_to_the_last() -> None:
    swap = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])[None, None]
    turn = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])[None, None]
    assert torch.equal(rollout([swap, turn], residual=0.0)[0], (turn @ swap)[0, 0])


def test_rollout_refuses_windows() -> None:
    other_tokens, other_windows = torch.rand(1, 1, 9, 9), torch.rand(16, 1, 4, 4)
    for second in (other_tokens, other_windows, torch.rand(1, 1, 4, 4, 4)):
        with pytest.raises(UnusableError, match="same tokens"):
            rollout([torch.rand(1, 1, 4, 4), second])


def test_distance_of_uniform_attention_over_two_by_two_patches() -> None:
    """From each patch: itself 0, two neighbours 1, one diagonal sqrt 2; a class token takes a share of each row."""
    weights = torch.full((1, 1, 5, 5), 0.2)
    assert attention_distance(weights, (2, 2), patch=16.0).item() == pytest.approx(16 * (2 + math.sqrt(2)) / 4)


def test_distance_of_a_head_that_looks_at_its_own_patch_is_zero() -> None:
    assert attention_distance(torch.eye(6)[None, None], (2, 3)).item() == 0


def test_distance_leaves_tokens_out_that_look_at_no_patch() -> None:
    weights = torch.full((1, 1, 5, 5), 0.2)
    weights[..., 1, :] = torch.tensor([1.0, 0, 0, 0, 0])  # at the class token alone
    assert attention_distance(weights, (2, 2)).item() == pytest.approx((2 + math.sqrt(2)) / 4)
    weights[:] = torch.tensor([1.0, 0, 0, 0, 0])
    assert attention_distance(weights, (2, 2)).isnan().all()


def test_maps_in_half_precision_are_read_in_float32() -> None:
    half = torch.eye(6, dtype=torch.bfloat16)[None, None]
    assert attention_distance(half, (2, 3)).dtype == rollout([half]).dtype == torch.float32


@pytest.mark.parametrize(
    ("tokens", "size", "prefix", "expected"),
    [
        (65, (32, 32), None, (1, (8, 8))),
        (64, (32, 32), None, (0, (8, 8))),
        (198, (224, 224), None, (2, (14, 14))),
        (69, (128, 128), 5, (5, (8, 8))),
        (33, (32, 64), None, (1, (4, 8))),
    ],
)
def test_grid(tokens: int, size: tuple[int, int], prefix: int | None, expected: object) -> None:
    assert patch_grid(tokens, size, prefix) == expected


@pytest.mark.parametrize(("tokens", "prefix"), [(7, 1), (5, 5), (4, 5)])
def test_a_number_of_tokens_that_is_no_grid_is_refused(tokens: int, prefix: int) -> None:
    with pytest.raises(UnusableError, match="not a grid"):
        patch_grid(tokens, (32, 32), prefix)
