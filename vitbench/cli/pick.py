"""`vitbench pick`: which model, within a budget."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

import click

from vitbench.cli.leaderboard import takes_unicode
from vitbench.cli.options import duration, plugin_options
from vitbench.cli.run import write_page
from vitbench.cli.streams import echo

__all__ = ["pick"]


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--budget", metavar="DURATION", default="1h", show_default=True, callback=duration, help="Time budget.")
@click.option(
    "--models",
    multiple=True,
    metavar="M[:k=v,...]|FILE.toml",
    help="A candidate, or a suite file that lists candidates. [default: the suite candidates]",
)
@click.option(
    "--want", default="", metavar="EXPR", help="A condition, such as 'throughput > 500 and peak_memory < 1 GiB'."
)
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N|mps", help="Device to run on."
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Number of torch threads. [default: the suite's, else all cores]"
)
@click.option("--output", type=click.Path(path_type=Path), help="Results folder. [default: vitbench-results]")
@click.option("--skip-unreadable", is_flag=True, help="Skip images that cannot be read; scores are marked.")
@click.option(
    "--dry-run", is_flag=True, help="Print the candidates and how the time is divided, without running anything."
)
@plugin_options
@click.option("--quiet", is_flag=True, help="Print nothing while running.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def pick(
    data: str,
    budget: float,
    models: tuple[str, ...],
    want: str,
    device: str,
    threads: int | None,
    output: Path | None,
    skip_unreadable: bool,
    dry_run: bool,
    plugin_files: tuple[str, ...],
    no_plugins: tuple[str, ...],
    strict_plugins: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Pick a model for the images in DATA within a time budget, and report how sure the choice is.

    DATA is a folder of images, an installed dataset, or NAME=PATH. Run the same command to resume.

    \b
    Exit codes: 0 an answer; 1 a cell ended without a result; 5 no candidate meets --want;
    otherwise as for vitbench.
    """
    import json

    from vitbench import api
    from vitbench.picking import pick as picking

    asked: dict[str, Any] = {
        "budget": budget,
        "models": models,
        "want": want,
        "output": output,
        "device": device,
        "threads": threads,
        "skip_unreadable": skip_unreadable,
        "plugins": plugin_files,
        "no_plugins": no_plugins,
        "strict_plugins": strict_plugins,
        "quiet": quiet,
    }
    if dry_run:
        planned = picking.dry_run(data, **asked)
        echo(json.dumps(planned.data(), indent=1) if as_json else str(planned), nl=as_json)
        return 0
    picked = picking.pick(data, **asked)
    page = write_page(api.load(picked.folder))
    text = json.dumps(picked.data(), indent=1) if as_json else picked.text(unicode=takes_unicode())
    echo(text, nl=as_json)
    if not quiet:
        api.say(page)
        api.say(f"All results are in {picked.folder}; `vitbench leaderboard {quote(str(picked.folder))}` shows them.")
    return picked.exit_code
