"""What the core fills in of a measurement: what its metric's spec says of where it is taken and how it is shown.

All of it is stored with the value, so that tables, ranking and comparing need neither plugin nor names.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vitbench.records import Measurement, QualityCell, SpeedCell, Style, canonical_name
from vitbench.specs import At, MetricSpec, OptionValue

__all__ = [
    "LARGEST_BATCH",
    "LARGEST_BATCH_ORDER",
    "at_largest_batch",
    "at_of",
    "blank",
    "name_under",
    "plain_name",
    "taken_in",
    "under_options",
]

LARGEST_BATCH = "largest_batch"
"""The name of what the search for the largest batch finds, and what the names of figures taken there begin with."""
LARGEST_BATCH_ORDER = 140
"""The place of that column; those of the figures taken there follow."""


def at_of(cell: QualityCell | SpeedCell) -> At:
    """Return which of the cells that a metric may be taken at a cell is."""
    if isinstance(cell, QualityCell):
        return "quality"
    if cell.largest_batch:
        return "largest_batch"
    if cell.mode == "training":
        return "training"
    return "batch_1" if cell.batch_size == 1 else "fixed_batch"


def taken_in(spec: MetricSpec, at: At) -> bool:
    """Return whether a metric is taken in a cell: at the largest batch also what is taken at the fixed one.

    What is exact is the same at any batch, and not taken again.
    """
    return at in spec.taken_at or (at == "largest_batch" and "fixed_batch" in spec.taken_at and not spec.exact)


def blank(spec: MetricSpec, name: str, unit: str = "") -> Measurement:
    """Return one of a metric's measurements without its value: all that the spec says of it.

    Args:
        spec: of the metric.
        name: of the measurement.
        unit: what it was given in, where that is not what the spec says; it is shown as it is.

    Raises:
        ValueError: the spec declares no measurement of this name.
    """
    own = next((each for each in spec.gives if each.name == name), None)
    if own is None:
        raise ValueError(f'it returned "{name}", but its spec declares {", ".join(each.name for each in spec.gives)}')
    unit = unit or (spec.unit if own.unit is None else own.unit)
    shown_unit, scale = own.shown_unit, own.scale
    if unit == spec.unit:
        shown_unit = spec.shown_unit if shown_unit is None else shown_unit
        scale = spec.scale if scale is None else scale
    if shown_unit is None:
        shown_unit = {"fraction": "%", "1": ""}.get(unit, unit)
    if scale is None:
        scale = 100.0 if (unit, shown_unit) == ("fraction", "%") else 1.0
    title = own.title if spec.measurements else spec.title
    return Measurement(
        name=name,
        value=None,
        unit=unit,
        better=own.better or spec.better,
        at=spec.taken_at,
        exact=spec.exact,
        machine_bound=spec.holds_for_machine,
        style=Style(
            title=name if title is None else title,
            unit=shown_unit,
            scale=scale,
            columns=own.columns or spec.columns,
            order=spec.order if own.order is None else own.order,
        ),
    )


def name_under(name: str, options: Mapping[str, OptionValue]) -> str:
    """Return the name of a measurement of a metric under its options, ``time:level=0.9``: all of them, by name."""
    return canonical_name(name, dict(options), {})


def plain_name(name: str) -> str:
    """Return the name of a measurement as its metric's spec has it."""
    return name.partition(":")[0]


def under_options(one: Measurement, options: Mapping[str, OptionValue]) -> Measurement:
    """Return a measurement whose name and title tell the options of its metric, if it has some."""
    if not options:
        return one
    style = msgspec.structs.replace(one.style, title=one.style.title.format(**options))
    return msgspec.structs.replace(one, name=name_under(one.name, options), style=style)


def at_largest_batch(one: Measurement) -> Measurement:
    """Return a measurement of the largest batch: what is taken at the fixed batch has a name of its own there."""
    if "largest_batch" in one.at:
        return one
    style = msgspec.structs.replace(
        one.style,
        title=f"{one.style.title} at largest".strip(),
        columns="wide" if one.style.columns == "main" else "all",
        order=max(LARGEST_BATCH_ORDER + 10, one.style.order),
    )
    return msgspec.structs.replace(one, name=f"{LARGEST_BATCH}_{one.name}", at=("largest_batch",), style=style)
