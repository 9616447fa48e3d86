"""Mixup and CutMix: a target holds of each class what the input shows of it, to the pixel."""

from __future__ import annotations

import torch

from vitbench.training import Draws
from vitbench.training.augmentation.hiding import central_boxes
from vitbench.training.augmentation.mixing import mixed, partners

COUNT = 60


def draws(count: int = COUNT, seed: int = 0) -> Draws:
    return Draws(seed, 0, torch.arange(count))


def constant(count: int = COUNT) -> torch.Tensor:
    """Images whose every pixel is the image's number, which is its label too: float[B, 1, 9, 7]."""
    return torch.arange(float(count))[:, None, None, None].expand(-1, 1, 9, 7)


def mix(mixup: float, cutmix: float) -> tuple[torch.Tensor, torch.Tensor]:
    return mixed(constant(), torch.arange(COUNT), draws(), mixup=mixup, cutmix=cutmix, num_classes=COUNT)


def test_cutmix_labels_count_the_pixels_of_each_image() -> None:
    inputs, targets = mix(0.0, 1.0)
    for image, target in zip(inputs, targets, strict=True):
        counts = torch.bincount(image.long().flatten(), minlength=COUNT)
        assert (counts > 0).sum() <= 2
        assert torch.allclose(target, counts / counts.sum(), atol=1e-6)
    shown = inputs != constant()
    rows, columns = shown[:, 0].any(2), shown[:, 0].any(1)
    assert torch.equal(shown[:, 0], rows[:, :, None] & columns[:, None, :])  # a box


def test_mixup_labels_are_mixed_as_the_images_are() -> None:
    inputs, targets = mix(1.0, 0.0)
    expected = (targets * torch.arange(float(COUNT))).sum(1)
    assert torch.allclose(inputs, expected[:, None, None, None].expand_as(inputs), atol=1e-4)
    assert (targets > 0).sum(1).max() == 2
    assert len(targets.max(1).values.unique()) > COUNT // 2  # each image has a share of its own


def test_with_both_each_image_undergoes_one_of_them() -> None:
    inputs, targets = mix(1.0, 1.0)
    assert torch.allclose(inputs.mean((1, 2, 3)), (targets * torch.arange(float(COUNT))).sum(1), atol=1e-4)
    whole = (inputs == inputs[:, :, :1, :1]).all(3).all(2)[:, 0]  # one colour: Mixup
    integer = (inputs == inputs.round()).flatten(1).all(1)  # pixels of either image: CutMix
    assert (whole | integer).all()
    assert 15 < whole.sum() < 45


def test_the_order_of_a_batch_changes_nothing() -> None:
    x, labels = torch.rand(8, 3, 5, 5), torch.arange(8) % 3
    order = torch.tensor([3, 7, 0, 2, 1, 6, 5, 4])
    one, other = (
        mixed(x[rows], labels[rows], Draws(0, 0, rows), mixup=0.8, cutmix=1.0, num_classes=3)
        for rows in (torch.arange(8), order)
    )
    assert torch.equal(one[0][order], other[0])
    assert torch.equal(one[1][order], other[1])


def test_the_partner_is_another_image_and_each_is_one() -> None:
    for count in (2, 3, 50):
        found = partners(draws(count))
        assert (found != torch.arange(count)).all()
        assert found.sort().values.tolist() == list(range(count))
    assert partners(draws(1)).tolist() == [0]
    assert partners(draws(50)).tolist() != partners(draws(50, seed=1)).tolist()


def test_a_small_alpha_leaves_images_nearly_as_they_are_and_0_wholly() -> None:
    _, targets = mix(1e-3, 0.0)
    assert (targets.max(1).values > 0.99).float().mean() > 0.9
    assert mix(0.0, 0.0)[1].equal(torch.eye(COUNT))


def test_where_a_box_of_cutmix_lies_says_nothing_of_its_size() -> None:
    inputs, targets = mixed(
        torch.zeros(2000, 1, 32, 32),
        torch.arange(2000),
        Draws(0, 0, torch.arange(2000)),
        mixup=0.0,
        cutmix=1.0,
        num_classes=2000,
    )
    boxes = central_boxes(Draws(0, 0, torch.arange(2000)), "cutmix", (32, 32), torch.full((2000, 2), 2))
    kept = targets.gather(1, torch.arange(2000)[:, None])[:, 0]
    for side in range(2):
        assert torch.corrcoef(torch.stack([boxes[:, side].float(), kept]))[0, 1].abs() < 0.1
    assert inputs.shape == (2000, 1, 32, 32)
