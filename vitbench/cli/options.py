"""Options that several commands share: finite numbers, NAME=VALUE pairs, and those that select plugins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import click

from vitbench.durations import parse_duration

__all__ = ["FiniteRange", "duration", "plugin_options", "read_pairs"]


class FiniteRange(click.FloatRange):
    """`click.FloatRange` without ``nan``, which is neither below nor above any limit, and without infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with click's own sentence."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def duration(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Read a duration as seconds; the callback of an option."""
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def read_pairs(
    _: click.Context, param: click.Parameter, values: Sequence[str], *, may_be_empty: bool = False
) -> dict[str, str]:
    """Split each NAME=VALUE; the callback of a repeated option.

    Args:
        param: the option.
        values: what it was given.
        may_be_empty: whether a value may be empty.
    """
    pairs: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals and (value or may_be_empty)):
            raise click.BadParameter(f'"{text}" must be written {param.metavar}')
        if name in pairs:
            raise click.BadParameter(f'"{name}" is given twice')
        pairs[name] = value
    return pairs


def plugin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--plugin``, ``--no-plugin`` and ``--strict-plugins``."""
    for option in (
        click.option("--strict-plugins", is_flag=True, help="Treat a broken plugin as an error (exit code 3)."),
        click.option("--no-plugin", "no_plugins", multiple=True, metavar="NAME", help="Do not load this plugin."),
        click.option("--plugin", "plugin_files", multiple=True, metavar="FILE.py", help="Load a plugin from one file."),
    ):
        command = option(command)
    return command
