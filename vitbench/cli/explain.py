"""`vitbench explain`: look into trained models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vitbench.cli.options import FiniteRange, plugin_options
from vitbench.cli.streams import echo, note
from vitbench.errors import UnusableError
from vitbench.printable import plain

if TYPE_CHECKING:
    from vitbench.running.events import Event

__all__ = ["explain"]


@click.command()
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--model", "models", multiple=True, metavar="M", help="A model, by label or name. [default: all]")
@click.option(
    "--figure",
    "figures",
    multiple=True,
    metavar="F[:k=v,...]",
    help="A figure; see `vitbench ls figures`. [default: all]",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Your own image, instead of test images.",
)
@click.option("--layer", metavar="N", help="Layer, counted from 1; for a convolutional network, its name.")
@click.option("--head", metavar="N", help="Attention head, counted from 1.")
@click.option("--target", metavar="CLASS", help="Class to explain, by name or number. [default: the predicted one]")
@click.option("--timeout", type=FiniteRange(min=0, min_open=True), metavar="SECONDS", help="Time limit of each figure.")
@plugin_options
def explain(
    folder: Path | None,
    models: tuple[str, ...],
    figures: tuple[str, ...],
    images: tuple[Path, ...],
    layer: str | None,
    head: str | None,
    target: str | None,
    timeout: float | None,
    plugin_files: tuple[str, ...],
    no_plugins: tuple[str, ...],
    strict_plugins: bool,
) -> int:
    """Draw what trained models learned and where they look.

    Saves the pictures in the results folder and prints their paths.

    DIR defaults to vitbench-results.

    Each figure is computed once, in its own process, on the CPU.

    \b
    Exit codes: 0 all drawn, or skipped with a reason; 1 a figure failed; otherwise as for vitbench.
    """
    from vitbench.catalog import load_catalog, select_plugins
    from vitbench.execution.choice import chosen_executor
    from vitbench.execution.stopping import stoppable
    from vitbench.explaining.explain import Asked
    from vitbench.explaining.explain import explain as draw
    from vitbench.store import default_output

    plugins = select_plugins(plugin_files, no_plugins)
    for problem in load_catalog(plugins).fatal(strict=strict_plugins):
        raise UnusableError(str(problem))
    given = {name: value for name, value in (("layer", layer), ("head", head), ("target", target)) if value is not None}
    asked = Asked(models=models, figures=figures, images=images, options=given)
    with stoppable():
        found = draw(
            folder or default_output(),
            asked,
            executor=chosen_executor(),
            plugins=plugins,
            timeout=timeout,
            on_event=_tell,
        )
    for words in found.remarks:
        note(plain(words))
    for path in found.paths:
        echo(str(path))
    return int(found.failed)


def _tell(event: Event) -> None:
    """Say which figure is being computed, since that may take a while."""
    from vitbench.running.events import Started

    if isinstance(event, Started):
        note(plain(f"drawing {event.planned.in_words}"))
