"""A selection as the command line that asks for it."""

from __future__ import annotations

import shlex
from decimal import Decimal

import msgspec

from vitbench.durations import duration_text
from vitbench.planning.suite import Conditions, Selection

__all__ = ["command_line"]


def command_line(selection: Selection) -> str:
    """Return the ``vitbench run`` that asks for the same; what is as by default is left out."""
    untouched = msgspec.structs.asdict(Conditions())
    given = msgspec.structs.asdict(selection)
    conditions = msgspec.structs.asdict(given.pop("conditions"))
    given |= {name: value for name, value in conditions.items() if value != untouched[name]}
    if selection.conditions.budget is not None:
        given["budget"] = duration_text(selection.conditions.budget)
    given |= {"suite": selection.suite or None, "recipe": selection.recipe or None, "shard": selection.shard or None}
    given |= {"data": tuple(map("=".join, selection.data.items()))}
    given["set"] = tuple(
        f"{recipe}.{name}={_written(value)}"
        for recipe, values in given.pop("settings").items()
        for name, value in values.items()
    )
    words = ["vitbench", "run"]
    for name, value in given.items():
        # What may be given several times has its name in the plural in a selection.
        option = f"--{(name.removesuffix('s') if isinstance(value, tuple) else name).replace('_', '-')}"
        if isinstance(value, bool):
            words += [option] * value
        elif (name, value) == ("compile", "default"):
            words.append(option)
        elif value is not None:
            words += [
                word for each in (value if isinstance(value, tuple) else (value,)) for word in (option, _written(each))
            ]
    return shlex.join(words)


def _written(value: object) -> str:
    """Return a value as the command line reads it: a fraction has a dot and no exponent."""
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{Decimal(str(value)):f}" if isinstance(value, float) else str(value)
