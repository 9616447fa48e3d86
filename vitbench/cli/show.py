"""`vitbench show`: one record, or all cells."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vitbench.cli.streams import echo, note
from vitbench.printable import plain

__all__ = ["show"]


@click.command()
@click.argument("arguments", nargs=-1, metavar="[DIR] [ID]")
def show(arguments: tuple[str, ...]) -> None:
    """Show one record by its id, or all cells with status, log and weights."""
    from vitbench.store import default_output

    if len(arguments) > 2:
        raise click.UsageError("give at most a folder and an id")
    texts = list(arguments)
    names_folder = len(texts) == 2 or (len(texts) == 1 and (os.sep in texts[0] or Path(texts[0]).is_dir()))
    folder = Path(texts.pop(0)) if names_folder else default_output()
    _show(folder, texts[0] if texts else None)


def _show(folder: Path, asked: str | None) -> None:
    from vitbench.report.inspection import record_text, store_text
    from vitbench.store import Store

    with Store.open(folder, create=False) as store:
        text = record_text(store, asked) if asked else store_text(store)
        for words in store.damage:
            note(f"warning: {plain(words)}")
    echo(text)
