"""`vitbench ls` and `vitbench plugins`: what plugins offer."""

from __future__ import annotations

import click

from vitbench.cli.options import plugin_options
from vitbench.printable import plain

__all__ = ["ls", "plugins"]

KINDS = ("models", "datasets", "recipes", "metrics", "suites", "plugins")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ls(
    kind: str, as_json: bool, plugin_files: tuple[str, ...], no_plugins: tuple[str, ...], strict_plugins: bool
) -> int:
    """List what plugins offer."""
    return _list(kind, as_json, plugin_files, no_plugins, strict_plugins)


@click.command()
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(as_json: bool, plugin_files: tuple[str, ...], no_plugins: tuple[str, ...], strict_plugins: bool) -> int:
    """List the plugins and their problems; the same as `vitbench ls plugins`."""
    return _list("plugins", as_json, plugin_files, no_plugins, strict_plugins)


def _list(kind: str, as_json: bool, files: tuple[str, ...], without: tuple[str, ...], strict: bool) -> int:
    from vitbench.catalog import load_catalog, select_plugins
    from vitbench.catalog.listing import as_data, as_text

    catalog = load_catalog(select_plugins(files, without))
    click.echo(as_data(catalog, kind) if as_json else as_text(catalog, kind))
    if kind != "plugins":
        for problem in catalog.problems:
            click.echo(f"warning: {plain(str(problem))}", err=True)
    return 3 if catalog.fatal(strict=strict) else 0
