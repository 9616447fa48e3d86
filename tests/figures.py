"""What a figure looks into, made of a small model and the digits that ship with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import factories
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitbench.errors import Skip
from vitbench.figures import FigureSubject, Picture
from vitbench.protocols import Split
from vitbench.specs import Preprocess
from vitbench.training import preprocess

NORMALISED = Preprocess(mean=(0.5,), std=(0.25,))
IDENTITY = Preprocess(mean=(0.0,), std=(1.0,))
CLASSES = tuple(f"class {digit}" for digit in range(10))


@cache
def digits(count: int = 100) -> Split:
    """Return the first digits as cached images, uint8[N, 1, 8, 8]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images[:count, None] * 255 / 16).round().astype(np.uint8)
    return Split(images=images, index=np.arange(count), labels=data.target[:count].astype(np.int64))


def figure_subject(
    model: nn.Module,
    *,
    image_size: tuple[int, int] = (8, 8),
    in_channels: int = 1,
    count: int = 4,
    images: Split | None = None,
    predict: bool = False,
    fresh: Callable[[int], nn.Module] | None = None,
    resized: Callable[[int, int], nn.Module] | None = None,
) -> FigureSubject:
    """Return a subject that shows some digits.

    Args:
        model: of ten classes where it is asked for predictions; put in eval mode.
        image_size: height and width of its input.
        in_channels: of its input.
        count: the pictures to show.
        images: the test split; by default the first hundred digits.
        predict: call the model on all images of the split.
        fresh: as of `FigureSubject`; None: it raises.
        resized: as of `FigureSubject`; None: the model takes no other size.
    """
    split = images if images is not None else digits()

    def made(how: Preprocess, given: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        one = (torch.from_numpy(image)[None] for image in given)
        return torch.cat([preprocess(image, how, image_size=image_size, in_channels=in_channels) for image in one])

    def inputs(given: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        return made(NORMALISED, given)

    def pixels(given: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        return (made(IDENTITY, given) * 255).round().byte().numpy()

    def never(seed: int) -> nn.Module:
        raise AssertionError("this test's model is not built again")

    def no_other_size(height: int, width: int) -> nn.Module:
        raise Skip(f"the model takes no images of {height}x{width} pixels")

    model.eval()
    shown = [split.images[row] for row in split.index]
    logits = None
    if predict:
        with torch.inference_mode():
            logits = model(inputs(shown))
    return FigureSubject(
        name="toy",
        model=model,
        device="cpu",
        input_shape=(in_channels, *image_size),
        class_names=CLASSES,
        inputs=inputs,
        pixels=pixels,
        fresh=fresh or never,
        resized=resized or no_other_size,
        pictures=tuple(
            Picture(name=CLASSES[split.labels[i]], pixels=shown[i], label=int(split.labels[i])) for i in range(count)
        ),
        images=split,
        predictions=None if logits is None else factories.predictions(logits.clone(), split.labels),
    )
