"""`vitbench export`: results in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from vitbench.cli.options import plugin_options
from vitbench.cli.streams import echo, note
from vitbench.errors import UnusableError, UsageError
from vitbench.printable import plain

__all__ = ["export"]


@click.command()
@click.argument("form", metavar="FORMAT[:k=v,...]")
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write into. [default: DIR/exports/FORMAT]",
)
@click.option("--force", is_flag=True, help="Write even if the folder contains other or changed files.")
@plugin_options
def export(
    form: str,
    folder: Path | None,
    output: Path | None,
    force: bool,
    plugin_files: tuple[str, ...],
    no_plugins: tuple[str, ...],
    strict_plugins: bool,
) -> None:
    """Export the results of a folder for another tool; print the paths of the files.

    DIR defaults to vitbench-results.

    `vitbench ls exporters` lists the formats. Nothing is measured, and nothing leaves this machine.
    """
    from vitbench.catalog import load_catalog, select_plugins
    from vitbench.exporting.export import export_results
    from vitbench.store import default_output

    catalog = load_catalog(select_plugins(plugin_files, no_plugins))
    name = str(folder).partition(":")[0]
    if any(name in (full, full.partition("/")[2]) for full in catalog.exporters) and Path(form).is_dir():
        raise UsageError(f'write "vitbench export {quote(str(folder))} {quote(form)}": the format comes first.')
    for problem in catalog.fatal(strict=strict_plugins):
        raise UnusableError(str(problem))
    made = export_results(folder or default_output(), form, catalog, output=output, force=force)
    for path in made.paths:
        echo(str(path))
    for words in made.notes:
        note(plain(words))
