"""vitbench.data.integrity: a change of a file is seen, whoever sets its times."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vitbench.data.integrity import array_file, digest_of, has_stamp, holds


def _labels(path: Path) -> np.ndarray:
    labels = np.arange(5)
    np.save(path, labels)
    return labels


def test_a_stamp_outlives_a_new_name_of_the_folder_and_no_setting_of_times(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    _labels(folder / "labels.npy")
    file = array_file(folder / "labels.npy", "")
    folder.rename(tmp_path / "b")
    path = tmp_path / "b" / "labels.npy"
    assert has_stamp(path, file)

    times = path.stat().st_mtime_ns
    os.utime(path, ns=(times, times))
    assert not has_stamp(path, file)


def test_another_shape_or_kind_of_number_is_another_array(tmp_path: Path) -> None:
    path = tmp_path / "labels.npy"
    labels = _labels(path)
    file = array_file(path, digest_of(labels).hex())
    assert holds(path, file)
    np.save(path, labels.view(np.uint64))
    assert not holds(path, file)
    assert digest_of(np.zeros((2, 3), np.uint8)) != digest_of(np.zeros((3, 2), np.uint8))
