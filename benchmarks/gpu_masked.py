"""Masked patch prediction on a GPU in eight minutes: rows of the suite `masked` on CIFAR-10 with 5 % of its labels.

    python benchmarks/gpu_masked.py --data DIR [--bring DIR] --output FOLDER --report gpu_masked.md [--wheels DIR]

The script is meant for the same machines as gpu_spatial.py, and takes the same options. Rows: scratch, colours, pixels
and scratch-long, in bfloat16 with batches of 512. The first three take 800 steps on the labels, before which colours
and pixels take 4,000 and 12,071 steps of pretraining, at an equal cost in multiply-accumulates. scratch-long trains
from scratch for as many multiply-accumulates as both phases take. Each row is a separate vitbench run and is stored
when it is done: if the time limit (``--seconds``) interrupts it, run the same command to resume. At the end, the script
writes the table and the outcome of the suite's claims.

``--device cpu`` rehearses everything; ``--limit 400`` reduces this to minutes. Exit codes: 0 success, files are
missing, or no GPU; 1 a row failed, or the time was up; 3 a package is missing.
"""

from __future__ import annotations

import argparse
import sys

import gpu_rows

ROWS = ("scratch", "colours", "pixels", "scratch-long")
"""Labels of the suite, the most telling comparisons first."""
SETTINGS = {"batch_size": 512, "lr": 2e-3}
"""Of both recipes, in place of the suite's batch of 128; the rate rises with the batch."""
LABEL_STEPS = 800
OWN = {
    "scratch": ("supervised", {"steps": LABEL_STEPS}),
    "colours": ("masked-patches", {"steps": LABEL_STEPS, "pretrain_lr": 2e-3, "pretrain_steps": 4000}),
    "pixels": ("masked-patches", {"steps": LABEL_STEPS, "pretrain_lr": 2e-3, "pretrain_steps": 12_071}),
    "scratch-long": ("supervised", {"steps": LABEL_STEPS + 4067}),
}
"""The recipe of each row, and its length: a step takes 1.017 of a plain step's work for colours, 0.337 for pixels."""


def command(row: str, options: argparse.Namespace) -> list[str]:
    """Return the command that runs a row."""
    recipe, length = OWN[row]
    return gpu_rows.words_of("masked", row, options, {recipe: {**SETTINGS, **length}})


def main(arguments: list[str] | None = None) -> int:
    """Run the rows and write the report."""
    return gpu_rows.main(
        _options(arguments),
        ROWS,
        command,
        title="Masked patch prediction on CIFAR-10 with 5 % of the labels, by `benchmarks/gpu_masked.py`",
        settings=f"Batch {SETTINGS['batch_size']}, rate {SETTINGS['lr']:g}, {LABEL_STEPS} steps on the labels.",
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    return gpu_rows.options_of(arguments, name="gpu_masked", description=(__doc__ or "").split("\n")[0])


if __name__ == "__main__":
    sys.exit(main())
