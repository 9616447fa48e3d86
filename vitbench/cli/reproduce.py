"""`vitbench reproduce`: a row's script, or the row made again and compared."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from vitbench.cli.streams import echo, note
from vitbench.errors import UsageError
from vitbench.printable import plain

__all__ = ["reproduce"]


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("asked", metavar="ID")
@click.option("--check", is_flag=True, help="Run the command and compare the results with the stored ones.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder for the new results. [default: a temporary one]"
)
def reproduce(folder: Path, asked: str, check: bool, output: Path | None) -> int:
    """Print a script that reproduces a row: software, environment variables, data digests, seeds, command.

    ID is the beginning of the id of one of its cells. With --check, the command is run here, with what is installed:
    exit code 0 if results are bit-identical or agree within their intervals; 10 different; 11 a cell has no result.
    """
    from vitbench.reproducing.check import EXIT_CODES, Checked
    from vitbench.reproducing.check import check as run_again
    from vitbench.reproducing.script import again, script_of

    if output is not None and not check:
        raise click.UsageError("--output requires --check: the script takes its folder as an argument")
    found = again(folder, asked)
    if not check:
        echo(script_of(found), nl=False)
        return 0
    if output is not None and output.exists() and output.samefile(folder):
        raise UsageError(f"{output} contains the row itself; choose another --output.")
    note(plain(f"Running {found.command.command}"))
    checked: Checked
    if output is not None:
        checked = run_again(found, output)
    else:
        with tempfile.TemporaryDirectory(prefix="vitbench-reproduce-") as temporary:
            checked = run_again(found, Path(temporary))
    for cell in checked.cells:
        echo(plain(f"{cell.name}: {cell.outcome}" + f" ({'; '.join(cell.details)})" * bool(cell.details)))
    for words in checked.changed:
        echo(plain(f"changed: {words}"))
    if not checked.changed:
        echo("Nothing that is recorded has changed: versions, code, data, machine.")
    echo(f"{checked.outcome[0].upper()}{checked.outcome[1:]}.")
    return EXIT_CODES[checked.outcome]
