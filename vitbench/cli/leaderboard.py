"""`vitbench leaderboard`: the table of a results folder in a format to take away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vitbench.cli.streams import echo, note
from vitbench.errors import StoreError, UsageError
from vitbench.printable import plain
from vitbench.report.formats import FORMATS, format_of
from vitbench.settings import SPEED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vitbench.api import Results
    from vitbench.report.verdict_notes import Telling

__all__ = ["leaderboard", "print_table", "takes_unicode"]

_MOST_BYTES = 64 * 2**20
"""Of a README."""


@click.command()
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default=next(iter(FORMATS)),
    help="Output format. [default: by the suffix of --output, else table]",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of stdout.")
@click.option(
    "--readme",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Update the block between the markers in this Markdown file.",
)
@click.option("--model", "models", multiple=True, metavar="PATTERN", help="Show and rank these models. [default: all]")
@click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="Show these datasets. [default: all]")
@click.option("--where", metavar="EXPR", help="Show the rows whose metrics meet a condition. [default: all]")
@click.option("--sort", metavar="METRIC", help="Sort by a metric, best first; -METRIC: worst first. [default: by rank]")
@click.option("--columns", metavar="A,B,...", help="Show these columns. [default: those that the metrics choose]")
@click.option("--plots", is_flag=True, help="Write pictures (PNG and SVG) into DIR/plots.")
@click.option("--details", is_flag=True, help="List all reasons why numbers are doubtful or invalid.")
@click.option("--no-images", is_flag=True, help="Show no images of the data on the page (--format html).")
def leaderboard(
    folder: Path | None,
    form: str,
    output: Path | None,
    readme: Path | None,
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    where: str | None,
    sort: str | None,
    columns: str | None,
    plots: bool,
    details: bool,
    no_images: bool,
) -> None:
    """Print the leaderboard of a results folder, or write it to a file, a README or pictures.

    DIR defaults to vitbench-results.
    """
    from vitbench.api import load, rendered
    from vitbench.files import replace_file

    given = click.get_current_context().get_parameter_source("form") is not click.core.ParameterSource.DEFAULT
    if (readme or plots) and (given or output):
        raise UsageError("--readme and --plots have their own format and location; drop --format and --output.")
    if output and not given:
        form = format_of(output)
    if details and (readme or plots or "verdicts" not in FORMATS[form].takes):
        able = ", ".join(name for name, each in FORMATS.items() if "verdicts" in each.takes)
        raise UsageError(
            f"--details is for {able}; csv, json and html always include all reasons, --readme and --plots none."
        )
    if no_images and (readme or plots or form != "html"):
        raise UsageError("--no-images requires --format html, the only format that shows images.")
    verdicts: Telling = "all" if details else "counted"
    for option, text in (("--where", where), ("--sort", sort), ("--columns", columns)):
        if text is not None and not text.strip(" ,-"):
            raise UsageError(f"{option} is empty; give it a value or drop it.")
    results = load(
        folder,
        models=models,
        datasets=datasets,
        where=where or "",
        sort=sort or "",
        columns=[name.strip() for name in columns.split(",") if name.strip()] if columns else (),
    )
    # All is made before anything is written, so that what cannot be made changes nothing.
    rewritten = _rewritten(readme, results) if readme else None
    pictures = results.pictures() if plots else None
    if readme and rewritten:
        _rewrite(readme, *rewritten)
    if pictures is not None:
        _draw(results.folder / "plots", pictures, results.leaderboard.rank_by)
    if output and form == "html":
        results.write_page(output, images=not no_images)
    elif output:
        replace_file(output, rendered(results, form, verdicts=verdicts).encode())
    elif form == "table" and not (readme or plots):
        print_table(results, verdicts)
    elif not (readme or plots):
        # In UTF-8 as in a file, whatever the terminal takes.
        echo(rendered(results, form, verdicts=verdicts, images=not no_images).encode(), nl=False)
    if output:
        note(plain(str(output)))
    if form != "table" or output or readme or plots:  # some formats cannot say it
        for words in results.leaderboard.damaged:
            note(f"warning: {plain(words)}")
    if results.leaderboard.hidden and (form != "table" or output or readme or plots):  # some formats cannot say it
        note(f"note: {plain(results.leaderboard.hidden)}")


def print_table(results: Results, verdicts: Telling = "counted") -> None:
    """Print the table and its sentences on stdout, in the characters that it takes."""
    from vitbench.api import boards_shown
    from vitbench.report import render

    text = render(
        results.leaderboard,
        "table",
        unicode=takes_unicode(),
        verdicts=verdicts,
        boards=boards_shown(results),
        folder=str(results.folder),
    )
    echo(text, nl=False)


def takes_unicode() -> bool:
    """Say whether stdout takes all characters."""
    return (sys.stdout.encoding or "ascii").lower().startswith("utf")


def _rewritten(readme: Path, results: Results) -> tuple[bytes, bytes]:
    """Return what a file holds, and what it is to hold: the present table between its markers."""
    from vitbench.api import boards_shown
    from vitbench.files import read_file
    from vitbench.report import render
    from vitbench.report.readme_block import with_block

    try:
        before = read_file(readme, most=_MOST_BYTES)
    except OSError as error:
        raise UsageError(f"{readme} cannot be read: {error.strerror}.") from error
    try:
        return before, with_block(
            before, render(results.leaderboard, "md", verdicts="legend", boards=boards_shown(results))
        )
    except UsageError as error:
        raise UsageError(f"{readme}: {error}") from error


def _rewrite(readme: Path, before: bytes, after: bytes) -> None:
    """Write a file, unless it has the present table already."""
    from vitbench.files import replace_file

    if after != before:
        replace_file(readme, after)
    note(plain(f"{readme} {'now has' if after != before else 'already had'} the current table."))


def _draw(place: Path, pictures: Mapping[str, bytes], rank_by: str) -> None:
    """Write pictures into a folder, take away those of an earlier leaderboard, and say where they are.

    It is said which pictures there are none of, and why.
    """
    from vitbench.files import replace_file
    from vitbench.report.plots.pictures import is_picture

    try:
        place.mkdir(exist_ok=True)
        for old in sorted(place.iterdir()):
            if is_picture(old.name) and old.name not in pictures:
                old.unlink()
                note(plain(f"{old} belonged to an earlier leaderboard and was removed."))
    except OSError as error:
        raise StoreError(f"{place} cannot be written: {error.strerror}.") from error
    for name, content in pictures.items():
        replace_file(place / name, content)
        note(plain(str(place / name)))
    if not pictures:
        note("Nothing to draw: no row has a training curve, or both a ranking metric and a throughput.")
        return
    lacks = {"pareto": f"no row has both {rank_by} and {SPEED}", "curves": "no row has a training curve"}
    for name, why in lacks.items():
        if not any(each.startswith(name) for each in pictures):
            note(plain(f"{name} was not drawn: {why}."))
