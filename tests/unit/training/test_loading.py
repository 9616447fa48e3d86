"""Batches: complete, in order or shuffled, and equal from the memory map and from the device's memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import toy_training

from vitbench.errors import UsageError
from vitbench.protocols import Split
from vitbench.training import Resident, batches, resident, shuffled, steps_per_epoch
from vitbench.training.loading import ahead

CPU = torch.device("cpu")


def numbered(count: int) -> Split:
    """Image i holds the value i and has the label i."""
    values = np.arange(count)
    return toy_training.split(values.astype(np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8), values)


def on_cpu(split: Split) -> Resident:
    return Resident(images=torch.from_numpy(split.images[split.index]), labels=torch.from_numpy(split.labels))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [1, 10])
def test_without_a_generator_every_image_comes_once_and_in_order(count: int) -> None:
    parts = list(batches(numbered(count), batch_size=4, device=CPU))
    assert torch.cat([labels for _, labels in parts]).tolist() == list(range(count))
    assert [len(labels) for _, labels in parts[:-1]] == [4] * (len(parts) - 1)


@pytest.mark.parametrize("shuffled", [False, True])
def test_each_image_comes_with_its_own_label(shuffled: bool) -> None:
    for images, labels in batches(numbered(11), batch_size=4, device=CPU, generator=seeded(0) if shuffled else None):
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (2, 3, 3)
        assert torch.equal(images[:, 0, 0, 0].long(), labels)


@pytest.mark.parametrize(("count", "sizes"), [(12, [4, 4, 4]), (15, [4, 4, 4]), (3, [3])])
def test_shuffled_batches_are_full_unless_there_are_too_few_images(count: int, sizes: list[int]) -> None:
    parts = list(batches(numbered(count), batch_size=4, device=CPU, generator=seeded(0)))
    assert [len(labels) for _, labels in parts] == sizes
    assert len(parts) == steps_per_epoch(count, 4)


def test_a_shuffled_pass_repeats_no_image_leaves_out_others_each_time_and_is_the_same_for_a_seed() -> None:
    generator = seeded(0)
    passes = []
    for _ in range(2):
        drawn = torch.cat([b for _, b in batches(numbered(15), batch_size=4, device=CPU, generator=generator)])
        assert len(set(drawn.tolist())) == 12
        passes.append(drawn.tolist())
    assert passes[0] != passes[1]
    assert set(passes[0]) != set(passes[1])

    first, second = (
        torch.cat([b for _, b in batches(numbered(16), batch_size=4, device=CPU, generator=seeded(5))])
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert first.tolist() != list(range(16))


def test_batches_from_device_memory_equal_those_from_the_memory_map() -> None:
    split = numbered(13)
    for seed in (None, 2):
        one, other = (
            list(batches(source, batch_size=4, device=CPU, generator=None if seed is None else seeded(seed)))
            for source in (split, on_cpu(split))
        )
        assert all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def test_a_split_stays_where_it_is_on_the_cpu_and_is_put_on_an_accelerator_where_it_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = numbered(4)
    assert resident(split, CPU) is split

    split, meta = numbered(4), torch.device("meta")
    placed = resident(split, meta)
    assert isinstance(placed, Resident)
    assert placed.images.shape == (4, 2, 3, 3)
    assert len(placed) == 4
    monkeypatch.setattr("vitbench.training.loading._RESIDENT_BYTES", 4 * 18 - 1)
    assert resident(split, meta) is split


def test_a_batch_size_below_one_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="batch_size must be at least 1, not 0"):
        steps_per_epoch(10, 0)


def labels_of(split: Split | Resident, **options: object) -> list[int]:
    asked = {"batch_size": 4, "device": CPU, "seed": 0, "epoch": 0} | options
    return torch.cat([batch.labels for batch in shuffled(split, **asked)]).tolist()


def test_the_order_is_of_the_seed_and_the_epoch_alone() -> None:
    split = numbered(15)
    order = labels_of(split)
    assert len(set(order)) == len(order) == 12
    assert labels_of(on_cpu(split)) == order
    assert order not in (labels_of(split, seed=1), labels_of(split, epoch=1))
    assert labels_of(split, start=1) == order[4:]


def test_images_have_the_same_draws_in_batches_of_any_size() -> None:
    drawn = []
    for batch_size in (1, 5):
        parts = list(shuffled(numbered(10), batch_size=batch_size, device=CPU, seed=0, epoch=2))
        labels = torch.cat([part.labels for part in parts])
        numbers = torch.cat([part.draws.uniform("x") for part in parts])
        drawn.append(numbers[labels.argsort()])
    assert torch.equal(*drawn)


def test_repeated_images_stand_side_by_side_and_each_has_its_turn() -> None:
    split = numbered(6)
    seen = []
    for epoch in range(3):
        for batch in shuffled(split, batch_size=3, device=CPU, seed=0, epoch=epoch, repeats=3):
            assert len(batch.labels.unique()) == 1
            assert len(batch.draws.uniform("x").unique()) == 3
            seen.append(int(batch.labels[0]))
    assert sorted(seen) == list(range(6))


def test_weights_say_how_often_an_image_comes() -> None:
    drawn = labels_of(numbered(400), weights=torch.tensor([0.0, *[1.0] * 398, 400.0]))
    assert 0 not in drawn
    assert 150 < drawn.count(399) < 250


@pytest.mark.parametrize("repeats", [0, 5])
def test_a_batch_has_room_for_the_repeats(repeats: int) -> None:
    with pytest.raises(UsageError, match="repeats must be 1 to the batch size of 4"):
        labels_of(numbered(8), repeats=repeats)


def test_an_image_that_is_sampled_again_has_draws_of_its_own() -> None:
    [batch] = shuffled(numbered(8), batch_size=8, device=CPU, seed=0, epoch=0, weights=torch.eye(8)[3])
    assert batch.labels.tolist() == [3] * 8
    assert len(batch.draws.uniform("x").unique()) == 8


def test_what_is_made_ahead_comes_in_order_and_an_error_in_its_turn() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1, 5):
            made.append(number)
            yield number
        raise ValueError("the fifth")

    taken = ahead(source())
    assert [next(taken) for _ in range(2)] == [1, 2]
    assert len(made) <= 3, "one ahead, and no more"
    assert [next(taken) for _ in range(2)] == [3, 4]
    with pytest.raises(ValueError, match="the fifth"):
        next(taken)
