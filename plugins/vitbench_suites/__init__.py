"""The suites that come with vitbench, a file each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import vitbench


@vitbench.hookimpl
def vitbench_suites() -> Iterator[Path]:
    """Give the TOML files beside this one."""
    yield from sorted(Path(__file__).parent.glob("*.toml"))
