"""Positions and a convolutional stem on a GPU in eight minutes: rows of the suite `spatial` on CIFAR-10.

    python benchmarks/gpu_spatial.py --data DIR [--bring DIR] --output FOLDER --report gpu_spatial.md [--wheels DIR]

The script is meant for a fresh machine that has an NVIDIA GPU for a few minutes, a Python with torch, and no network.
vitbench need not be installed there; wheels that the machine lacks are given as for gpu_check.py. `DIR` holds CIFAR-10
as published on dataset hubs, in Parquet files; ``--bring`` adds them in several calls, as described in gpu_cifar.py.

Rows: none, learned, relative, rope, and conv (with learned positions), 30 passes each, batch 512, in bfloat16. Each row
is a separate vitbench run and is stored when it is done: if the time limit (``--seconds``) interrupts it, run the same
command to resume. At the end, the script writes the table and the outcome of the suite's claims.

``--device cpu`` rehearses everything; ``--limit 64`` reduces this to about a minute. Exit codes: 0 success, files are
missing, or no GPU; 1 a row failed, or the time was up; 3 a package is missing.
"""

from __future__ import annotations

import argparse
import sys

import gpu_rows

ROWS = ("none", "learned", "relative", "rope", "conv")
"""Labels of the suite, the most telling comparisons first."""
SETTINGS = {"epochs": 30, "batch_size": 512, "lr": 2e-3, "warmup": 0.1}
"""Of the recipe, in place of the suite's 200 passes, batch 128 and a rate of 5e-4; the rate rises with the batch."""


def command(row: str, options: argparse.Namespace) -> list[str]:
    """Return the command that runs a row."""
    return gpu_rows.words_of("spatial", row, options, {"supervised": SETTINGS})


def main(arguments: list[str] | None = None) -> int:
    """Run the rows and write the report."""
    return gpu_rows.main(
        _options(arguments),
        ROWS,
        command,
        title="Positions and stems on CIFAR-10, by `benchmarks/gpu_spatial.py`",
        settings=", ".join(f"{name} {value:g}" for name, value in SETTINGS.items()) + ".",
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    return gpu_rows.options_of(arguments, name="gpu_spatial", description=(__doc__ or "").split("\n")[0])


if __name__ == "__main__":
    sys.exit(main())
