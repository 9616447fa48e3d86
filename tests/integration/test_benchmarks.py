"""The benchmarks, which no other test runs, can still be run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vitbench.catalog import load_catalog

ROOT = Path(__file__).parents[2]


def run_pytest(*arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_all_are_collected_and_every_built_in_model_is_among_them() -> None:
    collected = run_pytest("benchmarks", "--collect-only")
    for file in (ROOT / "benchmarks").glob("test_*.py"):
        assert f"benchmarks/{file.name}::" in collected
    models = {
        name
        for name, offer in load_catalog().models.items()
        if offer.plugin.distribution == "vitbench" and not (offer.spec.is_baseline or offer.spec.resolve)
    }
    missing = {
        test: {name for name in models if f"::{test}[{name}" not in collected}
        for test in ("test_forward", "test_train_step")
    }
    too_large = {"timm/resnetv2_152x4_bit.goog_in21k"}
    assert missing == {"test_forward": set(), "test_train_step": too_large}


def test_a_model_of_them_takes_its_steps() -> None:
    assert "2 passed" in run_pytest("benchmarks/test_models.py", "-k", "vit-small-cifar", "--benchmark-disable")
