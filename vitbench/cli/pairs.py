"""Options that are written NAME=VALUE and may be repeated."""

from __future__ import annotations

from collections.abc import Sequence

import click

__all__ = ["read_pairs"]


def read_pairs(_: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Split each NAME=VALUE; the callback of a repeated option."""
    pairs: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f'"{text}" must be written {param.metavar}')
        if name in pairs:
            raise click.BadParameter(f'"{name}" is given twice')
        pairs[name] = value
    return pairs
