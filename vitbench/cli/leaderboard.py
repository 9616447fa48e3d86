"""`vitbench leaderboard`: the table of a results folder in a format to take away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vitbench.errors import StoreError

if TYPE_CHECKING:
    from vitbench.report import Format

__all__ = ["leaderboard", "print_leaderboard"]


@click.command()
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "md", "csv", "json"]),
    default="table",
    show_default=True,
    help="Of the output.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write a file in place of stdout.")
def leaderboard(folder: Path | None, form: Format, output: Path | None) -> None:
    """Print the leaderboard of a results folder."""
    from vitbench.api import default_output

    print_leaderboard(folder or default_output(), form, output)


def print_leaderboard(folder: Path, form: Format, output: Path | None) -> None:
    """Print the leaderboard of a folder, or write it to a file."""
    from vitbench.api import load
    from vitbench.report import render

    text = render(load(folder).leaderboard, form)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}.") from error
