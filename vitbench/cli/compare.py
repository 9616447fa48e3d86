"""`vitbench compare`: two models of one results folder, or two results folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vitbench.cli.leaderboard import takes_unicode
from vitbench.cli.options import FiniteRange
from vitbench.cli.streams import echo, note
from vitbench.errors import UsageError
from vitbench.printable import plain

if TYPE_CHECKING:
    from vitbench.comparing.comparison import Comparison
    from vitbench.comparing.folder import Folder

__all__ = ["compare"]


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Results folder with both models. [default: vitbench-results]",
)
@click.option("--model", "models", multiple=True, metavar="M", help="A model present in both folders. [default: all]")
@click.option("--dataset", metavar="D", help="Dataset to compare on. [default: all]")
@click.option("--device", metavar="cpu|cuda|cuda:N|mps", help="Device to compare on. [default: all]")
@click.option(
    "--threshold",
    type=FiniteRange(min=0, max=1, min_open=True, max_open=True),
    metavar="SHARE",
    default=0.03,
    show_default=True,
    help="Relative difference in speed to ignore.",
)
@click.option("--measure", is_flag=True, help="Measure both again, in turn, on this machine.")
@click.option("--plugin", "plugin_files", multiple=True, metavar="FILE.py", help="A plugin file to use with --measure.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def compare(
    first: str,
    second: str,
    output: Path | None,
    models: tuple[str, ...],
    dataset: str | None,
    device: str | None,
    threshold: float,
    measure: bool,
    plugin_files: tuple[str, ...],
    as_json: bool,
) -> int:
    """Compare B with A: two models of one results folder, or two results folders.

    \b
    Exit codes: 0 B is the same or better; 10 B is significantly worse; 11 no data; 12 not comparable;
    13 not resolved; otherwise as for vitbench.
    """
    if plugin_files and not measure:
        raise UsageError("--plugin requires --measure: stored results are compared without plugins.")
    found = _found(first, second, output, models, {"dataset": dataset, "device": device}, threshold)
    if measure:
        from vitbench.api import say
        from vitbench.catalog import select_plugins
        from vitbench.comparing.remeasure import remeasure

        found = remeasure(found, say, select_plugins(plugin_files))
    echo(_rendered(found, as_json), nl=False)
    return found.exit_code


def _rendered(found: Comparison, as_json: bool) -> str:
    if as_json:
        from vitbench.comparing.report_json import render_comparison_json

        return render_comparison_json(found)
    from vitbench.comparing.report import render_comparison

    return render_comparison(found, unicode=takes_unicode())


def _found(
    first: str,
    second: str,
    output: Path | None,
    models: tuple[str, ...],
    place: dict[str, str | None],
    threshold: float,
) -> Comparison:
    from vitbench.comparing.compare import compare_folders, compare_models
    from vitbench.store import default_output

    folders = [output is None and _is_folder(text) for text in (first, second)]
    if all(folders):
        return compare_folders(_opened(Path(first)), _opened(Path(second)), models=models, threshold=threshold, **place)
    if any(folders):
        named, other = (first, second) if folders[0] else (second, first)
        if Path(other).is_dir():
            raise UsageError(f'"{other}" contains no results of vitbench; give two results folders or two models.')
        raise UsageError(f'"{named}" is a folder and "{other}" is not: give two folders or two models.')
    if models:
        raise UsageError("--model applies when A and B are folders; here they are models.")
    return compare_models(_opened(output or default_output()), (first, second), threshold=threshold, **place)


def _opened(path: Path) -> Folder:
    """Read a results folder, and say what of it is damaged."""
    from vitbench.comparing.folder import open_folder

    folder = open_folder(path)
    for words in folder.board.damaged:
        note(f"warning: {plain(words)}")
    return folder


def _is_folder(text: str) -> bool:
    """Say whether an argument is a results folder, or written as a path: a model's name may hold a slash."""
    from vitbench.store import FILE_NAME

    if text.startswith((".", os.sep)) or text.endswith(os.sep):
        return True
    try:
        return (Path(text) / FILE_NAME).exists()
    except OSError:  # too long for a path, or not ours to look into
        return False
