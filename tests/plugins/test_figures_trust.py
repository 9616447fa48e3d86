"""The tests of a method that says where a model looks: on toys whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from figures import figure_subject
from torch import Tensor, nn
from vitbench_figures.deletion import area, cells, deletion, distance_from_fill, shares
from vitbench_figures.pointing import Pointed, pointing
from vitbench_figures.randomisation import cascade, rank_correlation
from vitbench_figures.trust import Trust, judged

import vitbench
from vitbench.errors import Skip
from vitbench.figures import FigureSubject
from vitbench.protocols import Split


class Weighted(nn.Module):
    """Two classes, of which the second is as likely as the pixels weigh: its logit is their weighted sum."""

    def __init__(self, seed: int = 0, side: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(side, side, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        logits = (images * self.weight).flatten(1).sum(1)
        return torch.stack([torch.zeros_like(logits), logits], 1)


def contributions(subject: FigureSubject, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the true map of `Weighted`: what each pixel adds to the logit of a class over the other's."""
    sign = (2 * targets - 1)[:, None, None]
    return sign * (inputs[:, 0] * subject.model.weight)


def distance(subject: FigureSubject, inputs: Tensor, targets: Tensor) -> Tensor:
    return distance_from_fill(inputs, (8, 8))


def noise(subject: FigureSubject, inputs: Tensor, targets: Tensor) -> Tensor:
    return torch.rand(len(inputs), 8, 8, generator=torch.Generator().manual_seed(7))


def weighted(count: int = 40) -> FigureSubject:
    pixels = np.random.default_rng(3).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    images = Split(images=pixels, index=np.arange(count), labels=np.arange(count) % 2)
    return figure_subject(Weighted(), images=images, fresh=Weighted)


def by_name(trust: Trust) -> dict[str, vitbench.Measurement]:
    return {one.name: one for one in trust.measurements}


def test_a_true_map_beats_both_controls_and_follows_the_weights() -> None:
    trust = judged(weighted(), contributions, images=40, knows_classes=False)
    found = by_name(trust)
    assert trust.failures == ()
    assert {one.verdict.level for one in found.values()} == {"valid"}
    for control in ("random", "fill"):
        one = found[f"deletion_minus_{control}"]
        assert one.value == pytest.approx(found["deletion"].value - found[f"deletion_{control}"].value)
        assert one.low < one.value < one.high < 0
        assert one.n == len(one.samples[0]) == 40
    assert abs(found["rank_correlation"].value) < 0.2
    assert trust.titled("Map") == "Map"


def test_a_map_of_the_image_alone_fails_by_its_correlation_and_by_the_control_that_it_is() -> None:
    trust = judged(weighted(), distance, images=40, knows_classes=False)
    found = by_name(trust)
    assert found["rank_correlation"].value == pytest.approx(1)
    assert found["rank_correlation"].verdict.level == "warn"
    assert found["deletion_minus_fill"].value == 0, "it is the control itself"
    assert found["deletion_minus_fill"].verdict.level == "warn"
    assert len(trust.failures) >= 2
    assert all(failure in trust.note for failure in trust.failures)
    assert trust.titled("Map") == "Map (fails its tests)"


def test_noise_does_not_beat_a_random_order() -> None:
    found = by_name(judged(weighted(), noise, images=40, knows_classes=False))
    assert found["deletion_minus_random"].verdict.level == "warn"


def test_the_numbers_are_the_same_each_time_and_a_map_of_one_value_is_the_random_order() -> None:
    def constant(subject: FigureSubject, inputs: Tensor, targets: Tensor) -> Tensor:
        return torch.ones(len(inputs), 8, 8)

    first, second = (by_name(judged(weighted(), constant, images=20, knows_classes=False)) for _ in range(2))
    assert first == second
    assert first["deletion"].samples == first["deletion_random"].samples
    assert first["deletion_minus_random"].verdict.level == "warn", "no difference is no proof"


def test_no_images_no_tests() -> None:
    assert judged(weighted(), distance, images=0) == Trust()


def test_the_curve_of_deletion_is_the_probability_of_what_is_left() -> None:
    model, image = Weighted(side=2), torch.tensor([[[[1.0, -2.0], [0.5, 3.0]]]])
    order = torch.tensor([[[4.0, 3.0], [1.0, 2.0]]])
    curve = deletion(model, image, torch.tensor([1]), order, np.random.default_rng(0))
    gone = [(0, 0), (0, 1), (1, 1), (1, 0)]
    expected = []
    for count in range(5):
        left = image[0, 0].clone()
        for row, column in gone[:count]:
            left[row, column] = 0
        expected.append(torch.sigmoid((left * model.weight.detach()).sum().double()))
    assert curve[0].tolist() == pytest.approx([float(one) for one in expected], abs=1e-6)
    covered = shares((2, 2))
    assert covered.tolist() == [0, 0.25, 0.5, 0.75, 1]
    steps = curve[0].numpy()
    assert area(steps[None], covered)[0] == pytest.approx((steps[:-1] + steps[1:]).mean() / 2)


def test_fine_maps_are_covered_in_larger_cells() -> None:
    maps = torch.arange(2 * 32 * 64.0).view(2, 32, 64)
    found = cells(maps)
    assert found.shape == (2, 16, 16)
    assert found[1, 0, 0] == maps[1, :2, :4].mean()
    assert cells(maps[:, :4, :5]).equal(maps[:, :4, :5])
    assert shares((16, 16)).tolist() == [step / 16 for step in range(17)]


def test_weights_become_random_from_the_top_and_the_trained_ones_stay() -> None:
    def network(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3))
        nn.init.zeros_(model[2].weight)
        return model

    trained = network(0)
    with torch.no_grad():
        for each in trained.parameters():
            each.add_(torch.rand_like(each))
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    subject = figure_subject(trained, fresh=network)
    fresh, changed = network(5).state_dict(), {}
    for share, model in cascade(subject, 5, (0.0, 0.5, 1.0)):
        changed[share] = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert changed == {0.0: set(), 0.5: {"2.weight", "2.bias", "1.bias"}, 1.0: set(before)}
    last = model.state_dict()
    assert all(last[name].equal(fresh[name]) for name in set(before) - {"2.weight"})
    shuffled, original = last["2.weight"].flatten(), before["2.weight"].flatten()
    assert shuffled.sort().values.equal(original.sort().values), "a head of zeros would give maps of nothing"
    assert all(value.equal(before[name]) for name, value in trained.state_dict().items())


def test_rank_correlation_is_spearmans_and_none_with_a_map_of_one_value() -> None:
    rising, ties = np.arange(6.0).reshape(1, 2, 3), np.array([[[0, 0, 1.0], [1, 2, 2]]])
    assert rank_correlation(rising, np.exp(rising)) == pytest.approx([1])
    assert rank_correlation(rising, -rising) == pytest.approx([-1])
    assert rank_correlation(rising, ties) == pytest.approx([0.9562], abs=1e-4)
    assert rank_correlation(rising, np.ones((1, 2, 3))).tolist() == [0]


class Brightest(nn.Module):
    """Images of one gray level each, 20 apart; a class is as likely as it is bright and large."""

    def forward(self, images: Tensor) -> Tensor:
        levels = ((images * 0.25 + 0.5) * 255 / 20).round()
        return torch.stack([(levels == level).float().flatten(1).mean(1) * (level + 1) for level in range(10)], 1)


def gray() -> FigureSubject:
    labels = np.arange(30) % 10
    images = np.tile((labels * 20).astype(np.uint8)[:, None, None, None], (1, 1, 8, 8))
    split = Split(images=images, index=np.arange(30), labels=labels)
    return figure_subject(Brightest(), images=split, resized=lambda height, width: Brightest().eval())


def at_class(subject: FigureSubject, inputs: Tensor, targets: Tensor) -> Tensor:
    assert inputs.shape[1:] == subject.input_shape == (1, 16, 16)
    return (((inputs[:, 0] * 0.25 + 0.5) * 255 / 20).round() == targets[:, None, None]).float()


def at_darkest(subject: FigureSubject, inputs: Tensor, targets: Tensor) -> Tensor:
    return -inputs[:, 0]


@pytest.mark.parametrize(("explain", "hits"), [(at_class, 40), (at_darkest, 0)])
def test_the_pointing_game_counts_the_two_likeliest_classes(
    explain: Callable[[FigureSubject, Tensor, Tensor], Tensor], hits: int
) -> None:
    found = pointing(gray(), explain, 20, np.random.default_rng(0))
    assert found == Pointed(hits=hits, counted=40, mosaics=20)


def test_a_mosaic_needs_four_classes_and_a_model_that_takes_it() -> None:
    with pytest.raises(Skip, match="takes no images of 16x16"):
        pointing(weighted_of_four(), distance, 4, np.random.default_rng(0))
    with pytest.raises(Skip, match="the images are of 2"):
        pointing(replace(weighted(), resized=lambda height, width: Weighted()), distance, 4, np.random.default_rng(0))


def weighted_of_four() -> FigureSubject:
    subject = weighted()
    return replace(subject, images=replace(subject.images, labels=np.arange(40) % 4))


def test_the_pointing_score_has_its_interval_and_what_cannot_point_says_why() -> None:
    trust = judged(replace(gray(), fresh=lambda seed: Brightest()), at_darkest, images=20)
    one = by_name(trust)["pointing"]
    assert (one.value, one.n, one.verdict.level) == (0, 40, "warn")
    unable = judged(weighted_of_four(), contributions, images=8)
    assert "pointing" not in by_name(unable)
    assert "No pointing score: the model takes no images of 16x16 pixels." in unable.note
