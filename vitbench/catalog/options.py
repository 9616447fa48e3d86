"""Options of models and recipes: from text or TOML to complete, typed values."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vitbench.errors import UsageError, did_you_mean
from vitbench.specs import ModelSpec, OptionValue, RecipeSpec

__all__ = ["complete_options", "model_options", "parse_model"]


def parse_model(text: str) -> tuple[str, dict[str, str]]:
    """Split ``name:key=value,...``; a comma belongs to a value unless ``key=`` follows it.

    Raises:
        UsageError: an option without ``=``.
    """
    name, colon, rest = text.partition(":")
    options: dict[str, str] = {}
    for part in re.split(r",(?=[A-Za-z_][\w-]*=)", rest) if colon else []:
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise UsageError(f'model "{text}": option "{part}" must be written key=value.')
        options[key.replace("-", "_")] = value
    return name, options


def complete_options(
    owner: str, defaults: Mapping[str, OptionValue], given: Mapping[str, OptionValue]
) -> dict[str, OptionValue]:
    """Return the defaults overridden by what was given, each of the default's type; text is converted.

    Raises:
        UsageError: an unknown option, or a value of another type.
    """
    complete = dict(defaults)
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in defaults:
            known = ", ".join(sorted(defaults)) or "none"
            raise UsageError(f'{owner} has no option "{key}".{did_you_mean(name, defaults)} Its options: {known}.')
        complete[name] = _convert(owner, name, value, defaults[name])
        if isinstance(value := complete[name], int) and not -(2**63) <= value < 2**63:
            raise UsageError(f"{owner}: option {name} is too large: {value}.")
    return complete


def model_options(
    owner: str, spec: ModelSpec, recipe: RecipeSpec, given: Mapping[str, OptionValue]
) -> dict[str, OptionValue]:
    """Return a model's complete options under a recipe; raises as `complete_options` does."""
    changed = {name: value for name, value in recipe.model_options.items() if name in spec.options}
    return complete_options(owner, complete_options(owner, spec.options, changed), given)


def _convert(owner: str, name: str, value: OptionValue, default: OptionValue) -> OptionValue:
    wanted = type(default)
    if type(value) is wanted:
        return value
    if wanted is float and type(value) is int:
        return float(value)
    if isinstance(value, str):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        try:
            return words[value.lower()] if wanted is bool else wanted(value)
        except (ValueError, KeyError):
            pass
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    raise UsageError(f"{owner}: option {name} must be {kinds[wanted]}, not {value!r}.")
