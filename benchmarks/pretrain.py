"""Train your own checkpoints on CIFAR-100, so that "pretrained wins" can be tested without downloading any weights.

    python benchmarks/pretrain.py FOLDER --data DIR [--size cpu|gpu] [options of vitbench run]

runs the suite `pretrain/cpu.toml` or `pretrain/gpu.toml` into ``FOLDER/run`` as ``vitbench run`` does: if it is killed,
run the same command to resume. It then writes the trained weights to ``FOLDER/vit.safetensors`` and
``FOLDER/resnet18.safetensors``. These files also hold the normalisation of the images, the classes, the training
settings and the fingerprint of the data (`vitbench.training.card`). Their SHA-256 and accuracy are printed.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from vitbench.leaderboard.results import read_results
from vitbench.records import QualityCell, canonical_name
from vitbench.store import Store
from vitbench.training.card import read_card

SUITES = Path(__file__).parent / "pretrain"


def main() -> int:
    """Train, and copy the weights; return the run's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", required=True, help="folder with CIFAR-100")
    parser.add_argument("--size", choices=("cpu", "gpu"), default="cpu")
    options, more = parser.parse_known_args()
    run = options.folder / "run"
    command = ["vitbench", "run", "--suite", str(SUITES / f"{options.size}.toml"), "--output", str(run)]
    code = subprocess.run([*command, "--data", f"cifar100={options.data}", "--speeds", "none", *more]).returncode
    if code in (0, 1):
        for path, found in copied(run, options.folder).items():
            print(f"{path}  {found}")
    return code


def copied(run: Path, folder: Path) -> dict[Path, str]:
    """Copy the weights of each model of a run under its label; return what is to be said of each copy."""
    found = {}
    records, _ = read_results(run)
    for record in records:
        cell = record.planned.cell
        if record.status != "ok" or not isinstance(cell, QualityCell):
            continue
        with Store.open(run, create=False) as store:
            source = store.weights_path(record.key)
        if not source.exists():
            continue
        path = folder / f"{record.planned.label}.safetensors"
        shutil.copyfile(source, path)
        top1 = next(one.value or 0.0 for one in record.measurements if one.name == "top1")
        dataset = read_card(path).trained["dataset"]
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        found[path] = f"{canonical_name(cell.model, cell.options, {})}, {dataset}: {100 * top1:.2f} %, SHA-256 {sha256}"
    return found


if __name__ == "__main__":
    sys.exit(main())
