"""Are five identical models found to differ in speed? Run by hand:

    python benchmarks/equal_models.py FOLDER [BUSY]

runs the five models of twins.py into a new folder, next to BUSY busy processes. For each speed metric it prints how
much ratios and measured values vary over processes, the verdicts, and the pairs that are found to differ, with the
level shared over the pairs.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from vitbench.leaderboard.processes import LEVEL, Processes, tell_p_values
from vitbench.leaderboard.results import read_results
from vitbench.statistics import holm

NAMES = ("ada", "bea", "cleo", "dora", "eve")


def run(folder: Path, busy: int) -> None:
    """Run the five, beside processes that do nothing but compute."""
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        models = [word for name in NAMES for word in ("--model", f"twins/{name}")]
        subprocess.run(
            [
                *("vitbench", "run", "--plugin", str(Path(__file__).parent / "twins.py"), *models),
                *(
                    "--dataset",
                    "digits",
                    "--limit",
                    "60",
                    "--epochs",
                    "1",
                    "--speeds",
                    "all",
                    "--threads",
                    "1",
                    "--output",
                    str(folder),
                ),
            ],
            check=True,
        )
    finally:
        for neighbour in neighbours:
            neighbour.kill()


def show(folder: Path) -> None:
    """Print what the folder's speeds say of five equal models."""
    _, board = read_results(folder)
    by_metric = defaultdict(list)
    for row in board.rows:
        for name, metric in row.metrics.items():
            if metric.relative:
                by_metric[name].append(metric)
    for name, metrics in by_metric.items():
        figures = [Processes.of(metric) for metric in metrics]
        p_values = tell_p_values(figures)[np.triu_indices(len(figures), 1)]
        apart = holm(lambda level, p=p_values: p <= level, len(p_values), LEVEL)
        ratio = np.sqrt(np.mean([np.var(np.log(metric.relative.ratio.processes), ddof=1) for metric in metrics]))
        measured = np.sqrt(np.mean([np.var(np.log(metric.processes), ddof=1) for metric in metrics]))
        halves = [metric.relative.ratio.half_width for metric in metrics]
        print(
            f"{name}: processes vary by {ratio:.1%} (measured {measured:.1%}), half-widths {min(halves):.1%} to "
            f"{max(halves):.1%}, {dict(Counter(metric.verdict for metric in metrics))}, "
            f"{apart.sum()} of {len(p_values)} pairs told apart"
        )


if __name__ == "__main__":
    output, *rest = sys.argv[1:]
    run(Path(output), int(rest[0]) if rest else 0)
    show(Path(output))
