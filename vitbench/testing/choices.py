"""Which values of options are tried, beside those that an offer has of itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from vitbench.specs import Option, OptionValue, Scalar

__all__ = ["other_values"]

MOST_CHOICES = 8
"""Of one option."""


def other_values(declared: Mapping[str, Option], usual: Mapping[str, OptionValue]) -> Iterator[tuple[str, OptionValue]]:
    """Give values of single options that their declarations name: each choice, a flag turned, a number at its minimum.

    Args:
        declared: the options.
        usual: the values that are tried anyway.
    """
    for name, option in declared.items():
        if option.kind != "value":
            continue
        values: list[Scalar] = list(option.choices)
        if not values and option.value_type == "bool":
            values = [True, False]
        if not values and option.minimum is not None:
            values = [math.ceil(option.minimum) if option.value_type == "int" else float(option.minimum)]
        for value in values[:MOST_CHOICES]:
            given: OptionValue = (value,) * len(option.items) if option.several else value
            if given != usual[name]:
                yield name, given
