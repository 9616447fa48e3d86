"""The 19 tasks of VTAB-1k as datasets, and the suite that ranks models over them (Zhai et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import vitbench

from .tasks import SOURCE, TASKS, TRAIN, VAL

_PUBLISHED = ("dtd", "flowers102", "pets", "svhn", "eurosat")
"""Datasets whose published files are fetched, by torchvision's addresses and checksums."""
_LOOKALIKES = {
    "location": "the horizontal position of a shape: 32 in 16 bins",
    "orientation": "the orientation of a shape: 40 in 16 bins",
}


@vitbench.hookimpl
def vitbench_datasets() -> Iterator[vitbench.DatasetSpec]:
    """Give the 19 tasks, and two that look like those of dSprites and need no files."""
    for task in TASKS:
        yield vitbench.DatasetSpec(
            name=task.name,
            open=f"vitbench_vtab.opening:OPENERS.{task.name.replace('-', '_')}",
            summary=f"VTAB-1k, {task.group}: {task.title}, {task.label}",
            classes=task.classes,
            sizes={"train": TRAIN, "val": VAL, "test": task.test},
            splits=("train", "val", "test"),
            downloads=task.whole in _PUBLISHED,
            augmentations=(),  # VTAB-1k augments nothing
            licence=task.licence,
            source=f"{task.source}; split of {SOURCE}",
        )
    for name, label in _LOOKALIKES.items():
        yield vitbench.DatasetSpec(
            name=f"dsprites-lookalike-{name}",
            open=f"vitbench_vtab.lookalike:OPENERS.{name}",
            summary=f"Shapes drawn like those of dSprites, without files: {label}",
            classes=16,
            shape=(1, 64, 64),
            sizes={"train": TRAIN, "val": VAL, "test": 2_000},
            splits=("train", "val", "test"),
            needs_root=False,
            augmentations=(),
            source="drawn by vitbench, after Matthey et al. 2017, https://github.com/google-deepmind/dsprites-dataset",
        )


@vitbench.hookimpl
def vitbench_suites() -> Iterator[Path]:
    """Give the suites, whose files lie beside this one."""
    folder = Path(__file__).parent
    yield from (folder / f"{name}.toml" for name in ("vtab", "vtab-small"))
