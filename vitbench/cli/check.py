"""`vitbench check`: does a plugin keep the contracts of its hooks?"""

from __future__ import annotations

import click

from vitbench.cli.options import read_pairs
from vitbench.cli.streams import echo

__all__ = ["check"]


@click.command()
@click.argument("plugin", metavar="PLUGIN")
@click.option("--model", "models", multiple=True, metavar="M[:k=v,...]", help="Check only this model of the plugin.")
@click.option(
    "--data", multiple=True, metavar="NAME=PATH", callback=read_pairs, help="Location of one of its datasets."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(plugin: str, models: tuple[str, ...], data: dict[str, str], as_json: bool) -> int:
    """Run the conformance checks of a plugin, or of one thing it offers.

    PLUGIN is the name of a plugin (scratch) or of one of its offers (scratch/vit), or the same for a plugin file
    (./mine.py, ./mine.py/net).

    Exit code 1 if a check fails, 3 if the plugin cannot be loaded.
    """
    from vitbench.api import say
    from vitbench.testing.isolated import check_plugin
    from vitbench.testing.report import as_data, subject_text, sum_text

    outcomes = []
    for of_one in check_plugin(plugin, models=models, data=data, say=say):
        outcomes += of_one
        if not as_json:
            echo(f"{subject_text(of_one)}\n")
    echo(as_data(plugin, outcomes) if as_json else sum_text(outcomes))
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0
