"""`vitbench score`: score models with their own heads, and train nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from vitbench.cli.run import carry_out, run

if TYPE_CHECKING:
    from vitbench.running.session import Rerun

__all__ = ["score"]

_OF_RUN = (
    *("output", "device", "precision", "threads", "limit", "timeout", "rerun", "compile", "channels_last"),
    *("skip_unreadable", "dry_run", "plugin_files", "no_plugins", "strict_plugins", "quiet", "as_json"),
)
"""Options that mean what they mean to ``vitbench run``."""


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--model", "models", multiple=True, required=True, metavar="M[:k=v,...]", help="A model to score.")
@click.option(
    "--classes",
    type=click.Choice(["subset", "all"]),
    default="subset",
    show_default=True,
    help="Drop the classes of the head that DATA does not have, or let them compete.",
)
@click.option(
    "--class-map",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .csv, .json or .toml file that maps classes of the head to classes of DATA. [default: by name]",
)
def score(
    data: str,
    models: tuple[str, ...],
    classes: Literal["subset", "all"],
    class_map: Path | None,
    output: Path | None,
    timeout: float | None,
    rerun: Rerun | None,
    dry_run: bool,
    plugin_files: tuple[str, ...],
    as_json: bool,
    **how: Any,
) -> int:
    """Score models with their own heads on DATA, a folder of images or the name of a dataset.

    Nothing is trained, so test or validation images alone are enough. Run the same command again to run only what
    is
    missing.
    """
    from vitbench.api import scored

    which = {"plugins": plugin_files, "no_plugins": how["no_plugins"]}
    asked = {**how, **which, **scored(data, models, classes=classes, class_map=class_map, **which)}
    return carry_out(asked, output=output, timeout=timeout, rerun=rerun, dry_run=dry_run, as_json=as_json)


score.params += [param for param in run.params if param.name in _OF_RUN]
