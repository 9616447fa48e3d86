"""Options of models, datasets and recipes: from text or TOML to complete, typed values."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vitbench.errors import UsageError, did_you_mean
from vitbench.printable import short_size
from vitbench.specs import DatasetSpec, ModelSpec, Option, OptionValue, RecipeSpec, Scalar

__all__ = [
    "complete_dataset",
    "complete_model",
    "complete_options",
    "model_options",
    "parse_dataset",
    "parse_model",
    "parse_size",
]


_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)')
_KEY = re.compile(r"[A-Za-z_][\w-]*")
_NEXT_OPTION = re.compile(r",(?=[A-Za-z_][\w-]*=)")
_SIZE = re.compile(r"([0-9]{1,6})(?:x([0-9]{1,6}))?")
LARGEST_SIDE = 8192
"""Of a model's input in pixels: far above any that is trained, and below what no machine could hold."""


def parse_model(text: str) -> tuple[str, dict[str, str]]:
    """Split ``name:key=value,...``; a comma belongs to a value unless ``key=`` follows it.

    A value may stand in double quotes, which are no part of it; then it holds any comma, and ``""`` is a quote.

    Raises:
        UsageError: an option without ``=``, one that is given twice, or a quote that is not closed.
    """
    return _parse("model", text)


def parse_dataset(text: str) -> tuple[str, dict[str, str]]:
    """Split ``name:key=value,...`` as `parse_model` does."""
    return _parse("dataset", text)


def _parse(kind: str, text: str) -> tuple[str, dict[str, str]]:
    name, colon, rest = text.partition(":")
    options: dict[str, str] = {}
    while colon:
        key, equals, after = rest.partition("=")
        if not _KEY.fullmatch(key) or not equals:
            part = _NEXT_OPTION.split(rest)[0]
            raise UsageError(f'{kind} "{text}": option "{part}" must be written key=value.')
        if key.replace("-", "_") in options:
            raise UsageError(f'{kind} "{text}": option "{key}" is given twice; give it once.')
        if after.startswith('"'):
            quoted = _QUOTED.match(after)
            if quoted is None:
                raise UsageError(
                    f'{kind} "{text}": the quoted value of option "{key}" must end in a quote, before a comma or the '
                    "end; a quote within it is written twice."
                )
            value, end = quoted[1].replace('""', '"'), quoted.end()
        else:
            found = _NEXT_OPTION.search(after)
            end = found.start() if found else len(after)
            value = after[:end]
        options[key.replace("-", "_")] = value
        colon, rest = after[end : end + 1], after[end + 1 :]
    return name, options


def complete_options(
    owner: str,
    declared: Mapping[str, Option],
    given: Mapping[str, OptionValue],
    *,
    over: Mapping[str, OptionValue] | None = None,
) -> dict[str, OptionValue]:
    """Return complete options: the defaults, or what they were changed to before, overridden by what was given.

    Args:
        owner: what has the options, for messages.
        declared: the options.
        given: values, or their text: ``true``, ``2,2,6,2`` for several, ``none`` for none.
        over: complete options in place of the defaults.

    Raises:
        UsageError: an unknown option, or a value that it does not take.
    """
    complete = dict(over) if over is not None else {name: option.default for name, option in declared.items()}
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise UsageError(f'{owner} has no option "{key}".{did_you_mean(name, declared)} Its options: {known}.')
        option = declared[name]
        complete[name] = _convert(f"{owner}: option {name}", value, option)
        if fault := option.fault(complete[name]):
            raise UsageError(f"{owner}: option {name} {fault}.")
    return complete


def complete_model(
    owner: str,
    spec: ModelSpec,
    given: Mapping[str, OptionValue],
    *,
    over: Mapping[str, OptionValue] | None = None,
) -> dict[str, OptionValue]:
    """Return a model's complete options, and what is said of its input and its weights where that was given.

    A size is written as tables have it, and left out where it is the model's own. Arguments and errors are those of
    `complete_options`.
    """
    sized = {**given}
    for name in given:
        if name.replace("-", "_") == "image_size":
            if not spec.takes_sizes:
                assert spec.input_size
                pixels = "{}x{} pixels".format(*spec.input_size)
                raise UsageError(f"{owner} takes images of {pixels} only; leave image_size out.")
            sized[name] = _size(owner, given[name])
    defaults = dict(spec.defaults) if over is None else over
    found = complete_options(owner, {**spec.stated, **spec.declared}, sized, over=defaults)
    if found.get("image_size") and parse_size(found["image_size"]) == spec.input_size:
        del found["image_size"]
    return {name: value for name, value in found.items() if name not in spec.stated or value not in (None, (), "")}


def parse_size(value: OptionValue) -> tuple[int, int] | None:
    """Return the height and width that the option ``image_size`` says: a side, or ``96x160``; None for no size."""
    if isinstance(value, tuple) and len(value) == 2:
        value = f"{value[0]}x{value[1]}"
    found = _SIZE.fullmatch(str(value)) if isinstance(value, (int, str)) else None
    sides = tuple(int(side) for side in (found[1], found[2] or found[1])) if found else ()
    return (sides[0], sides[1]) if sides and all(1 <= side <= LARGEST_SIDE for side in sides) else None


def _size(owner: str, value: OptionValue) -> str | None:
    """Return a size as tables have it; None for none.

    Raises:
        UsageError: it is not a size.
    """
    if value is None or value in ("", "none"):
        return None
    size = parse_size(value)
    if size is None:
        takes = f"a side of 1 to {LARGEST_SIDE} pixels, or height x width as in 96x160"
        raise UsageError(f"{owner}: option image_size must be {takes}, not {value!r}.")
    return str(short_size(size))


def complete_dataset(owner: str, spec: DatasetSpec, given: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return a dataset's complete options, and what any dataset can be asked for where that was given.

    Arguments and errors are those of `complete_options`.
    """
    options = complete_options(owner, {**spec.declared, **spec.stated}, given)
    return {name: value for name, value in options.items() if name in spec.declared or value is not None}


def model_options(
    owner: str, spec: ModelSpec, recipe: RecipeSpec, given: Mapping[str, OptionValue]
) -> dict[str, OptionValue]:
    """Return a model's complete options under a recipe; raises as `complete_options` does."""
    changed = {
        name: value
        for name, value in recipe.model_options.items()
        if name in spec.declared and _means_the_same(spec.declared[name], value)
    }
    return complete_model(owner, spec, given, over=complete_options(owner, spec.declared, changed))


def _means_the_same(option: Option, value: OptionValue) -> bool:
    """Whether an option can be what a recipe asks of one of its name; else it has another meaning."""
    return option.value_type == type(value).__name__ and (not option.choices or value in option.choices)


def _convert(owner: str, value: OptionValue, option: Option) -> OptionValue:
    """Return a value as the option's type has it."""
    if option.optional and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    if not option.several:
        return _scalar(owner, value, option)
    items = value if isinstance(value, (tuple, list)) else str(value).split(",") if value != "" else ()
    return tuple(_scalar(owner, item.strip() if isinstance(item, str) else item, option) for item in items)


def _scalar(owner: str, value: OptionValue, option: Option) -> Scalar:
    wanted = _TYPES[option.value_type]
    found = _converted(value, wanted)
    if found is None:
        kind = (_SEVERAL if option.several else _KINDS)[wanted] + (" or none" if option.optional else "")
        raise UsageError(f"{owner} must be {kind}, not {value!r}.")
    return found


def _converted(value: OptionValue, wanted: type[Scalar]) -> Scalar | None:
    if type(value) is wanted:
        return value
    if wanted is float and type(value) is int:
        return float(value)
    if isinstance(value, str):
        try:
            return _TRUTH[value.lower()] if wanted is bool else wanted(value)
        except (ValueError, KeyError):
            return None
    return None


_TYPES: Mapping[str, type[Scalar]] = {"bool": bool, "int": int, "float": float, "str": str}
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_SEVERAL = {bool: "several of true and false", int: "whole numbers", float: "numbers", str: "texts"}
