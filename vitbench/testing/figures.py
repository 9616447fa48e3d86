"""Checks of figures: each function is one contract of `FigureSpec.draw`, on small networks (`figure_subjects`)."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from vitbench import contract
from vitbench.errors import Skip
from vitbench.figures import Figure, Grid, Matrix, Scale, Tile
from vitbench.specs import MeasurementSpec, Scalar
from vitbench.testing.cases import FigureCase
from vitbench.testing.checks import CheckFailed
from vitbench.testing.choices import other_values
from vitbench.testing.looking import all_looks, bits, drawn_looks, first_drawn, look_at

ROUNDING = 1e-5
"""By which values may lie outside of their scale or interval, over its width: they are float32."""
CHOSEN = ("layer", "head", "target")
"""Options that ``vitbench explain`` sets."""
ABSENT = 9999
"""A layer, a head and a class that no model of the kit has."""


def check_figure_offline(case: FigureCase) -> None:
    """`draw` does not use the network."""
    for look in all_looks(case):
        if look.asked:
            raise CheckFailed(f"draw asks {look.asked[0]} of the network; ship what it needs with the package")


def check_figure_draws(case: FigureCase) -> None:
    """`draw` gives at least one picture, and measurements, or raises Skip with a one-line reason."""
    for look in all_looks(case):
        if look.fault:
            raise CheckFailed(f"{look.fault} ({look.where})")
        reason = look.skipped
        if reason is not None and (not reason.strip() or len(reason.splitlines()) != 1):
            raise CheckFailed(f"draw raised Skip({reason!r:.60}); say why in one line ({look.where})")
        if reason is None and not look.figures:
            raise CheckFailed(f"draw returned no picture; raise Skip if there is nothing to show ({look.where})")
    drawn_looks(case)


def check_figure_words(case: FigureCase) -> None:
    """Each picture has a title, no two pictures share title and step, and all texts are single lines."""
    for look in drawn_looks(case):
        for figure in look.figures:
            if not figure.title.strip():
                raise CheckFailed(f"a {_kind(figure)} has no title ({look.where})")
            for text in _texts(figure):
                if len(text.splitlines()) > 1 or contract.is_torn(text):
                    raise CheckFailed(f"{text!a:.60} must be one line of text ({look.where})")
        counts = Counter((figure.title, figure.step) for figure in look.figures)
        (title, step), count = counts.most_common(1)[0]
        if count > 1:
            what = f'"{title}"' + (f', "{step}"' if step else "")
            raise CheckFailed(f"{count} pictures are called {what}; give each its own step or title ({look.where})")


def check_figure_scale(case: FigureCase) -> None:
    """The values of a picture lie within its scale, so that no colour stands for a wrong value."""
    scaled = False
    for look in drawn_looks(case):
        for figure in look.figures:
            for values, scale in _scaled(figure):
                scaled = True
                slack = ROUNDING * (scale.high - scale.low)
                low, high = float(values.min()), float(values.max())
                if low < scale.low - slack or high > scale.high + slack:
                    raise CheckFailed(
                        f'"{figure.title}" has values from {low:g} to {high:g}, its scale goes from {scale.low:g} to '
                        f"{scale.high:g}; widen it, or clip the values and say so in the note ({look.where})"
                    )
    if not scaled:
        raise Skip("its pictures have no scale")


def check_figure_measurements(case: FigureCase) -> None:
    """Each measurement has a unique name, a unit, and a finite value in its interval, or else a verdict."""
    found = False
    for look in drawn_looks(case):
        names = Counter(one.name for one in look.measurements)
        for one in look.measurements:
            found, name = True, one.name
            if names[name] > 1:
                raise CheckFailed(f'draw returned "{name}" {names[name]} times; give each its own name ({look.where})')
            try:
                MeasurementSpec(name=name)
            except ValueError as error:
                raise CheckFailed(f"{error} ({look.where})") from error
            if not one.unit:
                raise CheckFailed(f'{name} has no unit; give one, "1" for a plain number ({look.where})')
            if one.value is None:
                if one.verdict.level == "valid":
                    raise CheckFailed(f"{name} has no value and no reason; give a verdict ({look.where})")
                continue
            if not math.isfinite(one.value):
                raise CheckFailed(f"{name} is {one.value}; give None with a verdict ({look.where})")
            low, high = (one.value if end is None else end for end in (one.low, one.high))
            slack = ROUNDING * max(abs(one.value), abs(low), abs(high))
            if not low - slack <= one.value <= high + slack:
                raise CheckFailed(
                    f"{name} is {one.value:g}, outside of its interval from {low:g} to {high:g} ({look.where})"
                )
    if not found:
        raise Skip("it measures nothing")


def check_figure_repeatable(case: FigureCase) -> None:
    """The same subject gives bit-identical output, however the random generators are seeded."""
    if _same_anyhow(case):
        return
    for look, again in zip(all_looks(case), all_looks(case, seed=1), strict=True):
        if bits(look) != bits(again):
            raise CheckFailed(
                "the same subject gives a different picture or different numbers with another seed; use a "
                f"separate generator, such as torch.Generator().manual_seed(0) ({look.where})"
            )


def check_figure_sees_its_split(case: FigureCase) -> None:
    """Of the cached images, only those of the split have an influence: ``images.images[images.index]``."""
    for look, other in zip(all_looks(case), all_looks(case, seed=1, others=1), strict=True):
        if bits(look) != bits(other):
            raise CheckFailed(
                f"images that subject.images.index does not name change what it gives; read images[index] "
                f"({look.where})"
            )


def _same_anyhow(case: FigureCase) -> bool:
    """Return whether neither the seed nor images beside the split change anything: one drawing tells both."""
    pairs = zip(all_looks(case), all_looks(case, seed=1, others=1), strict=True)
    return all(bits(look) == bits(other) for look, other in pairs)


def check_figure_leaves_model(case: FigureCase) -> None:
    """The model is unchanged afterwards: weights, gradients, modes, hooks and all attributes of its modules."""
    for look in all_looks(case):
        if look.model:
            raise CheckFailed(
                f"draw changed {look.model} of the model; leave it unchanged, or change a copy.deepcopy of it "
                f"({look.where})"
            )


def check_figure_leaves_inputs(case: FigureCase) -> None:
    """Pictures, images, predictions and kept tensors are unchanged afterwards, since other figures read them too."""
    for look in all_looks(case):
        if look.inputs:
            raise CheckFailed(f"draw changed the {look.inputs} that it reads; compute on a copy ({look.where})")


def check_figure_leaves_flags(case: FigureCase) -> None:
    """`draw` leaves torch's threads, default dtype, grad mode and other flags unchanged."""
    for look in all_looks(case):
        if look.flags:
            raise CheckFailed(f"draw changes torch's {', '.join(look.flags)}; leave global flags to the user")


def check_figure_options(case: FigureCase) -> None:
    """It draws, or refuses with a message, for each choice, each flag toggled, and each number at its minimum."""
    variants = list(other_values(case.spec.declared, case.spec.defaults))
    if not variants:
        raise Skip("no option has choices or a minimum, or is a flag")
    scene = first_drawn(case)
    for name, value in variants:
        look = look_at(case, scene, {name: value})
        if look.fault:
            raise CheckFailed(f"with the option {name}={value} {look.fault} ({look.where})")


def check_figure_refuses_what_is_not_there(case: FigureCase) -> None:
    """A layer, head or target that the model lacks is refused with a one-line UsageError or Skip."""
    options = {name: case.spec.declared[name] for name in CHOSEN if name in case.spec.declared}
    values: dict[str, Scalar] = {
        name: str(ABSENT) if option.value_type == "str" else ABSENT for name, option in options.items()
    }
    asked = [name for name, option in options.items() if not option.choices and not option.fault(values[name])]
    if not asked:
        raise Skip("it has no option layer, head or target that takes any value")
    scene = first_drawn(case)
    for name in asked:
        look = look_at(case, scene, {name: (values[name],) if options[name].several else values[name]})
        if look.fault:
            raise CheckFailed(f"with {name}={ABSENT} {look.fault} ({look.where})")
        if look.skipped is None or len(look.skipped.splitlines()) != 1:
            did = "draws" if look.skipped is None else f"says {look.skipped!r:.60}"
            raise CheckFailed(
                f"with {name}={ABSENT} it {did}, and the model has no such {name}; raise vitbench.UsageError in one "
                f"line ({look.where})"
            )


def check_figure_device(case: FigureCase) -> None:
    """It draws on the model's device: the CPU, and an accelerator if there is one."""
    if not torch.accelerator.is_available():
        raise Skip("there is no accelerator here")
    device = str(torch.accelerator.current_accelerator())
    for look in all_looks(case, device=device):
        if look.fault:
            raise CheckFailed(f"with the model on {device} {look.fault} ({look.where})")


# What a picture has ---------------------------------------------------------------------------------------------------


def _kind(figure: Figure) -> str:
    return type(figure).__name__


def _texts(figure: Figure) -> Iterator[str]:
    """Give all that is written on a picture."""
    for each in dataclasses.fields(figure):
        value = getattr(figure, each.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, str):
                yield part
            elif isinstance(part, Tile):
                yield part.title
            elif isinstance(part, Scale):
                yield part.label


def _scaled(figure: Figure) -> Iterator[tuple[NDArray[np.float32], Scale]]:
    """Give values that are shown as colours, with their scale."""
    if isinstance(figure, Matrix):
        yield figure.values, figure.scale
    elif isinstance(figure, Grid) and figure.scale is not None:
        yield from (
            (tile.values, figure.scale) for tile in figure.tiles if tile is not None and tile.values is not None
        )
