"""Which label and which split an image of VTAB's tasks has: pure functions, after google-research/task_adaptation.

Shapes: N images in a pool, K objects in a scene.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .tasks import TRAIN, VAL

Index = NDArray[np.int64]

CLEVR_THRESHOLDS = (0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0)
"""Of the third pixel coordinate of the closest object."""
FEWEST_OBJECTS, MOST_OBJECTS = 3, 10
KITTI_THRESHOLDS = (-100.0, 8.0, 20.0, 999.0)
"""Of the distance in metres; 1,000 where there is no vehicle."""
KITTI_VEHICLES = ("Car", "Van", "Truck")
NO_VEHICLE = 1000.0
SEED = 0
"""Of the own order of files that lie class by class."""


def _band(value: float, thresholds: Sequence[float]) -> int:
    """Return the last band whose threshold lies below a value: a value on a threshold belongs to the band before."""
    return max(i for i, threshold in enumerate(thresholds) if threshold < value)


def clevr_count(objects: int) -> int:
    """Return the label of a number of objects, 0 to 7.

    Raises:
        ValueError: it is not in 3..10.
    """
    if not FEWEST_OBJECTS <= objects <= MOST_OBJECTS:
        raise ValueError(f"a scene has {objects} objects; CLEVR's have {FEWEST_OBJECTS} to {MOST_OBJECTS}")
    return objects - FEWEST_OBJECTS


def clevr_distance(depths: Sequence[float]) -> int:
    """Return the label, 0 to 5, of the third pixel coordinates of a scene's K objects.

    Raises:
        ValueError: there is no object, or the closest is not in 0..100.
    """
    if not depths:
        raise ValueError("a scene has no objects")
    closest = min(depths)
    if not CLEVR_THRESHOLDS[0] < closest <= CLEVR_THRESHOLDS[-1]:
        raise ValueError(f"the closest object of a scene is at {closest:g}; it must be above 0 and at most 100")
    return _band(closest, CLEVR_THRESHOLDS)


def kitti_distance(objects: Sequence[tuple[str, float]]) -> int:
    """Return the label, 0 to 3, of a frame's objects: their types, and their distances z in metres.

    Raises:
        ValueError: the closest vehicle is 100 m or more behind the camera.
    """
    closest = min((z for kind, z in objects if kind in KITTI_VEHICLES), default=NO_VEHICLE)
    closest = min(closest, NO_VEHICLE)
    if not closest > KITTI_THRESHOLDS[0]:
        raise ValueError(f"the closest vehicle of a frame is at {closest:g} m")
    return _band(closest, KITTI_THRESHOLDS)


def dsprites_bins(latent: NDArray[np.int64], values: int, bins: int = 16) -> Index:
    """Return the bins int64[N] of a factor's values int64[N], each in 0..values-1."""
    if latent.size and not 0 <= latent.min() <= latent.max() < values:
        raise ValueError(f"a factor must lie in 0..{values - 1}, not {latent.min()}..{latent.max()}")
    return (latent * bins // values).astype(np.int64)


def smallnorb_azimuth(azimuth: NDArray[np.int64]) -> Index:
    """Return the labels, 0 to 17, of azimuths as the files have them: 0, 2, ..., 34, in tens of degrees."""
    if azimuth.size and ((azimuth % 2).any() or not 0 <= azimuth.min() <= azimuth.max() <= 34):
        raise ValueError("an azimuth of smallNORB must be one of 0, 2, ..., 34")
    return (azimuth // 2).astype(np.int64)


def smallnorb_elevation(elevation: NDArray[np.int64]) -> Index:
    """Return the labels of elevations as the files have them, 0 to 8."""
    if elevation.size and not 0 <= elevation.min() <= elevation.max() <= 8:
        raise ValueError("an elevation of smallNORB must lie in 0..8")
    return elevation.astype(np.int64)


def svhn_digit(label: NDArray[np.int64]) -> Index:
    """Return the digits of SVHN's labels, 1 to 10, where 10 stands for 0."""
    if label.size and not 1 <= label.min() <= label.max() <= 10:
        raise ValueError("a label of SVHN must lie in 1..10")
    return (label % 10).astype(np.int64)


def halves(count: int) -> tuple[Index, Index]:
    """Return the first and the second half of smallNORB's test images: validation, and test."""
    return np.arange(count // 2), np.arange(count // 2, count)


def shares(count: int, train: int, val: int) -> tuple[Index, Index, Index]:
    """Return three parts of N images by their percentages, as EuroSAT (60, 20, 20) and dSprites (80, 10, 10)."""
    ends = count * train // 100, count * (train + val) // 100
    return np.arange(ends[0]), np.arange(ends[0], ends[1]), np.arange(ends[1], count)


def first(count: int, most: int) -> Index:
    """Return the first rows of N, as many as there are up to `most`."""
    return np.arange(min(count, most))


def cut(count: int, val_at: int) -> tuple[Index, Index]:
    """Return the rows of the 800 and of the 200 in a training split of N images that the 200 are part of.

    Args:
        count: N.
        val_at: where the 200 begin in the whole split. In a smaller one they are the last; of fewer than 1,000 images
            four fifths are to learn from and all others to choose by.
    """
    if count < TRAIN + VAL:
        return np.arange(count * 4 // 5), np.arange(count * 4 // 5, count)
    start = val_at if val_at + VAL <= count else count - VAL
    return np.arange(TRAIN), np.arange(start, start + VAL)


def own_order(count: int) -> Index:
    """Return an order of N images that lie class by class, the same on every machine."""
    return np.random.RandomState(SEED).permutation(count).astype(np.int64)
