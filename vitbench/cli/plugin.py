"""`vitbench plugin new`: write a package with a plugin."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from vitbench.cli.streams import echo, note
from vitbench.printable import plain

__all__ = ["plugin"]


@click.group(no_args_is_help=False)
def plugin() -> None:
    """Create plugins. `vitbench plugins` lists installed ones."""


@plugin.command()
@click.argument("name")
@click.option("--path", type=click.Path(path_type=Path), help="Folder of the package. [default: vitbench-NAME]")
def new(name: str, path: Path | None) -> None:
    """Create a package for the plugin NAME: one model, its conformance test, pyproject.toml, README, .gitignore and CI.

    Nothing is overwritten.
    """
    from vitbench.scaffold import distribution_of, write_package

    folder = path or Path(distribution_of(name))
    for file in write_package(name, folder):
        echo(plain(str(file)))
    note(plain(f"Next: pip install -e {quote(f'{folder}[test]')} && pytest {quote(str(folder))}"))
