"""Checks of whole plugins: what holds for all of their hooks together."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec

from vitbench.testing.cases import PluginCase
from vitbench.testing.checks import CheckFailed

__all__ = ["check_plugin_lists_lightly", "check_plugin_loads_quietly"]

HEAVY = ("torch", "torchvision", "timm", "numpy", "pandas", "scipy", "sklearn")
SECONDS = 60.0

_LIST = f"""
import json, sys, msgspec
from vitbench.catalog import PluginSelection, load_catalog
before = set(sys.modules)
load_catalog(msgspec.json.decode(sys.stdin.buffer.read(), type=PluginSelection))
print()
print(json.dumps([name for name in {HEAVY} if name in sys.modules and name not in before]))
"""


def check_plugin_lists_lightly(case: PluginCase) -> None:
    """Listing what the plugin offers imports neither torch nor numpy nor what else takes long."""
    finished = subprocess.run(
        [sys.executable, "-c", _LIST],
        input=msgspec.json.encode(case.alone),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    if finished.returncode:
        raise CheckFailed(f"listing it ended with {finished.stderr.decode(errors='replace').strip().splitlines()[-1]}")
    imported = json.loads(finished.stdout.splitlines()[-1])
    if imported:
        raise CheckFailed(
            f"listing it imports {', '.join(imported)}; import them in the modules that its import strings name"
        )


def check_plugin_loads_quietly(case: PluginCase) -> None:
    """Loading the plugin prints nothing and changes nothing that others rely on, such as the working folder."""
    if case.remarks:
        raise CheckFailed(case.remarks[0])
