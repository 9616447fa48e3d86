"""`vitbench findings`: a suite's claims and published numbers, compared with a run's own."""

from __future__ import annotations

from pathlib import Path

import click

from vitbench.cli.leaderboard import takes_unicode
from vitbench.cli.streams import echo, note
from vitbench.printable import plain

__all__ = ["findings"]


@click.command()
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def findings(folder: Path | None, as_json: bool) -> int:
    """Test the claims of a results folder's suite, and show published numbers next to the measured ones.

    DIR defaults to vitbench-results.

    \b
    Exit codes: 0 every claim is confirmed; 10 one is refuted; 11 none is, and one is not run;
    13 none of these, and one is not resolved; 5 the suite states no claims; otherwise as for vitbench.
    """
    from vitbench.findings.findings import read_findings
    from vitbench.store import default_output

    found = read_findings(folder or default_output())
    for words in found.damaged:
        note(f"warning: {plain(words)}")
    if as_json:
        from vitbench.report.findings_json import render_findings_json

        echo(render_findings_json(found), nl=False)
    else:
        from vitbench.report.findings_table import render_findings

        echo(render_findings(found, unicode=takes_unicode()), nl=False)
    return found.exit_code
