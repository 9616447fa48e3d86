"""Folders of tiny images for the readers of lists, tables and archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)


def write_images(root: Path, *names: str) -> Path:
    """Write images of 6x6 pixels, each at its path in a folder, which is returned."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RANDOM.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(root / name)
    return root
