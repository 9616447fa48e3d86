"""`vitbench withdraw`: a result that must not count any more."""

from __future__ import annotations

from pathlib import Path

import click

from vitbench.cli.streams import note
from vitbench.printable import plain

__all__ = ["withdraw"]


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("asked", metavar="ID")
@click.option("--reason", required=True, metavar="TEXT", help="The reason; tables and pages show it.")
def withdraw(folder: Path, asked: str, reason: str) -> None:
    """Withdraw the result of one cell, given by the beginning of its id. Nothing is deleted.

    The leaderboard lists the cell as withdrawn, with the reason. `vitbench run` runs it again.
    """
    from vitbench.running.withdrawing import withdraw as append

    record = append(folder, asked, reason)
    words = f"{record.planned.in_words} ({record.id}) is withdrawn: {record.reason}"
    again = "" if record.source else " The next vitbench run that includes it runs it again."
    note(plain(f"{words}.{again}"))
