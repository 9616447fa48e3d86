"""All changes of an image together: a function of its own draws, and of nothing else in the batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from vitbench.errors import UsageError
from vitbench.protocols import Split
from vitbench.training import Augmentation, Batch, Draws, shuffled

STRONG = Augmentation(
    crop="resized", flip=True, policy="autoaugment", jitter=0.4, cutout=0.4, erase=0.5, mixup=0.8, cutmix=1.0
)
WHAT = {
    "padded": Augmentation(crop="padded"),
    "resized": Augmentation(crop="resized"),
    "flip": Augmentation(flip=True),
    "autoaugment": Augmentation(policy="autoaugment"),
    "randaugment": Augmentation(policy="randaugment"),
    "jitter": Augmentation(jitter=0.4),
    "all": STRONG,
}
COUNT = 24
SIZE = (12, 10)


def images(channels: int = 3) -> torch.Tensor:
    shape = (COUNT, channels, 16, 20)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def changed(how: Augmentation, rows: torch.Tensor, seed: int = 0, channels: int = 3) -> torch.Tensor:
    return how.images(images(channels)[rows], Draws(seed, 0, rows), image_size=SIZE)


@pytest.mark.parametrize(("name", "channels"), [*((name, 3) for name in WHAT), ("all", 1), ("all", 5)])
def test_an_image_is_changed_by_its_own_draws_in_any_batch(name: str, channels: int) -> None:
    how = WHAT[name]
    whole = changed(how, torch.arange(COUNT), channels=channels)
    assert whole.dtype == torch.uint8
    assert whole.shape == (COUNT, channels, *(SIZE if how.crop == "resized" else (16, 20)))
    some = torch.tensor([7, 3, 20, 11])
    assert torch.equal(changed(how, some, channels=channels), whole[some])
    assert not torch.equal(changed(how, torch.arange(COUNT), seed=1, channels=channels), whole)


@pytest.mark.parametrize(("name", "together"), [("padded", 1), ("all", 3), ("all", 8)])
def test_batches_that_are_changed_at_once_have_the_bits_of_those_changed_alone(name: str, together: int) -> None:
    how, pool = WHAT[name], images()
    split = Split(images=pool.numpy(), index=np.arange(COUNT), labels=np.arange(COUNT) % 3)
    calls: list[int] = []

    class Counting(Augmentation):
        def images(self, images: torch.Tensor, *others: Any, **more: Any) -> torch.Tensor:
            calls.append(len(images))
            return super().images(images, *others, **more)

    given = list(shuffled(split, batch_size=4, device=torch.device("cpu"), seed=2, epoch=1, repeats=2))
    counting = Counting(**{field.name: getattr(how, field.name) for field in dataclasses.fields(how)})
    at_once = together * given[0].images.nbytes
    found = list(counting.batches(iter(given), image_size=SIZE, at_once=at_once))
    assert calls == {1: [4] * 6, 3: [12] * 2, 8: [24]}[together]
    for batch, own in zip(found, given, strict=True):
        assert torch.equal(batch.images, how.images(own.images, own.draws, image_size=SIZE))
        assert torch.equal(batch.labels, own.labels)
        assert torch.equal(batch.draws.uniform("mixup"), own.draws.uniform("mixup"))


def test_on_a_cpu_each_batch_is_changed_when_its_step_comes() -> None:
    whole = Batch(images=images(), labels=torch.arange(COUNT), draws=Draws(0, 0, torch.arange(COUNT)))
    left = iter([whole, whole])
    next(STRONG.batches(left, image_size=SIZE))
    assert len(list(left)) == 1


def test_the_images_given_stay_as_they_are_and_nothing_is_done_unless_it_is_asked_for() -> None:
    x, inputs = images(), torch.randn(COUNT, 3, 8, 8)
    before, inputs_before = x.clone(), inputs.clone()
    draws, labels = Draws(0, 0, torch.arange(COUNT)), torch.arange(COUNT) % 3
    STRONG.images(x, draws, image_size=SIZE)
    STRONG.mix(inputs, labels, draws, num_classes=3)
    assert torch.equal(x, before)
    assert torch.equal(inputs, inputs_before)

    x, inputs = images(), torch.randn(COUNT, 3, 8, 8)
    draws, labels = Draws(0, 0, torch.arange(COUNT)), torch.arange(COUNT) % 3
    assert Augmentation().images(x, draws, image_size=SIZE) is x
    same, targets = Augmentation().mix(inputs, labels, draws, num_classes=3)
    assert same is inputs
    assert torch.equal(targets, torch.eye(3)[labels])


def test_about_half_of_the_images_are_mirrored_whatever_else_is_done() -> None:
    x = images()[:1].expand(400, -1, -1, -1)
    draws = Draws(0, 0, torch.arange(400))
    out = Augmentation(flip=True).images(x, draws, image_size=SIZE)
    turned = (out == x.flip(3)).all(dim=(1, 2, 3))
    assert torch.equal(out[~turned], x[~turned])
    assert 160 < int(turned.sum()) < 240


@pytest.mark.parametrize(("count", "seed"), [(1, 0), (2, 2**40), (6, 5)])
def test_hidden_and_mixed_inputs_are_the_same_for_the_same_seed(count: int, seed: int) -> None:
    inputs, labels = torch.randn(count, 2, 7, 9), torch.arange(count)
    draws = Draws(seed, 3, torch.arange(count))
    once, again = (STRONG.mix(inputs, labels, draws, num_classes=6) for _ in range(2))
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
    assert once[0].shape == inputs.shape
    assert torch.allclose(once[1].sum(1), torch.ones(count))


def test_data_forbid_what_would_change_a_label() -> None:
    digits = STRONG.allowed(("crop",))
    assert (digits.crop, digits.flip, digits.policy, digits.mixup) == ("resized", False, "autoaugment", 0.8)
    fixed = STRONG.allowed(("flip",))
    assert (fixed.crop, fixed.flip, fixed.policy, fixed.jitter) == ("none", True, "none", 0.4)
    assert STRONG.allowed(("crop", "flip")) == STRONG


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"crop": "big"}, "crop must be none, padded or resized, not 'big'"),
        ({"policy": "augmix"}, "policy must be none, autoaugment or randaugment, not 'augmix'"),
        ({"erase": 1.5}, "erase must be 0 to 1, not 1.5"),
        ({"cutout": float("nan")}, "cutout must be 0 to 1, not nan"),
        ({"mixup": -1}, "mixup must be 0 or more, not -1"),
        ({"scale": (0.5, 0.1)}, "scale must be two rising shares"),
        ({"ratio": (0, 1)}, "ratio must be two rising numbers above 0"),
        ({"magnitude": 31}, "magnitude must be 0 to 30, not 31"),
        ({"operations": -1}, "operations must be 0 or more, not -1"),
    ],
)
def test_strengths_out_of_range_are_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Augmentation(**fields)
