"""Versions of packages, with the build where one version has several."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

from vitbench.installed import version_of


def test_torch_is_told_with_its_build() -> None:
    assert version_of("torch") == str(torch.__version__)
    assert version_of("numpy") == version("numpy")
    with pytest.raises(PackageNotFoundError):
        version_of("no-such-distribution")


def test_a_build_is_read_from_the_package_and_not_from_pips_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, package = tmp_path / "torchvision-0.9.dist-info", tmp_path / "torchvision"
    info.mkdir()
    package.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.9\n")
    (package / "__init__.py").write_text("")
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert version_of("torchvision") == "0.9"
    (package / "version.py").write_text(
        "from typing import Optional\n\n__version__: str = '0.9+cu130'\ncuda = '13.0'\n"
    )
    assert version_of("torchvision") == "0.9+cu130"
