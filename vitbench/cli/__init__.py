"""The command line: one thin function per command, heavy imports inside. Data go to stdout, messages to stderr."""

from __future__ import annotations

import os
import sys

import click

from vitbench.cli.catalog import ls, plugins
from vitbench.cli.check import check
from vitbench.cli.compare import compare
from vitbench.cli.doctor import doctor
from vitbench.cli.explain import explain
from vitbench.cli.export import export
from vitbench.cli.findings import findings
from vitbench.cli.import_results import import_results
from vitbench.cli.leaderboard import leaderboard
from vitbench.cli.merge import merge
from vitbench.cli.pick import pick
from vitbench.cli.plugin import plugin
from vitbench.cli.reproduce import reproduce
from vitbench.cli.run import run
from vitbench.cli.score import score
from vitbench.cli.show import show
from vitbench.cli.streams import end_of_streams, note, open_closed_streams
from vitbench.cli.track import track
from vitbench.cli.withdraw import withdraw
from vitbench.errors import StoreError, VitbenchError, reason_of
from vitbench.execution.stopping import stoppable
from vitbench.printable import plain
from vitbench.version import __version__

__all__ = ["cli", "main"]

INTERRUPTED = 130


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and a documented exit code."""
    open_closed_streams()
    try:
        # Not `cli.main`, which has words and exit codes of its own for an interruption and for a closed pipe.
        with stoppable(), cli.make_context("vitbench", sys.argv[1:] or ["--help"]) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as ended:  # --help and --version
        code = ended.exit_code
    except click.ClickException as error:
        note(f"Error: {' '.join(error.format_message().split())}")
        code = error.exit_code
    except VitbenchError as error:
        note(f"Error: {plain(str(error))}")
        code = error.exit_code
    except KeyboardInterrupt:
        resume = "; run the same command to resume" if sys.argv[1:2] in (["run"], ["score"], ["pick"]) else ""
        note(f"Interrupted{resume}.")
        code = INTERRUPTED
    except BrokenPipeError:  # `vitbench --help | head -1` has read enough
        code = 0
    except OSError as error:  # a full disk, a working folder that was removed
        note(f"Error: {plain(_in_words(error))}")
        code = StoreError.exit_code
    end_of_streams()
    sys.exit(code if isinstance(code, int) else 0)


def _in_words(error: OSError) -> str:
    try:
        os.getcwd()  # noqa: PTH109 - the call that fails elsewhere, too
    except OSError:
        return "the working directory no longer exists; change to one that does."
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
    return f"{error.strerror or reason_of(error)}{where}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vitbench")
def cli() -> None:
    """Which image-classification backbone should I use, on my hardware and my data, and how sure are we?

    \b
    Exit codes: 0 all cells ok; 1 a cell did not end ok; 2 usage error; 3 data, device, network or plugin unusable;
    4 output unusable; 5 nothing selected; 130 interrupted. compare and track: 10 regressed; 11 no data;
    12 not comparable; 13 not resolved. findings: 10 a claim is refuted; 11 not run; 13 not resolved.
    reproduce --check: 10 different; 11 a cell has no result.
    """


_COMMANDS = (
    run,
    pick,
    score,
    ls,
    plugins,
    plugin,
    leaderboard,
    findings,
    explain,
    export,
    show,
    withdraw,
    reproduce,
    merge,
    import_results,
    doctor,
    check,
    track,
    compare,
)
for _command in _COMMANDS:
    cli.add_command(_command)
