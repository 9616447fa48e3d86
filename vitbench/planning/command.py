"""A selection as the command line that asks for it."""

from __future__ import annotations

import shlex
from decimal import Decimal

import msgspec

from vitbench.planning.suite import Conditions, Selection

__all__ = ["command_line"]


def command_line(selection: Selection) -> str:
    """Return the ``vitbench run`` that asks for the same; what is as by default is left out."""
    conditions = msgspec.structs.asdict(selection.conditions)
    untouched = msgspec.structs.asdict(Conditions())
    options: dict[str, object] = {
        "--suite": selection.suite or None,
        "--model": selection.models,
        "--dataset": selection.datasets,
        "--data": tuple(f"{name}={path}" for name, path in selection.data.items()),
        "--seed": selection.seeds,
        "--batch-size": selection.batch_size,
        "--largest-batch": selection.largest_batch,
        "--set": tuple(
            f"{recipe}.{name}={_written(value)}"
            for recipe, values in selection.settings.items()
            for name, value in values.items()
        ),
        **{f"--{name.replace('_', '-')}": each for name, each in conditions.items() if each != untouched[name]},
        "--plugin": selection.plugins,
        "--no-plugin": selection.no_plugins,
    }
    words = ["vitbench", "run"]
    for option, given in options.items():
        if isinstance(given, bool):
            words += [option] * given
        elif given is not None:
            each = given if isinstance(given, tuple) else (given,)
            words += [word for value in each for word in (option, _written(value))]
    return shlex.join(words)


def _written(value: object) -> str:
    """Return a value as the command line reads it: a fraction has a dot and no exponent."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{Decimal(str(value)):f}" if isinstance(value, float) else str(value)
