"""Positions and a convolutional stem on a GPU in eight minutes: rows of the suite `spatial` on CIFAR-10.

    python benchmarks/gpu_spatial.py --data DIR [--bring DIR] --output FOLDER --report gpu_spatial.md [--wheels DIR]

It is made for a fresh machine that has an NVIDIA GPU for some minutes, a Python with torch, and no network; vitbench
need not be installed there, and wheels that the machine lacks are given as gpu_check.py takes them. `DIR` has CIFAR-10
as dataset hubs have it, in Parquet files; with ``--bring`` they come there in several calls, as gpu_cifar.py says.

Rows: none, learned, relative, rope, and conv (with learned positions), 30 passes each, batch 512, in bfloat16. Each is
a run of vitbench of its own, and is stored when it is done: what the time limit (``--seconds``) cuts off resumes when
the same command runs again. Then it writes the table and what the suite's claims come to.

``--device cpu`` rehearses it; ``--limit 64`` makes that a matter of a minute. Exit codes: 0 all well, files are
missing, or no GPU; 1 a row failed, or the time was up; 3 a package is missing.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import gpu_check
import gpu_cifar

ROWS = ("none", "learned", "relative", "rope", "conv")
"""Labels of the suite, the most telling comparisons first."""
SETTINGS = {"epochs": 30, "batch_size": 512, "lr": 2e-3, "warmup": 0.1}
"""Of the recipe, in place of the suite's 200 passes, batch 128 and a rate of 5e-4; the rate rises with the batch."""
SECONDS = 480.0
"""For all rows of a call."""
LEAST = 10.0
"""Seconds without which a row is not started."""


def command(row: str, options: argparse.Namespace) -> list[str]:
    """Return the command that runs a row."""
    words = [sys.executable, "-m", "vitbench", "run", "--suite", "spatial", "--model", row, "--dataset", "cifar10"]
    words += ["--data", f"cifar10={options.data}", "--device", options.device, "--output", str(options.output)]
    words += ["--speeds", "none"]
    for name, value in SETTINGS.items():
        words += ["--set", f"supervised.{name}={value:g}"]
    if options.device != "cpu":
        words += ["--precision", "bfloat16"]
    return words + (["--limit", str(options.limit), "--epochs", "1"] if options.limit else [])


def run_rows(options: argparse.Namespace) -> list[tuple[str, str, float]]:
    """Run the rows until the time is up; return how each of them ended, and how many seconds it took."""
    until, found = time.monotonic() + options.seconds, list[tuple[str, str, float]]()
    for row in ROWS:
        began = time.monotonic()
        ended = "not started: the time was up"
        if until - began > LEAST:
            print(f"{row}: at most {until - began:.0f} s", file=sys.stderr, flush=True)
            ended = _ended(command(row, options), until - began)
        found.append((row, ended, time.monotonic() - began))
    return found


def _ended(words: Sequence[str], seconds: float) -> str:
    """Run a command; interrupt it when its time is up, so that it keeps what it has."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True) as child:
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGINT)
            child.wait()
            return "interrupted: the time was up"
    return "ok" if code == 0 else f"exit code {code}"


def report(options: argparse.Namespace, rows: Sequence[tuple[str, str, float]]) -> str:
    """Return what was found, as Markdown."""
    lines = ["# Positions and stems on CIFAR-10, by `benchmarks/gpu_spatial.py`", ""]
    if options.device == "cpu":
        lines += ["A rehearsal on the CPU: figures mean nothing.", ""]
    lines += [", ".join(f"{name} {value:g}" for name, value in SETTINGS.items()) + ".", ""]
    lines += ["| row | training and evaluation, s | ended |", "| --- | --- | --- |"]
    lines += [f"| {row} | {seconds:.0f} | {ended} |" for row, ended, seconds in rows]
    lines += ["", _output_of("leaderboard", str(options.output), "--format", "md"), "", "## Findings", ""]
    return "\n".join([*lines, "```", _output_of("findings", str(options.output)), "```", ""])


def _output_of(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "vitbench", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()


def main(arguments: list[str] | None = None) -> int:
    """Run the rows and write the report."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="vitbench-gpu-spatial-") as name:
        folder, root = Path(name), gpu_check.ROOT
        paths = [root, root / "plugins", gpu_check.write_metadata(folder), *gpu_check._unpacked(options, folder)]
        sys.path[:0] = [str(path) for path in paths]
        if missing := [each for each in gpu_check.missing_packages() if each not in gpu_check.OF_TESTS]:
            print(f"missing: {', '.join(missing)}; put their wheels into a folder, and give --wheels FOLDER")
            return 3
        if options.device.startswith("cuda") and not gpu_check._has_gpu():
            print("no GPU")
            return 0
        if options.bring:
            gpu_cifar.bring(options.bring, options.data)
            if lacking := gpu_cifar.shards(options.data)[1]:
                print(f"missing: {', '.join(lacking)}; run the same command when --bring has them")
                return 0
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        os.environ["HF_HUB_OFFLINE"] = "1"
        rows = run_rows(options)
        options.report.write_text(report(options, rows), encoding="utf-8")
    print(options.report.read_text(encoding="utf-8"))
    return int(any(ended != "ok" for _, ended, _ in rows))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of CIFAR-10's Parquet files")
    parser.add_argument("--bring", type=Path, help="folder whose Parquet files are copied there first")
    parser.add_argument("--output", type=Path, default=Path("gpu-spatial-results"), help="folder for the results")
    parser.add_argument("--report", type=Path, default=Path("gpu_spatial.md"), help="Markdown file to write")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal [cuda]")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for all rows [{SECONDS:g}]")
    parser.add_argument("--limit", type=int, help="images of each split, and one pass: a rehearsal")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of packages that are not installed")
    options = parser.parse_args(arguments)
    for name in ("bring" if options.bring else "data", "wheels"):
        if (given := getattr(options, name)) and not given.is_dir():
            parser.error(f"--{name}: {given} is not a directory")
    return options


if __name__ == "__main__":
    sys.exit(main())
