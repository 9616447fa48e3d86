"""What is shared by scripts that run rows of a suite on CIFAR-10 within a few minutes on a GPU: options, rows, report.

Each row is a separate vitbench run and is stored when it is done: if the time limit (``--seconds``) interrupts it, run
the same command to resume.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gpu_check
import gpu_cifar

SECONDS = 480.0
"""For all rows of a call."""
LEAST = 10.0
"""Seconds without which a row is not started."""

Command = Callable[[str, argparse.Namespace], list[str]]
"""Returns the words that run a row, by its label."""
Ended = tuple[str, str, float]
"""A row, how it ended, and the seconds that it took."""


def words_of(
    suite: str, row: str, options: argparse.Namespace, settings: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return the command that runs a row of a suite on CIFAR-10, with a recipe's options in place of the suite's."""
    words = [sys.executable, "-m", "vitbench", "run", "--suite", suite, "--model", row, "--dataset", "cifar10"]
    words += ["--data", f"cifar10={options.data}", "--device", options.device, "--output", str(options.output)]
    words += ["--speeds", "none", "--seed", "0"]
    for recipe, values in settings.items():
        for name, value in values.items():
            words += ["--set", f"{recipe}.{name}={value:g}"]
    if options.device != "cpu":
        words += ["--precision", "bfloat16"]
    return words + (["--limit", str(options.limit), "--epochs", "1"] if options.limit else [])


def run_rows(rows: Sequence[str], command: Command, options: argparse.Namespace) -> list[Ended]:
    """Run the rows until the time is up; return how each of them ended."""
    until, found = time.monotonic() + options.seconds, list[Ended]()
    for row in rows:
        began = time.monotonic()
        ended = "not started: the time was up"
        if until - began > LEAST:
            print(f"{row}: at most {until - began:.0f} s", file=sys.stderr, flush=True)
            ended = gpu_cifar.ended(command(row, options), until - began)
        found.append((row, ended, time.monotonic() - began))
    return found


def report(title: str, settings: str, options: argparse.Namespace, rows: Sequence[Ended]) -> str:
    """Return what was found, as Markdown."""
    lines = [f"# {title}", ""]
    if options.device == "cpu":
        lines += ["A rehearsal on the CPU: figures mean nothing.", ""]
    lines += [settings, "", "| row | training and evaluation, s | ended |", "| --- | --- | --- |"]
    lines += [f"| {row} | {seconds:.0f} | {ended} |" for row, ended, seconds in rows]
    lines += ["", gpu_check.output_of("leaderboard", str(options.output), "--format", "md"), "", "## Findings", ""]
    return "\n".join([*lines, "```", gpu_check.output_of("findings", str(options.output)), "```", ""])


def main(options: argparse.Namespace, rows: Sequence[str], command: Command, *, title: str, settings: str) -> int:
    """Run the rows and write the report."""
    with tempfile.TemporaryDirectory(prefix="vitbench-gpu-rows-") as folder:
        code = gpu_check.prepare(options, Path(folder))
        if code is not None:
            return code
        if options.bring:
            gpu_cifar.bring(options.bring, options.data)
            if lacking := gpu_cifar.shards(options.data)[1]:
                print(f"missing: {', '.join(lacking)}; run the same command when --bring has them")
                return 0
        ended = run_rows(rows, command, options)
        options.report.write_text(report(title, settings, options, ended), encoding="utf-8")
    print(options.report.read_text(encoding="utf-8"))
    return int(any(how != "ok" for _, how, _ in ended))


def options_of(arguments: list[str] | None, *, name: str, description: str) -> argparse.Namespace:
    """Return the options of a script, whose name begins those of what it writes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder of CIFAR-10's Parquet files")
    parser.add_argument("--bring", type=Path, help="folder whose Parquet files are copied there first")
    output = Path(f"{name.replace('_', '-')}-results")
    parser.add_argument("--output", type=Path, default=output, help="folder for the results")
    parser.add_argument("--report", type=Path, default=Path(f"{name}.md"), help="Markdown file to write")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal [cuda]")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for all rows [{SECONDS:g}]")
    parser.add_argument("--limit", type=int, help="images of each split, and one pass: a rehearsal")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of packages that are not installed")
    options = parser.parse_args(arguments)
    for role in ("bring" if options.bring else "data", "wheels"):
        if (given := getattr(options, role)) and not given.is_dir():
            parser.error(f"--{role}: {given} is not a directory")
    return options
