"""A model that an option of a recipe names, such as a teacher: built by its vitbench name, and fed as the student is.

Shapes: B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vitbench.catalog import Catalog
from vitbench.catalog.options import complete_options, parse_model
from vitbench.data.geometry import channels_fit
from vitbench.errors import UnusableError, UsageError
from vitbench.specs import OptionValue, Preprocess, RecipeSpec, load_target
from vitbench.training.inputs import LUMINANCE, resize_and_crop
from vitbench.worker.build import checked_build

__all__ = ["builder"]


def builder(
    catalog: Catalog,
    recipe: RecipeSpec,
    options: Mapping[str, OptionValue],
    *,
    num_classes: int,
    image_size: tuple[int, int],
    in_channels: int,
    preprocess: Preprocess,
    statistics: Callable[[], Preprocess],
    home: str = "",
) -> Callable[[str], nn.Module]:
    """Return the function that is `FitRun.build`.

    Args:
        catalog: what names mean.
        recipe: its options of kind ``model`` say what may be built: what these name is in the cell's key.
        options: of the recipe, complete.
        num_classes: K of the model in training, and of all that are built.
        image_size: H and W of its inputs.
        in_channels: C of its inputs.
        preprocess: what was done to its inputs.
        statistics: gives the normalisation of a model whose spec names none.
        home: the recipe's plugin, whose offers short names mean first; in a run names are full.
    """
    named = {options[name] for name, option in recipe.declared.items() if option.kind == "model" and options.get(name)}

    def build(text: str) -> nn.Module:
        if text not in named:
            raise UsageError(
                f'recipe {recipe.name} builds "{text}", which none of its options of kind "model" names: what it '
                "learns from must be part of the cell's key"
            )
        name, given = parse_model(text)
        offer = catalog.model(name, home=home)
        spec = catalog.member(offer.name)
        size, channels = spec.input_size or image_size, spec.in_channels or in_channels
        model = checked_build(
            offer.name,
            load_target(spec.build),
            {"num_classes": num_classes, "image_size": size, "in_channels": channels},
            {**spec.arguments, **complete_options(f"model {offer.name}", spec.declared, given)},
        )
        wanted = spec.preprocess or statistics()
        if (size, channels, wanted) == (image_size, in_channels, preprocess):
            return model
        if not channels_fit(in_channels, channels):
            raise UnusableError(f"model {offer.name} takes {channels} channels, and the images have {in_channels}")
        return _Converted(model, preprocess, wanted, image_size=size, in_channels=channels, given_channels=in_channels)

    return build


class _Converted(nn.Module):
    """A model behind a conversion of another model's inputs: back to pixels, to its own size, its own normalisation."""

    given_mean: Tensor
    given_std: Tensor
    wanted_mean: Tensor
    wanted_std: Tensor

    def __init__(
        self,
        model: nn.Module,
        given: Preprocess,
        wanted: Preprocess,
        *,
        image_size: tuple[int, int],
        in_channels: int,
        given_channels: int,
    ) -> None:
        super().__init__()
        self.model = model
        self._size, self._channels, self._wanted = image_size, in_channels, wanted
        for role, how, channels in (("given", given, given_channels), ("wanted", wanted, in_channels)):
            self.register_buffer(f"{role}_mean", _per_channel(how.mean, channels), persistent=False)
            self.register_buffer(f"{role}_std", _per_channel(how.std, channels), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``[B, K]`` of inputs ``[B, C, H, W]`` as the model in training gets them."""
        x = inputs * self.given_std + self.given_mean
        if x.shape[1] == len(LUMINANCE) and self._channels == 1:
            x = torch.stack([weight * x[:, c] for c, weight in enumerate(LUMINANCE)]).sum(0).unsqueeze(1)
        x = resize_and_crop(x, self._wanted, self._size)
        x = x.expand(-1, self._channels, -1, -1)
        return cast(Tensor, self.model((x - self.wanted_mean) / self.wanted_std))


def _per_channel(values: Sequence[float], channels: int) -> Tensor:
    """Return one value for each channel, or one for all, as ``[1, C or 1, 1, 1]``."""
    if len(values) == len(LUMINANCE) and channels == 1:
        values = (sum(weight * value for weight, value in zip(LUMINANCE, values, strict=True)),)
    return torch.tensor(values).view(1, -1, 1, 1)
