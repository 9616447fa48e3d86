"""`vitbench run`: train, evaluate and time models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from vitbench.cli.leaderboard import print_table
from vitbench.cli.options import FiniteRange, duration, plugin_options, read_pairs
from vitbench.cli.streams import echo
from vitbench.errors import StoreError, UnusableError, UsageError, VitbenchError, reason_of
from vitbench.settings import SUITE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitbench.api import Results
    from vitbench.planning.plan import Plan
    from vitbench.records import Record
    from vitbench.running.pacing import Pace
    from vitbench.running.session import Rerun
    from vitbench.specs import OptionValue

__all__ = ["carry_out", "run", "write_page"]


def _limit(_: click.Context, __: click.Parameter, text: str | None) -> int | float | None:
    """Read whole images, or a share written with a dot."""
    if text is None:
        return None
    try:
        number = float(text) if "." in text else int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither an integer nor a fraction with a decimal point") from None
    if isinstance(number, float) and not 0 < number <= 1:
        raise click.BadParameter(f"a fraction must be above 0 and at most 1, not {text}")
    if isinstance(number, int) and number < 1:
        raise click.BadParameter(f"a number of images must be at least 1, not {text}")
    return number


_DEFAULT_SUITE = f"Suite to run. [default: {SUITE.partition('/')[2]}; none if models and datasets are given]"


@click.command()
@click.option("--suite", metavar="NAME|FILE.toml", help=_DEFAULT_SUITE)
@click.option("--output", type=click.Path(path_type=Path), help="Results folder. [default: vitbench-results]")
@click.option("--model", "models", multiple=True, metavar="M[:k=v,...]", help="Model to use instead of the suite's.")
@click.option(
    "--dataset", "datasets", multiple=True, metavar="D[:k=v,...]", help="Dataset to use instead of the suite's."
)
@click.option(
    "--recipe", default="", metavar="R", help="Recipe for all models. [default: set by the suite and the models]"
)
@click.option("--data", multiple=True, metavar="NAME=PATH", callback=read_pairs, help="Location of a dataset.")
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N|mps", help="Device to run on."
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16", "tf32"]),
    default="float32",
    show_default=True,
    help="Number format; never chosen silently.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Number of torch threads. [default: the suite's, else all cores]"
)
@click.option("--seed", "seeds", type=click.IntRange(min=0), multiple=True, help="Seed to use instead of the suite's.")
@click.option("--epochs", type=click.IntRange(min=1), help="Train for N epochs; the results are marked partial.")
@click.option(
    "--limit",
    metavar="N|FRACTION",
    callback=_limit,
    help="Use N images, or a fraction, of each split; the results are marked partial.",
)
@click.option(
    "--budget",
    metavar="DURATION",
    callback=duration,
    help="Time for the whole run, such as 30m; sets the number of steps of each training.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "val"]),
    default="test",
    show_default=True,
    help="Images to evaluate models on; with val, no test image is read.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Batch size of the speed cells, in addition to 1.")
@click.option("--largest-batch", is_flag=True, help="Also find the largest batch that fits, and time it.")
@click.option(
    "--speeds",
    type=click.Choice(["all", "none", "only"]),
    help="What to measure: everything, no speeds, or only speeds. [default: all; none with --epochs or --limit]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="RECIPE.OPTION=VALUE",
    callback=partial(read_pairs, may_be_empty=True),
    help="Set an option of a recipe.",
)
@click.option(
    "--timeout", type=FiniteRange(min=0, min_open=True), metavar="SECONDS", help="Time limit of each process."
)
@click.option(
    "--rerun",
    type=click.Choice(["failed", "speed", "all"]),
    help="Also rerun failed cells, all speed cells, or all cells. [default: run only what is missing]",
)
@click.option(
    "--compile",
    is_flag=False,
    flag_value="default",
    type=click.Choice(["default", "reduce-overhead"]),
    help="Use torch.compile, in its default mode or in reduce-overhead mode (CUDA graphs).",
)
@click.option("--channels-last", is_flag=True, help="Use the channels-last memory format.")
@click.option("--skip-unreadable", is_flag=True, help="Skip images that cannot be read; scores are marked.")
@click.option(
    "--shard", default="", metavar="K/N", help="Run the K-th of N parts of the plan; vitbench merge joins them."
)
@click.option("--dry-run", is_flag=True, help="Print the cells and how long they will take, without running them.")
@click.option(
    "--executor",
    default="local",
    show_default=True,
    metavar="local|ray[=HOST:PORT][,machine=LABEL]",
    help="Where to run cells: on this machine, one at a time, or on a Ray cluster.",
)
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    metavar="N",
    help="With ray, number of cells to run at once. [default: as many as fit]",
)
@plugin_options
@click.option("--quiet", is_flag=True, help="Print nothing while running.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def run(
    output: Path | None,
    settings: dict[str, str],
    timeout: float | None,
    rerun: Rerun | None,
    dry_run: bool,
    executor: str,
    parallel: int | None,
    plugin_files: tuple[str, ...],
    strict_plugins: bool,
    quiet: bool,
    as_json: bool,
    **asked: Any,
) -> int:
    """Train, evaluate and time models, and write a leaderboard.

    Run the same command again to run only what is missing.
    """
    asked |= {"settings": _recipe_settings(settings)}
    how: dict[str, Any] = {"plugins": plugin_files, "strict_plugins": strict_plugins, "quiet": quiet}
    return carry_out(
        {**asked, **how},
        output=output,
        timeout=timeout,
        rerun=rerun,
        dry_run=dry_run,
        as_json=as_json,
        executor=executor,
        parallel=parallel,
    )


def carry_out(
    asked: dict[str, Any],
    *,
    output: Path | None,
    timeout: float | None,
    rerun: Rerun | None,
    dry_run: bool,
    as_json: bool,
    executor: str = "local",
    parallel: int | None = None,
) -> int:
    """Run what is asked for, or say what that would be; return the exit code.

    Args:
        asked: the arguments of `vitbench.run`, except those that follow.
        output, timeout, rerun, executor, parallel: likewise.
        dry_run: print the cells instead.
        as_json: print JSON instead of tables.
    """
    from vitbench import api
    from vitbench.execution.choice import opened_executor
    from vitbench.execution.stopping import stoppable
    from vitbench.report import render

    quiet = asked["quiet"]
    if dry_run:
        from vitbench.running.pacing import paced
        from vitbench.store import default_output

        tell = (lambda _: None) if quiet else api.say
        with stoppable(), opened_executor(executor, parallel, tell) as place:
            planned = api.plan_of(place, **asked, rerun=rerun)
            pace = paced(planned, output or default_output(), executor=place, rerun=rerun, say=tell)
        for note in () if quiet else (*planned.prepared.notes, *planned.notes):
            api.say(note)
        _print_plan(planned, pace, output, rerun, as_json)
        return 0
    results = api.run(**asked, output=output, timeout=timeout, rerun=rerun, executor=executor, parallel=parallel)
    pictures = _draw_pictures(results, asked["plugins"], asked["no_plugins"])
    page, folder = write_page(results), results.folder
    try:
        if as_json:
            echo(render(results.leaderboard, "json", boards=api.boards_shown(results)), nl=False)
        else:
            print_table(results)
    except StoreError as error:
        raise StoreError(f"{error} The results are in {folder}.") from error
    if not quiet:
        api.say(page)
        for words in pictures:
            api.say(words)
        command = f"vitbench leaderboard {quote(str(folder))} --format md"
        api.say(f"Results are in {folder}; `{command}` prints the table for a README.")
    return results.exit_code


def write_page(results: Results) -> str:
    """Write the page into the results folder; return a line that says where it is, or why it is not."""
    place = results.folder / "leaderboard.html"
    try:
        results.write_page(place)
    except UnusableError as error:
        return f"No page was written: {error}"
    except Exception as error:  # whatever happens to the page, the run has its results
        return f"warning: the page {place} could not be written: {reason_of(error)}"
    return f"Leaderboard page: {place}"


def _draw_pictures(results: Results, plugin_files: Sequence[str], no_plugins: Sequence[str]) -> list[str]:
    """Draw the suite's figures into the results folder; return a line that says where they are, or why they are not."""
    from vitbench.catalog import load_catalog, select_plugins
    from vitbench.explaining.explain import draw_pictures
    from vitbench.records import FigureCell
    from vitbench.store import Store

    own = [record for record in results.records if not record.source]
    new = [record for record in own if record.run == own[-1].run and record.status == "ok"]
    drawn = [record for record in new if isinstance(record.planned.cell, FigureCell)]
    if not drawn:
        return []
    try:
        with Store.open(results.folder, create=False) as store:
            paths = draw_pictures(store, drawn, load_catalog(select_plugins(plugin_files, no_plugins)))
    except VitbenchError as error:
        return [f"No pictures were drawn: {error}"]
    except Exception as error:  # as for the page
        return [f"No pictures were drawn: {reason_of(error)}"]
    return [f"{len(paths)} pictures of the models are in {paths[0].parent}."]


def _recipe_settings(pairs: dict[str, str]) -> dict[str, dict[str, OptionValue]]:
    settings: dict[str, dict[str, OptionValue]] = {}
    for name, value in pairs.items():
        recipe, dot, option = name.rpartition(".")
        if not dot:
            raise UsageError(f'--set "{name}={value}" must be written RECIPE.OPTION=VALUE.')
        settings.setdefault(recipe, {})[option] = value
    return settings


def _print_plan(planned: Plan, pace: Pace | None, output: Path | None, rerun: Rerun | None, as_json: bool) -> None:
    from vitbench.report.inspection import plan_data, plan_text
    from vitbench.running.estimate import estimates
    from vitbench.running.session import in_order, is_wanted, is_wanted_figure, known_seconds
    from vitbench.sharding import Shard, split_cells
    from vitbench.store import FILE_NAME, Store, default_output

    folder = output or default_output()
    measured = in_order(pace.cells if pace else planned.prepared.cells)
    cells = [*measured, *planned.figures]
    newest: dict[str, Record] = {}
    records: list[Record] = []
    if (folder / FILE_NAME).exists():
        with Store.open(folder, create=False) as store:
            newest, records = store.newest_by_key(), store.records()
    shard = Shard.read(planned.selection.shard) if planned.selection.shard else None
    shards = split_cells(cells, shard.count) if shard else {}
    elsewhere = {key: Shard(number, shard.count) for key, number in shards.items() if shard and number != shard.number}
    wanted = {cell.key: is_wanted(newest.get(cell.key), rerun) for cell in measured}
    for cell in planned.figures:
        wanted[cell.key] = wanted[cell.shows] or is_wanted_figure(cell, newest, rerun)
    wanted |= dict.fromkeys(elsewhere, False)
    found = estimates(cells, records, known_seconds(records), pace.expected if pace else {})
    expected = {key: (one.seconds, one.source) for key, one in found.items()}
    echo((plan_data if as_json else plan_text)(cells, newest, wanted, expected, elsewhere))
