"""What enters a model's head, of models that say it and of others, and another head in its place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import toy_training
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.training import features, with_head
from vitbench.training.frozen_features import extracted, fitted_head

IMAGES = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Body(nn.Module):
    """Flattened pixels, a norm that has modes, and a head."""

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(64, 6), nn.BatchNorm1d(6)
        self.head = head or nn.Linear(6, 3)

    def body(self, images: Tensor) -> Tensor:
        return self.norm(self.fc(images.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


class Zeros(Body):
    """As a model for fine-tuning has it: no logit tells anything."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)


class Pixel(Body):
    """Its head is a convolution, as that of BiT."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(6, 3, kernel_size=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images)[:, :, None, None]).flatten(1)


class Says(Body):
    """Says itself what its features are, which enter its head."""

    def features(self, images: Tensor) -> Tensor:
        return self.body(images)


class SaysOther(Body):
    """Says what does not enter its head."""

    def features(self, images: Tensor) -> Tensor:
        return 2 * self.body(images)


class Submodule(Body):
    """Has parts of this name, as VGG has."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Flatten()


class Scaled(Zeros):
    """Does something after its head; zeros hide it."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * super().forward(images)


class TwoHeads(Zeros):
    """The mean of two heads, as distilled models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return (super().forward(images) + self.other(self.body(images))) / 2


class Tokens(Body):
    """Its head reads each of several vectors."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images)[:, None].expand(-1, 4, -1)).mean(1)


class NoLinear(Body):
    """Nothing linear in it."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3]


class Grid(Body):
    """Its method gives a grid."""

    def features(self, images: Tensor) -> Tensor:
        return images


@pytest.mark.parametrize("make", [Body, Zeros, Pixel, Says, SaysOther, Submodule])
def test_features_are_what_the_head_reads_and_a_new_head_reads_them(make: Callable[[], Body]) -> None:
    torch.manual_seed(0)
    model = make().train()
    found = features(model, IMAGES)
    assert model.training
    assert model.norm.training, "each part has its mode again"
    assert model.norm.num_batches_tracked == 0
    model.eval()
    wanted = model.features(IMAGES) if isinstance(model, (Says, SaysOther)) else model.body(IMAGES)
    assert torch.equal(found, wanted)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if not name.startswith("head.")}
    head = nn.Linear(6, 7)
    probed = with_head(model, head, IMAGES).eval()
    assert torch.allclose(probed(IMAGES), head(wanted), atol=1e-6)
    assert fitted_head(probed) is head
    assert fitted_head(Body()) is None
    assert (probed is model) == (make is not SaysOther)
    kept = {name.removeprefix("model."): tensor for name, tensor in probed.state_dict().items()}
    assert all(torch.equal(kept[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Scaled, "Scaled has no features: it has no method features, and its output is not that of a last linear"),
        (TwoHeads, "TwoHeads has no features"),
        (Tokens, "Tokens has no features"),
        (NoLinear, "NoLinear has no features"),
        (
            Grid,
            (
                r"the method features of Grid returned torch.float32 \[5, 1, 8, 8\]; it must return one vector of "
                r"numbers"
            ),
        ),
    ],
)
def test_a_model_without_features_is_refused_in_words(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        features(make(), IMAGES)


def test_features_of_an_image_are_the_same_bits_whichever_others_it_comes_with() -> None:
    torch.manual_seed(0)
    model, data = Body(), toy_training.bars_data()

    def of(rows: slice) -> np.ndarray:
        split = toy_training.split(data.train.images[data.train.index][rows], data.train.labels[rows])
        return np.concatenate(list(extracted(model, split, data, device=torch.device("cpu"), precision="float32")))

    whole = of(slice(0, 96))
    assert whole.shape == (96, 6)
    assert whole.dtype == np.float32
    assert np.array_equal(whole[:37], of(slice(0, 37)))
    assert np.array_equal(whole[50:51], of(slice(50, 51)))


def test_features_that_are_not_finite_are_refused() -> None:
    data, model = toy_training.bars_data(), Body()
    nn.init.constant_(model.fc.bias, float("inf"))
    with pytest.raises(UsageError, match="the features of Body are not finite"):
        list(extracted(model, data.val, data, device=torch.device("cpu"), precision="float32"))
