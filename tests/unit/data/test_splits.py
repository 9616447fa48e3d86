"""vitbench.data.splits: stratified, disjoint, complete, the same everywhere."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitbench.data.splits import load_splits, single_image_note, stratified_limit, stratified_split
from vitbench.errors import UnusableError, UsageError
from vitbench.records import DataInfo

labels_of = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(lambda values: np.array(values, np.int64))
seeds = st.integers(0, 2**32 - 1)
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(labels=labels_of, share=st.floats(0.05, 0.95), seed=seeds)
def test_a_split_is_disjoint_complete_and_the_same_again(labels: np.ndarray, share: float, seed: int) -> None:
    kept, held_out = stratified_split(labels, share, seed)

    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    again = stratified_split(labels, share, seed)
    assert np.array_equal(kept, again[0])
    assert np.array_equal(held_out, again[1])


@unhurried
@given(labels=labels_of, share=st.floats(0.05, 0.95), seed=seeds)
def test_a_split_gives_each_class_its_share(labels: np.ndarray, share: float, seed: int) -> None:
    held_out = stratified_split(labels, share, seed)[1]

    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        held = int((labels[held_out] == label).sum())
        if count == 1:
            assert held == 0
        else:
            assert 1 <= held <= count - 1


@unhurried
@given(repeats=st.integers(10, 40), classes=st.integers(1, 6), seed=seeds)
def test_equal_classes_get_equal_shares(repeats: int, classes: int, seed: int) -> None:
    labels = np.tile(np.arange(classes), repeats)
    held_out = stratified_split(labels, 0.1, seed)[1]

    assert len(held_out) == round(0.1 * len(labels))
    assert np.ptp(np.bincount(labels[held_out], minlength=classes)) <= 1


@unhurried
@given(labels=labels_of, limit=st.integers(1, 130), seed=seeds)
def test_a_limit_is_exact_and_holds_each_class_where_there_is_room(labels: np.ndarray, limit: int, seed: int) -> None:
    rows = stratified_limit(labels, limit, seed)

    assert len(rows) == min(limit, len(labels))
    assert np.all(np.diff(rows) > 0)
    if limit >= len(np.unique(labels)):
        assert set(labels[rows]) == set(labels)
    assert np.array_equal(rows, stratified_limit(labels, limit, seed))


def test_a_limit_is_proportional() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    assert np.bincount(labels[stratified_limit(labels, 10, 0)]).tolist() == [6, 3, 1]
    assert np.bincount(labels[stratified_limit(labels, 0.5, 0)]).tolist() == [30, 15, 5]


def test_rare_classes_push_common_ones_aside_in_a_small_limit() -> None:
    labels = np.repeat([0, 1, 2], [1000, 1, 1])
    assert np.bincount(labels[stratified_limit(labels, 3, 0)]).tolist() == [1, 1, 1]


def test_another_seed_chooses_other_images_in_the_same_numbers() -> None:
    labels = np.repeat([0, 1], 50)
    first, second = stratified_split(labels, 0.2, 0)[1], stratified_split(labels, 0.2, 1)[1]
    assert not np.array_equal(first, second)
    assert np.bincount(labels[first]).tolist() == np.bincount(labels[second]).tolist() == [10, 10]


def test_the_stream_of_a_seed_is_frozen() -> None:
    assert stratified_split(np.repeat([0, 1], 10), 0.2, 0)[1].tolist() == [2, 8, 13, 15]


@pytest.mark.parametrize("limit", [0, 0.0, 1.5])
def test_a_limit_that_means_nothing_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="limit"):
        stratified_limit(np.arange(4), limit, 0)


def test_the_note_names_classes_with_a_single_image() -> None:
    assert single_image_note(np.array([0, 0, 1, 1]), ("a", "b"), held_out="test") == ""
    note = single_image_note(np.array([0, 0, 1]), ("a", "b"), held_out="test")
    assert note == "no test image for 1 of 2 classes that have a single image: 'b'"


def _cached(folder: Path, train: np.ndarray, test: np.ndarray, **more: np.ndarray) -> DataInfo:
    splits = {"train": train, **more, "test": test}
    for name, labels in splits.items():
        np.save(folder / f"{name}-images.npy", np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1))
        np.save(folder / f"{name}-labels.npy", labels)
    return DataInfo(
        name="toy", title="toy", verified=True, fingerprint="f", cache=str(folder), class_names=("a", "b"),
        shape=(1, 1, 1), sizes={name: len(labels) for name, labels in splits.items() if len(labels)},
    )  # fmt: skip


def test_validation_is_a_tenth_of_the_training_images_and_apart_from_them(tmp_path: Path) -> None:
    splits = load_splits(_cached(tmp_path, np.repeat([0, 1], 50), np.repeat([0, 1], 20)), limit=None)

    assert (len(splits.train), len(splits.val), len(splits.test)) == (90, 10, 40)
    assert not set(splits.train.index) & set(splits.val.index)
    assert isinstance(splits.train.images, np.memmap)
    assert splits.val.labels.tolist() == [0] * 5 + [1] * 5
    assert np.array_equal(splits.val.images[splits.val.index].ravel(), splits.val.index)
    assert splits.notes == ()


def test_a_limit_cuts_each_split_before_validation_is_taken(tmp_path: Path) -> None:
    splits = load_splits(_cached(tmp_path, np.repeat([0, 1], 50), np.repeat([0, 1], 20)), limit=20)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (18, 2, 20)

    splits = load_splits(_cached(tmp_path, np.repeat([0, 1], 50), np.repeat([0, 1], 20)), limit=0.5)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (45, 5, 20)


def test_fewer_training_images_leave_the_test_split_whole_and_have_their_share_of_each_class(tmp_path: Path) -> None:
    info = _cached(tmp_path, np.repeat([0, 1], [150, 50]), np.repeat([0, 1], 20))
    whole = load_splits(info, limit=None)
    fewer = load_splits(msgspec.structs.replace(info, train_images=40), limit=None)
    assert (len(fewer.train), len(fewer.val), len(fewer.test)) == (36, 4, 40)
    assert np.bincount(np.concatenate([fewer.train.labels, fewer.val.labels])).tolist() == [30, 10]
    assert np.array_equal(fewer.test.index, whole.test.index)
    # Of a limited split, its own images are chosen among: no others were read.
    limited = set(load_splits(info, limit=100).train.index) | set(load_splits(info, limit=100).val.index)
    both = load_splits(msgspec.structs.replace(info, train_images=40), limit=100)
    assert {*both.train.index, *both.val.index} < limited
    assert len(both.train) + len(both.val) == 40


def test_a_class_with_one_training_image_is_reported(tmp_path: Path) -> None:
    splits = load_splits(_cached(tmp_path, np.array([0, 0, 0, 1]), np.array([0, 1])), limit=None)
    assert splits.val.labels.tolist() == [0]
    assert splits.notes == ("no validation image for 1 of 2 classes that have a single image: 'b'",)


def test_a_validation_split_of_the_dataset_is_taken_whole_and_nothing_is_cut_from_train(tmp_path: Path) -> None:
    info = _cached(tmp_path, np.repeat([0, 1], 50), np.array([0, 1]), val=np.array([1, 1, 0]))
    splits = load_splits(info, limit=None)
    assert (len(splits.train), splits.val.labels.tolist(), len(splits.test)) == (100, [1, 1, 0], 2)
    assert np.array_equal(splits.val.images[splits.val.index].ravel(), [0, 1, 2])

    splits = load_splits(info, limit=2)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (2, 2, 2)


def test_without_training_images_train_and_val_are_empty(tmp_path: Path) -> None:
    splits = load_splits(_cached(tmp_path, np.array([], int), np.array([0, 1])), limit=None)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (0, 0, 2)
    assert splits.train.images[splits.train.index].shape == (0, 1, 1, 1)


def test_where_nothing_learns_one_training_image_per_class_is_enough(tmp_path: Path) -> None:
    info = _cached(tmp_path, np.array([0, 1]), np.array([0, 1]))
    splits = load_splits(info, limit=None, learns=False)
    assert (len(splits.train), len(splits.val), splits.notes) == (2, 0, ())


@pytest.mark.parametrize("more", [{}, {"val": np.array([1, 0, 0])}])
def test_where_validation_images_are_judged_no_file_of_the_test_split_is_opened(
    tmp_path: Path, more: dict[str, np.ndarray]
) -> None:
    info = _cached(tmp_path, np.repeat([0, 1], 50), np.repeat([0, 1], 20), **more)
    usual = load_splits(info, limit=None)
    assert usual.judged is usual.test
    for path in tmp_path.glob("test-*"):
        path.unlink()
    splits = load_splits(info, limit=None, judged="val")
    assert splits.judged is splits.val
    assert np.array_equal(splits.val.index, usual.val.index)
    assert len(splits.test) == 0


def test_data_without_validation_images_have_nothing_else_to_judge_models_on(tmp_path: Path) -> None:
    none = np.array([], int)
    with pytest.raises(UnusableError, match=r"dataset toy: it has only test images, .* \(--split test\)"):
        load_splits(_cached(tmp_path, none, np.array([0, 1])), limit=None, learns=False, judged="val")
    with pytest.raises(UsageError, match="none is left for validation"):
        load_splits(_cached(tmp_path, np.array([0, 1]), np.array([0, 1])), limit=None, learns=False, judged="val")
    own = _cached(tmp_path, none, np.array([0, 1]), val=np.array([1, 0]))
    assert load_splits(own, limit=None, learns=False, judged="val").judged.labels.tolist() == [1, 0]


def test_a_limit_that_leaves_no_validation_image_is_refused(tmp_path: Path) -> None:
    info = _cached(tmp_path, np.repeat([0, 1], 50), np.repeat([0, 1], 20))
    with pytest.raises(UsageError, match="allow at least 4 training images"):
        load_splits(info, limit=2)
