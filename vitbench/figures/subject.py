"""What a figure looks into: a trained model with its weights, images that it is judged on, and what it said of them.

Shapes: B images, C channels, H height, W width, N images that it is judged on, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vitbench.errors import Skip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from vitbench.attention import Watched
    from vitbench.protocols import Predictions, Split

__all__ = ["FigureSubject", "Picture"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image that a figure is asked to look at: one that the model is judged on, or a user's own."""

    name: str
    """For a title: the true class, or the file's name."""
    pixels: NDArray[np.uint8]
    """uint8[C, H, W], as it is cached or was read."""
    label: int | None = None
    """The true class; None if it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureSubject:
    """What a figure reads."""

    name: str
    """The model's name in tables."""
    model: nn.Module
    """With its trained weights, in eval mode, on `device`. Leave it as it is."""
    device: str
    """Where the model is: ``cpu``, ``cuda:0``. Move results to the CPU before passing them to NumPy."""
    input_shape: tuple[int, int, int]
    """Channels, height and width of the model's input."""
    class_names: tuple[str, ...]
    """K names."""
    inputs: Callable[[Sequence[NDArray[np.uint8]]], Tensor]
    """Turns images, each uint8[C, H, W], into the model's input: float32[B, C, H, W] on `device`, normalised."""
    pixels: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.uint8]]
    """Turns images into what the model sees before normalisation, uint8[B, C, H, W]: to be drawn under maps."""
    fresh: Callable[[int], nn.Module]
    """Builds the same architecture with the random weights of a seed, in eval mode, on `device`."""
    resized: Callable[[int, int], nn.Module]
    """Builds the model, with its trained weights, for an input of another height and width. Raises `Skip` where it
    takes none."""
    pictures: tuple[Picture, ...]
    """The images to show: the user's own, or some of those that it is judged on, the same for each model of a board."""
    images: Split
    """What it is judged on, in the order of `predictions`: the test split, unless validation images were asked for."""
    predictions: Predictions | None = None
    """The model's predictions for `images`; None if they are not stored."""
    kept: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """What the recipe kept beside the weights (`FitRun.keep`), by name."""

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @contextmanager
    def maps(self, *, gradients: bool = False) -> Iterator[Watched]:
        """Watch the model's attention while it is called in the block (`vitbench.attention.watch`).

        Args:
            gradients: as of `watch`.

        Raises:
            Skip: the model has none that can be watched, once the block has ended; or the block raised UnusableError,
                as the functions of `vitbench.attention` do for maps that they cannot read.
        """
        from vitbench.attention import watch
        from vitbench.errors import UnusableError

        try:
            with watch(self.model, gradients=gradients) as seen:
                yield seen
            seen.checked()
        except UnusableError as error:
            raise Skip(str(error)) from error
