"""`vitbench ls` and `vitbench plugins`: what the installed plugins offer."""

from __future__ import annotations

import click

__all__ = ["ls", "plugins"]

KINDS = ("models", "datasets", "recipes", "metrics", "suites", "plugins")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--strict-plugins", is_flag=True, help="A broken plugin is an error (exit 3).")
def ls(kind: str, as_json: bool, strict_plugins: bool) -> int:
    """List what the installed plugins offer."""
    return _list(kind, as_json, strict_plugins)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--strict-plugins", is_flag=True, help="A broken plugin is an error (exit 3).")
def plugins(as_json: bool, strict_plugins: bool) -> int:
    """List the plugins and their problems; the same as `vitbench ls plugins`."""
    return _list("plugins", as_json, strict_plugins)


def _list(kind: str, as_json: bool, strict: bool) -> int:
    from vitbench.catalog import load_catalog
    from vitbench.listing import as_data, as_text

    catalog = load_catalog()
    click.echo(as_data(catalog, kind) if as_json else as_text(catalog, kind))
    if kind != "plugins":
        for problem in catalog.problems:
            click.echo(f"warning: {problem}", err=True)
    return 3 if strict and catalog.problems else 0
