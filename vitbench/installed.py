"""Versions of installed packages, read without importing them."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

__all__ = ["CUDNN", "version_of"]

CUDNN = "cuDNN"
"""What the version of cuDNN is listed under, which no distribution is called."""
_BUILDS = ("torch", "torchvision")
"""Packages of which one version has several builds, for the CPU and for each CUDA."""
_OWN_WORDS = re.compile(r"""^__version__\b[^=\n]*= *['"](.+)['"]""", re.MULTILINE)


def version_of(distribution: str) -> str:
    """Return a distribution's version, of torch and torchvision with the build (``2.14.1+cu130``).

    The metadata lack the build where the package came from PyPI; the package itself knows it.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    installed = version(distribution)
    spec = find_spec(distribution) if distribution in _BUILDS else None
    if spec is None or not spec.origin:
        return installed
    try:
        found = _OWN_WORDS.search(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))
    except OSError:
        return installed
    return found.group(1) if found else installed
