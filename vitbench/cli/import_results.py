"""`vitbench import`: someone else's results next to your own."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from vitbench.cli.streams import note
from vitbench.printable import plain

__all__ = ["import_results"]


@click.command("import")
@click.argument("given", metavar="DIR|FILE.zip", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Your results folder. [default: vitbench-results]")
@click.option("--name", default="", metavar="NAME", help="Whose results they are. [default: the folder's name]")
def import_results(given: Path, output: Path | None, name: str) -> None:
    """Import someone else's results, from a folder or its zip archive, alongside yours.

    They are marked as imported wherever they are shown, and ranked with yours only if all conditions are equal.
    Nothing in them is executed; anything that vitbench would not have written is refused.
    """
    from vitbench.importing.bring import bring
    from vitbench.store import default_output

    folder = output or default_output()
    brought = bring(given, folder, name)
    if brought.left_out:
        note(plain(f"note: not imported: {brought.left_out}."))
    if not brought.records:
        note(plain(f"{folder} already has these {brought.known} results of {brought.source}; nothing was written."))
        return
    more = f", in addition to the {brought.known} already there" if brought.known else ""
    note(
        plain(
            f"{folder}: {brought.records} results and {brought.files} files of {brought.source}{more}; "
            f"`vitbench leaderboard {quote(str(folder))}` shows them."
        )
    )
