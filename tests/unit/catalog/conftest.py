"""Plugins are installed as real distributions are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

_numbers = itertools.count()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Install a distribution with one plugin and return its module's name, which no other test has."""

    def write(name: str, code: str, *, distribution: str = "", version: str = "1.2") -> str:
        number = next(_numbers)
        module = f"vitbench_fake_{number}"
        distribution = distribution or f"vitbench-{name}"
        info = tmp_path / str(number) / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[vitbench]\n{name} = {module}\n")
        (info.parent / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(str(info.parent))
        return module

    return write
