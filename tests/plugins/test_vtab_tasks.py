"""The table of VTAB's tasks, and the suites on them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import vitbench_vtab
from vitbench_vtab.tasks import TASKS

from vitbench.planning.suite_file import read_suite

SIZES = {
    "cifar100-1k": (100, 10_000),
    "caltech101-1k": (102, 6_084),
    "dtd-1k": (47, 1_880),
    "flowers102-1k": (102, 6_149),
    "pets-1k": (37, 3_669),
    "svhn-1k": (10, 26_032),
    "sun397-1k": (397, 21_750),
    "patch-camelyon-1k": (2, 32_768),
    "eurosat-1k": (10, 5_400),
    "resisc45-1k": (45, 6_300),
    "diabetic-retinopathy-1k": (5, 42_670),
    "clevr-count-1k": (8, 15_000),
    "clevr-distance-1k": (6, 15_000),
    "dmlab-1k": (6, 22_735),
    "kitti-distance-1k": (4, 711),
    "dsprites-location-1k": (16, 73_728),
    "dsprites-orientation-1k": (16, 73_728),
    "smallnorb-azimuth-1k": (18, 12_150),
    "smallnorb-elevation-1k": (9, 12_150),
}
"""Classes and test images, as published."""


def test_the_19_tasks_are_those_of_the_paper() -> None:
    assert {task.name: (task.classes, task.test) for task in TASKS} == SIZES
    assert all(task.name.endswith("-1k") for task in TASKS)  # other names are for datasets of the user's own
    assert Counter(task.group for task in TASKS) == {"natural": 7, "specialized": 4, "structured": 8}
    assert all(len(task.class_names) in (0, task.classes) for task in TASKS)
    assert all(len(set(task.class_names)) == len(task.class_names) for task in TASKS)
    # All 19 test splits, and of the 200 none that is among the 800.
    assert sum(task.test for task in TASKS) == 387_904
    assert all(task.val_at is None or task.val_at >= 800 for task in TASKS)


def test_the_suite_ranks_all_of_them_in_their_groups() -> None:
    folder = Path(vitbench_vtab.__file__).parent
    suite = read_suite(folder / "vtab.toml")
    assert suite.datasets == tuple(f"vtab/{task.name}" for task in TASKS)
    assert suite.groups == {
        group: tuple(task.name for task in TASKS if task.group == group)
        for group in ("natural", "specialized", "structured")
    }
    assert all(entry.options["crop_mode"] == "squash" for entry in suite.models)
    assert all(options["final"] == "trainval" for options in suite.recipes.values())
    published = [entry.published for entry in suite.models if entry.published]
    assert [sum(each.values()) / len(each) for each in published] == pytest.approx([52.94, 65.57, 43.14], abs=0.01)
    assert all([*each] == [task.name for task in TASKS] for each in published)
    assert read_suite(folder / "vtab-small.toml").seeds == suite.seeds == (18, 25, 45)
