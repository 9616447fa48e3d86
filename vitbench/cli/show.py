"""`vitbench show`: one record, its mistakes, or all cells."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vitbench.cli.streams import echo, note
from vitbench.errors import StoreError
from vitbench.printable import plain

__all__ = ["show"]

MISTAKES = 20
"""How many mistakes are listed where no number is given."""


@click.command()
@click.argument("arguments", nargs=-1, metavar="[DIR] [ID]")
@click.option(
    "--mistakes",
    is_flag=False,
    flag_value=MISTAKES,
    type=click.IntRange(min=1),
    metavar="[N]",
    help=f"List the N most confident mistakes of a trained model, after its ID. [N: {MISTAKES}]",
)
def show(arguments: tuple[str, ...], mistakes: int | None) -> None:
    """Show one record by its id, or all cells with status, log and weights.

    DIR defaults to vitbench-results.
    """
    from vitbench.store import FILE_NAME, default_output

    if len(arguments) > 2:
        raise click.UsageError("give at most a folder and an id")
    if "" in arguments:
        raise click.UsageError("a folder or an id is empty; give it or leave it out")
    texts = list(arguments)
    names_folder = len(texts) == 2 or (len(texts) == 1 and (os.sep in texts[0] or Path(texts[0]).is_dir()))
    folder = Path(texts.pop(0)) if names_folder else default_output()
    if mistakes is not None and not texts:
        raise click.UsageError("--mistakes must follow the ID of a training: vitbench show ID --mistakes")
    if texts and not names_folder and not (folder / FILE_NAME).exists():
        lack = "contains no results" if folder.exists() else "does not exist"
        raise StoreError(f'"{texts[0]}" is neither a folder nor an id in {folder}, which {lack}.')
    _show(folder, texts[0] if texts else None, mistakes)


def _show(folder: Path, asked: str | None, mistakes: int | None) -> None:
    from vitbench.report.inspection import record_text, store_text
    from vitbench.report.mistakes import mistakes_text
    from vitbench.store import Store

    with Store.open(folder, create=False) as store:
        if asked and mistakes is not None:
            text = mistakes_text(store, asked, mistakes)
        else:
            text = record_text(store, asked) if asked else store_text(store)
        for words in store.damage:
            note(f"warning: {plain(words)}")
    echo(text)
