"""`vitbench merge`: the folders of several runs become one."""

from __future__ import annotations

from pathlib import Path

import click

from vitbench.cli.streams import note
from vitbench.printable import plain

__all__ = ["merge"]


@click.command()
@click.argument("folders", metavar="DIR...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for the merged results.",
)
def merge(folders: tuple[Path, ...], output: Path) -> None:
    """Merge results folders, such as those of all shards, into a new one.

    Identical records are kept once. If a cell ran in several folders, all attempts are kept and the newest one
    counts. Weights, predictions, figures and logs are copied as well.
    """
    from vitbench.merging.merge import merge as join

    merged = join(folders, output)
    for words in merged.notes:
        note(plain(f"note: {words}"))
    if merged.already:
        note(plain(f"{merged.folder} already holds the merge of these {len(folders)} folders; nothing was written."))
        return
    note(plain(f"{merged.folder}: {merged.cells} cells, {merged.records} attempts and {merged.files} files."))
