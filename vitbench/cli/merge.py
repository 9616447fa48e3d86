"""`vitbench merge`: the folders of several runs become one."""

from __future__ import annotations

from pathlib import Path

import click

from vitbench.cli.streams import note
from vitbench.printable import plain

__all__ = ["merge"]


@click.command()
@click.argument("folders", metavar="DIR...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--output", required=True, metavar="DIR", type=click.Path(path_type=Path), help="The merged folder, new.")
def merge(folders: tuple[Path, ...], output: Path) -> None:
    """Merge results folders, such as those of all shards, into a new one.

    Records that are the same are taken once; of a cell that ran in several folders all attempts are kept, and the
    newest counts. Weights, predictions, figures and logs come along.
    """
    from vitbench.merging.merge import merge as join

    merged = join(folders, output)
    for words in merged.notes:
        note(plain(f"note: {words}"))
    if merged.already:
        note(plain(f"{merged.folder} holds the merge of these {len(folders)} folders already; nothing was written."))
        return
    note(plain(f"{merged.folder}: {merged.cells} cells, {merged.records} attempts and {merged.files} files."))
