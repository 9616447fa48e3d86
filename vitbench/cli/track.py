"""`vitbench track`: has a change made models slower?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vitbench.cli.options import FiniteRange
from vitbench.cli.streams import echo
from vitbench.errors import StoreError

if TYPE_CHECKING:
    from vitbench.records import Mode

__all__ = ["track"]


@click.command()
@click.option("--base", required=True, metavar="REF", help="Commit to compare with.")
@click.option("--head", metavar="REF", help="Commit to check. [default: the working tree, as installed here]")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="M[:k=v,...]",
    help="Model to time. [default: the checkouts' own models]",
)
@click.option(
    "--mode",
    "modes",
    multiple=True,
    type=click.Choice(["inference", "training"]),
    default=["inference"],
    help="What to time. [default: inference]",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Images per batch.")
@click.option(
    "--image-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Image size in pixels, for models that adapt to the data.",
)
@click.option("--num-classes", type=click.IntRange(min=1), default=10, show_default=True, help="Number of classes.")
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N|mps", help="Device to run on."
)
@click.option("--threads", type=click.IntRange(min=1), help="Number of torch threads. [default: all cores]")
@click.option(
    "--threshold",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    default=0.03,
    show_default=True,
    help="Relative difference in speed to ignore.",
)
@click.option(
    "--seconds",
    type=FiniteRange(min=0),
    metavar="S",
    default=300.0,
    show_default=True,
    help="Start no new processes for a model after this time.",
)
@click.option(
    "--repo",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=".",
    help="A folder in the repository. [default: the current one]",
)
@click.option(
    "--install",
    metavar="COMMAND",
    default="pip install -e .",
    show_default=True,
    help="Command that installs a checkout.",
)
@click.option(
    "--inherit-packages",
    is_flag=True,
    help="Let the environments use the packages of the current one, including torch.",
)
@click.option("--allow-differences", is_flag=True, help="Compare even if the versions of Python or torch differ.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Append Markdown to this file.")
def track(
    models: tuple[str, ...],
    modes: tuple[Mode, ...],
    install: str,
    inherit_packages: bool,
    as_json: bool,
    output: Path | None,
    **asked: Any,
) -> int:
    """Check whether a change has made models slower, by measuring two commits in turn on this machine.

    \b
    Exit codes: 0 the same or faster; 10 slower; 11 no data; 12 not comparable; 13 not resolved. With several
    models, the first of 10, 12, 11, 13 counts.
    """
    from vitbench.api import say
    from vitbench.tracking import report
    from vitbench.tracking.environments import Installation
    from vitbench.tracking.track import Question
    from vitbench.tracking.track import track as compare

    question = Question(
        models=tuple(dict.fromkeys(models)),
        modes=tuple(dict.fromkeys(modes)),
        recipe=Installation(install=install, inherit_packages=inherit_packages),
        **asked,
    )
    if output:
        _append(output, "")  # what cannot be written is told before anything is measured
    tracked = compare(question, say)
    if output:
        _append(output, report.as_markdown(tracked))
    echo(report.as_json(tracked) if as_json else report.as_text(tracked))
    return tracked.exit_code


def _append(output: Path, text: str) -> None:
    try:
        with output.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}.") from error
