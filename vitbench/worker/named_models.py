"""A model that an option of a recipe names, such as a teacher: built by its vitbench name, and fed as the student is.

Shapes: B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

from torch import Tensor, nn

from vitbench.catalog import Catalog
from vitbench.catalog.options import complete_model, parse_model
from vitbench.data.geometry import channels_fit
from vitbench.errors import UnusableError, UsageError, VitbenchError
from vitbench.specs import OptionValue, Preprocess, RecipeSpec, load_target
from vitbench.training.inputs import convert
from vitbench.worker.build import checked_build
from vitbench.worker.heads import GroupedOutputs, match
from vitbench.worker.weights import weights_of

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
    class_names: tuple[str, ...] = (),
    home: str = "",
) -> Callable[[str], nn.Module]:
    """Return the function that is `FitRun.build`.

    Args:
        catalog: what names mean.
        recipe: its options of kind ``model`` say what may be built: what these name is in the cell's key.
        options: of the recipe, complete.
        num_classes: K of the model in training, and of all that are built.
        image_size: (H, W) of its inputs.
        in_channels: C of its inputs.
        preprocess: what was done to its inputs.
        statistics: gives the normalisation of a model whose spec names none.
        class_names: of the data; the outputs of weights that name the same ones come in their order.
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
        options = complete_model(f"model {offer.name}", spec, given)
        weights = weights_of(spec, options, trains=True)
        spec = weights.spec
        size, channels = spec.input_size or image_size, spec.in_channels or in_channels
        if not channels_fit(in_channels, channels):
            raise UnusableError(f"model {offer.name} takes {channels} channels, and the inputs have {in_channels}")
        offered = {"num_classes": num_classes, "image_size": size, "in_channels": channels}
        try:
            model = checked_build(offer.name, load_target(spec.build), offered, spec.build_arguments(options))
            # A teacher of other data teaches by position; the same names are matched.
            same = sorted(weights.class_names) == sorted(class_names)
            order = match(class_names, weights.outputs, len(class_names))[0] if same else ()
        except VitbenchError as error:
            raise type(error)(f"model {text}, which recipe {recipe.name} builds: {error}") from error
        model = GroupedOutputs(model, order) if order else model
        wanted = spec.preprocess or statistics()
        if not channels_fit(len(wanted.mean), channels):  # as for a model that is trained itself
            wanted = replace(wanted, mean=statistics().mean, std=statistics().std)
        if (size, channels, wanted) == (image_size, in_channels, preprocess):
            return model
        return _Converted(
            model, partial(convert, given=preprocess, wanted=wanted, image_size=size, in_channels=channels)
        )

    return build


class _Converted(nn.Module):
    """A model behind a conversion of another model's inputs to its own size, channels and normalisation."""

    def __init__(self, model: nn.Module, convert: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._convert = convert

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``[B, K]`` of inputs ``[B, C, H, W]`` as the model in training gets them."""
        return cast(Tensor, self.model(self._convert(inputs)))
