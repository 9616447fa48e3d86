"""Listing 50 installed plugins, ten of them broken, in a fresh process: the goal is under 0.5 s.

The plugins are generated distributions of two files, as pip installs them. The broken ones fail at each stage in turn.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

NUM_PLUGINS, NUM_BROKEN = 50, 10

SOUND = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    for depth in range(4):
        yield vitbench.ModelSpec(name=f"net-{depth}", build="no_such_module:build", summary="A network of some layers")
"""
BROKEN = [
    "import no_such_module_anywhere",
    "raise SystemExit(1)",
    SOUND.replace("vitbench_models", "vitbench_model"),
    SOUND + "    raise OSError('cut off')\n",
    SOUND.replace("yield vitbench.ModelSpec", "yield dict"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all the distributions."""
    place = tmp_path_factory.mktemp("site")
    for i in range(NUM_PLUGINS):
        info = place / f"vitbench_fake_{i}-1.{i}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: vitbench-fake-{i}", f"Version: 1.{i}", "Requires-Dist: vitbench>=0.1"]
        (info / "METADATA").write_text("\n".join([*lines, "", 20 * "A long description in the metadata.\n"]))
        (info / "entry_points.txt").write_text(f"[vitbench]\nfake-{i} = vitbench_fake_{i}\n")
        code = BROKEN[i % len(BROKEN)] if i < NUM_BROKEN else SOUND
        (place / f"vitbench_fake_{i}.py").write_text(code)
    return place


@pytest.mark.parametrize("arguments", [["plugins"], ["plugins", "--json"]], ids=" ".join)
def test_listing_50_plugins(benchmark: BenchmarkFixture, installed: Path, arguments: list[str]) -> None:
    done = benchmark.pedantic(
        subprocess.run,
        args=([sys.executable, "-m", "vitbench", *arguments],),
        kwargs={"capture_output": True, "check": True, "env": {**os.environ, "PYTHONPATH": str(installed)}},
        rounds=10,
        warmup_rounds=2,
    )
    if "--json" in arguments:
        listed = json.loads(done.stdout)
        assert sum(plugin["name"].startswith("fake-") for plugin in listed["plugins"]) >= NUM_PLUGINS - NUM_BROKEN
        assert len({problem["plugin"] for problem in listed["problems"]}) == NUM_BROKEN
