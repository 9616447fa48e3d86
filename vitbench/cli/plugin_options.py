"""The options that select plugins, which several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["plugin_options"]


def plugin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--plugin``, ``--no-plugin`` and ``--strict-plugins``."""
    for option in (
        click.option("--strict-plugins", is_flag=True, help="A broken plugin is an error (exit 3)."),
        click.option("--no-plugin", "no_plugins", multiple=True, metavar="NAME", help="Leave out this plugin."),
        click.option("--plugin", "plugin_files", multiple=True, metavar="FILE.py", help="A plugin in one file."),
    ):
        command = option(command)
    return command
