"""`vitbench doctor`: what would spoil a measurement."""

from __future__ import annotations

import click

from vitbench.cli.streams import echo

__all__ = ["doctor"]


@click.command()
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|cuda:N|mps",
    help="Device that the runs will use.",
)
@click.option(
    "--speeds",
    is_flag=True,
    help="Also time a small network in fresh processes, to find out how well this machine resolves speeds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(device: str, speeds: bool, as_json: bool) -> int:
    """Check this machine for anything that would distort measurements, and suggest fixes.

    Exit code 1 if a problem was found.
    """
    from vitbench.api import say

    say(f"Checking the machine; this takes {'about a minute' if speeds else 'a few seconds'}.")
    from vitbench.doctor.doctor import examine
    from vitbench.doctor.report import as_data, as_text

    examined = examine(device, speeds=speeds)
    echo(as_data(examined) if as_json else as_text(examined))
    return 0 if all(check.ok for check in examined.checks) else 1
