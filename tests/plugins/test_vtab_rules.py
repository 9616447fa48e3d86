"""The rules of VTAB's labels and splits, at every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from vitbench_vtab import rules


def test_clevr_counts_objects_from_three_to_ten() -> None:
    assert [rules.clevr_count(objects) for objects in range(3, 11)] == list(range(8))
    for objects in (2, 11):
        with pytest.raises(ValueError, match=f"a scene has {objects} objects"):
            rules.clevr_count(objects)


def test_clevr_bands_the_closest_object_and_a_threshold_belongs_to_the_band_before() -> None:
    for closest, label in (
        *((0.01, 0), (7.99, 0), (8.0, 0), (8.01, 1), (8.5, 1), (8.51, 2), (9.0, 2), (9.01, 3)),
        *((9.5, 3), (9.51, 4), (10.0, 4), (10.01, 5), (100.0, 5)),
    ):
        assert rules.clevr_distance([50.0, closest, 100.0]) == label, closest


@pytest.mark.parametrize("depths", [[], [0.0, 5.0], [100.5]])
def test_clevr_refuses_a_distance_that_is_in_no_band(depths: list[float]) -> None:
    with pytest.raises(ValueError, match="scene"):
        rules.clevr_distance(depths)


def test_kitti_bands_the_closest_car_van_or_truck() -> None:
    bands = ((-99.0, 0), (0.0, 0), (8.0, 0), (8.01, 1), (20.0, 1), (20.01, 2), (999.0, 2), (999.01, 3))
    for kind in ("Car", "Van", "Truck"):
        for z, label in bands:
            assert rules.kitti_distance([("Car", 5000.0), (kind, z), ("Pedestrian", 1.0)]) == label, (kind, z)
    for kind in ("Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare"):
        assert rules.kitti_distance([(kind, 5.0)]) == 3, kind
    assert rules.kitti_distance([]) == 3


def test_a_vehicle_far_behind_the_camera_is_a_fault_of_the_file() -> None:
    with pytest.raises(ValueError, match="-100 m"):
        rules.kitti_distance([("Car", -100.0)])


def test_dsprites_bins_are_tfds_own() -> None:
    # task_adaptation: floor(value / (values / bins))
    assert rules.dsprites_bins(np.arange(32), 32).tolist() == [x // 2 for x in range(32)]
    assert rules.dsprites_bins(np.arange(40), 40).tolist() == [int(x / 2.5) for x in range(40)]
    assert rules.dsprites_bins(np.arange(6), 40).tolist() == [0, 0, 0, 1, 1, 2]
    for wrong in (-1, 32):
        with pytest.raises(ValueError, match=r"0\.\.31"):
            rules.dsprites_bins(np.array([wrong]), 32)


def test_smallnorb_has_18_azimuths_and_9_elevations() -> None:
    assert rules.smallnorb_azimuth(np.arange(0, 36, 2)).tolist() == list(range(18))
    assert rules.smallnorb_elevation(np.arange(9)).tolist() == list(range(9))
    for wrong in (1, 36, -2):
        with pytest.raises(ValueError, match="azimuth"):
            rules.smallnorb_azimuth(np.array([wrong]))
    with pytest.raises(ValueError, match="elevation"):
        rules.smallnorb_elevation(np.array([9]))


def test_ten_is_the_digit_zero_in_svhn() -> None:
    assert rules.svhn_digit(np.array([1, 9, 10])).tolist() == [1, 9, 0]
    for wrong in (0, 11):
        with pytest.raises(ValueError, match=r"1\.\.10"):
            rules.svhn_digit(np.array([wrong]))


def test_the_second_half_of_smallnorbs_test_images_is_the_test_split() -> None:
    val, test = rules.halves(24_300)
    assert (len(val), test[0], len(test)) == (12_150, 12_150, 12_150)


@pytest.mark.parametrize(
    ("count", "train", "val", "sizes"),
    [
        (27_000, 60, 20, (16_200, 5_400, 5_400)),
        (31_500, 60, 20, (18_900, 6_300, 6_300)),
        (737_280, 80, 10, (589_824, 73_728, 73_728)),
    ],
)
def test_tasks_without_splits_are_split_as_tfds_splits_them(
    count: int, train: int, val: int, sizes: tuple[int, int, int]
) -> None:
    parts = rules.shares(count, train, val)
    assert tuple(map(len, parts)) == sizes
    assert np.array_equal(np.concatenate(parts), np.arange(count))


@pytest.mark.parametrize(
    ("count", "val_at", "train", "val"),
    [
        (50_000, 45_000, (0, 800), (45_000, 45_200)),  # CIFAR-100
        (3_680, 2_944, (0, 800), (2_944, 3_144)),  # Pets
        (1_000, 45_000, (0, 800), (800, 1_000)),
        (999, 45_000, (0, 799), (799, 999)),
        (12, 45_000, (0, 9), (9, 12)),
    ],
)
def test_the_800_are_the_first_and_the_200_begin_where_vtabs_training_split_ends(
    count: int, val_at: int, train: tuple[int, int], val: tuple[int, int]
) -> None:
    kept, chosen = rules.cut(count, val_at)
    assert (kept[0], kept[-1] + 1) == train
    assert (chosen[0], chosen[-1] + 1) == val


def test_an_own_order_has_each_image_once_and_is_the_same_everywhere() -> None:
    assert sorted(rules.own_order(50)) == list(range(50))
    assert rules.own_order(10).tolist() == [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]
